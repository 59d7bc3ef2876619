// A pack of a small encoder with random weights, beside the demo pack.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { siteFolder } from "./site.js";

const PACK = "packs/encoder/";
const folder = join(siteFolder, PACK);
const script = fileURLToPath(new URL("encoder.py", import.meta.url));

/** Makes the pack where it is not there yet. @returns where it is, as a page names it */
export function encoderPack(): string {
  if (!existsSync(folder)) nativeVectors(["a"]);
  return PACK;
}

/** Makes the pack, too. @returns the texts' vectors by the native executor */
export function nativeVectors(texts: string[]): number[][] {
  const { status, stdout, stderr } = spawnSync("python", [script, folder], {
    input: JSON.stringify(texts),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}
