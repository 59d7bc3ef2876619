// `node examples/extension/build.mjs FOLDER [PACK]`: the example with the built package and a pack (the demo's) beside it.

import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const FILES = [
  "manifest.json",
  "background.js",
  "offscreen.html",
  "offscreen.js",
  "chat.html",
  "chat.js",
  "chat.css",
];

/**
 * @param {string} folder is made anew
 * @param {string} [pack]
 */
export function buildExtension(folder, pack = join(root, "demo_site/public/packs/demo")) {
  const isBuilt = existsSync(join(folder, "webbuild/extension.js"));
  if (existsSync(folder) && readdirSync(folder).length > 0 && !isBuilt) {
    throw new Error(`${folder} holds something else: name a new folder`);
  }
  rmSync(folder, { recursive: true, force: true });
  for (const name of FILES) cpSync(join(here, name), join(folder, name));
  cpSync(join(root, "demo_site/dist/webbuild"), join(folder, "webbuild"), { recursive: true });
  cpSync(pack, join(folder, "packs/demo"), { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, pack] = process.argv.slice(2);
  if (!folder) {
    console.error("usage: node examples/extension/build.mjs FOLDER [PACK]");
    process.exit(2);
  }
  buildExtension(folder, pack);
}
