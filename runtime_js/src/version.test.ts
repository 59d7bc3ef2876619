import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { VERSION } from "./version.js";

test("the version is the package's", () => {
  const json = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  expect(VERSION).toBe(JSON.parse(json).version);
});
