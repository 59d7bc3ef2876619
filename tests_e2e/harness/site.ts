// The folder under test: the built chat site, with a bare page beside it for tests of the API.

import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const siteFolder = join(root, "tests_e2e/dist");

/** Copies what was built, so that tests see what users get. `WEBBUILD_TEST_PACK` names another pack. */
export default async function assembleSite(): Promise<void> {
  const built = join(root, "demo_site/dist");
  if (!existsSync(join(built, "index.html"))) {
    throw new Error("The site is not built: run `make build`");
  }
  rmSync(siteFolder, { recursive: true, force: true });
  cpSync(built, siteFolder, { recursive: true });
  cpSync(join(root, "tests_e2e/pages"), siteFolder, { recursive: true });
  // A service worker answers for pages in its own folder and below.
  cpSync(join(built, "webbuild/service-worker.js"), join(siteFolder, "service-worker.js"));
  await build({
    entryPoints: [join(root, "tests_e2e/harness/clients.ts")],
    outfile: join(siteFolder, "clients.js"),
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "error",
  });
  cpSync(join(root, "examples/dist"), join(siteFolder, "examples"), { recursive: true });
  const pack = process.env.WEBBUILD_TEST_PACK;
  if (pack) {
    rmSync(join(siteFolder, "packs/demo"), { recursive: true, force: true });
    cpSync(pack, join(siteFolder, "packs/demo"), { recursive: true });
  }
  if (!existsSync(join(siteFolder, "packs/demo/pack.json"))) {
    throw new Error("There is no demo pack: demo_site/public/packs/demo/pack.json is missing");
  }
  bareTemplate();
}

/** `packs/bare`: the demo pack with a template of the messages' text alone, for prompts of one or two tokens. */
function bareTemplate(): void {
  const bare = join(siteFolder, "packs/bare");
  cpSync(join(siteFolder, "packs/demo"), bare, { recursive: true });
  const template = "{% for message in messages %}{{ message.content }}{% endfor %}";
  writeFileSync(join(bare, "chat_template.jinja"), template);
  const manifest = JSON.parse(readFileSync(join(bare, "pack.json"), "utf8"));
  const file = manifest.files.find((f: { role: string }) => f.role === "chat_template");
  file.nbytes = template.length;
  file.sha256 = createHash("sha256").update(template).digest("hex");
  writeFileSync(join(bare, "pack.json"), JSON.stringify(manifest));
}
