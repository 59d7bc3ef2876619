import { render } from "preact";
import { EMBEDDED_PACK } from "../pack.js";
import { applyTheme } from "../settings.js";
import { BenchPage } from "./bench_page.js";
import { checkPack } from "./run.js";

applyTheme();
const root = document.getElementById("app");
if (root) render(<BenchPage />, root);

// `?pack=URL` measures another pack than the embedded one; nothing large is fetched before the visitor starts.
void checkPack(new URLSearchParams(location.search).get("pack") || EMBEDDED_PACK);
