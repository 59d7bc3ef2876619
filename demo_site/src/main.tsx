import { render } from "preact";
import { App } from "./components/app.js";
import { openPack } from "./model.js";
import { EMBEDDED_PACK } from "./pack.js";
import { applyTheme } from "./settings.js";

applyTheme();
const root = document.getElementById("app");
if (root) render(<App />, root);

// `?pack=URL` opens another pack than the embedded one.
const asked = new URLSearchParams(location.search).get("pack");
// Another pack can be gigabytes: it is looked at, and loaded only when the visitor says so.
if (asked) openPack(asked, { ask: true });
else openPack(EMBEDDED_PACK);
