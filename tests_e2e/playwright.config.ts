// Real Chromium with real WebGPU, headless. `make test-e2e` runs every project that this machine
// has; `make test-e2e ARGS="--project lavapipe -g 'second load'"` runs one test on one adapter.

import { defineConfig } from "@playwright/test";
import { type Adapter, chosenAdapter } from "../scripts/browser.mjs";

const chosen = chosenAdapter();

/** Everything on the chosen adapter; what is tagged @tiers again where there is no shader-f16. */
const projects: { name: Adapter; grep?: RegExp }[] = [{ name: chosen }];
if (chosen === "lavapipe") projects.push({ name: "swiftshader", grep: /@tiers/ });

export default defineConfig<{ adapter: Adapter }>({
  testDir: "tests",
  globalSetup: "./harness/site.ts",
  outputDir: "test-results",
  // One adapter, one test at a time: software adapters take every core.
  workers: 1,
  fullyParallel: false,
  forbidOnly: !!process.env.CI,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  projects: projects.map(({ name, ...rest }) => ({ name, ...rest, use: { adapter: name } })),
});
