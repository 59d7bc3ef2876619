// Finds and starts a browser with WebGPU: the one place that knows adapters, paths and flags.
//
//   node scripts/browser.mjs probe ADAPTER   exit 0 and print the adapter if it can be used
//
// Adapters: "default" is the machine's own (Chrome and a GPU), "lavapipe" the software GPU of
// scripts/software_gpu, "swiftshader" the slow software adapter that every Chromium carries, "none"
// a browser that finds no adapter.

import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** @typedef {"default" | "lavapipe" | "swiftshader" | "none"} Adapter */

const root = fileURLToPath(new URL("..", import.meta.url));
const softwareGpu = join(root, ".cache/software-gpu/env.sh");

/** Shared with `webbuild bench`, which starts browsers without Playwright. */
const browsers = JSON.parse(
  readFileSync(new URL("../builder/webbuild/browsers.json", import.meta.url), "utf8"),
);
// On Linux Chrome keeps WebGPU behind these for many GPUs; elsewhere it is on by default.
if (process.platform === "linux") browsers.adapters.default = browsers.linux_default;

/** Thrown when no browser or no adapter can be used; the message says what to do. */
export class BrowserNotFoundError extends Error {
  /** @override */
  name = "BrowserNotFoundError";
}

/**
 * The browser's executable: `WEBBUILD_CHROMIUM`, else Chrome, Chromium or Edge in its usual place.
 * @returns {string | undefined}
 */
export function findBrowser() {
  const named = process.env.WEBBUILD_CHROMIUM;
  if (named) {
    if (!existsSync(named)) {
      throw new BrowserNotFoundError(`WEBBUILD_CHROMIUM names ${named}, which does not exist`);
    }
    return named;
  }
  return usualPlaces().find((path) => existsSync(path));
}

/** @returns {string[]} */
function usualPlaces() {
  if (process.platform === "darwin") {
    return ["/Applications", join(homedir(), "Applications")].flatMap((folder) =>
      browsers.mac_apps.map((/** @type {string} */ app) => join(folder, app)),
    );
  }
  const folders = (process.env.PATH ?? "").split(delimiter);
  return browsers.programs.flatMap((/** @type {string} */ name) =>
    folders.map((folder) => join(folder, name)),
  );
}

/** What scripts/software_gpu/setup.sh exports. @returns {Record<string, string>} */
function softwareGpuEnvironment() {
  if (!existsSync(softwareGpu)) {
    throw new BrowserNotFoundError("The software GPU is not set up: run `make setup`");
  }
  const lines = readFileSync(softwareGpu, "utf8").matchAll(/^export (\w+)="(.*)"$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
}

/**
 * What Playwright needs to start a browser on `adapter`.
 * @param {Adapter} adapter
 * @returns {{ executablePath: string, args: string[], env: Record<string, string> }}
 */
export function launchOptions(adapter) {
  const env = /** @type {Record<string, string>} */ ({ ...process.env });
  if (adapter === "lavapipe") {
    const { CHROMIUM_LAVAPIPE: executablePath = "", ...software } = softwareGpuEnvironment();
    return {
      executablePath,
      args: [...browsers.flags, ...browsers.adapters.lavapipe],
      env: { ...env, ...software },
    };
  }
  const executablePath = findBrowser();
  if (!executablePath) {
    throw new BrowserNotFoundError(
      "No Chrome or Chromium was found. Install one, or name it in WEBBUILD_CHROMIUM.",
    );
  }
  return { executablePath, args: [...browsers.flags, ...browsers.adapters[adapter]], env };
}

/**
 * The adapter that `make setup` chose for this machine, or `WEBBUILD_ADAPTER`.
 * @returns {Adapter}
 */
export function chosenAdapter() {
  const named = process.env.WEBBUILD_ADAPTER;
  if (named) return /** @type {Adapter} */ (named);
  const chosen = join(root, ".cache/adapter");
  if (!existsSync(chosen)) throw new BrowserNotFoundError("No adapter chosen: run `make setup`");
  return /** @type {Adapter} */ (readFileSync(chosen, "utf8").trim());
}

/**
 * Starts a headless browser with a fresh profile, removed when the context is closed.
 * @param {Adapter} adapter
 * @param {Partial<Parameters<typeof chromium.launchPersistentContext>[1]>} [options]
 */
export async function launch(adapter, options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "webbuild-profile-"));
  const context = await chromium.launchPersistentContext(profile, {
    headless: true,
    ...launchOptions(adapter),
    ...options,
  });
  const close = context.close.bind(context);
  context.close = async (reason) => {
    await close(reason);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return context;
}

/**
 * A page that waits as long as it takes, and whose errors are told on standard error.
 *
 * @param {Awaited<ReturnType<typeof launch>>} browser
 */
export async function talkingPage(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => message.type() === "error" && console.error(message.text()));
  page.on("pageerror", (error) => console.error(error.message));
  return page;
}

/**
 * Asks the browser for its WebGPU adapter.
 * @param {Adapter} adapter
 * @returns {Promise<{ description: string, fallback: boolean, features: string[] } | null>}
 *   null when there is none
 */
export async function probe(adapter) {
  const context = await launch(adapter);
  try {
    const page = await context.newPage();
    // A secure context without a server.
    await page.route("http://localhost/", (route) =>
      route.fulfill({ contentType: "text/html", body: "<!doctype html>" }),
    );
    await page.goto("http://localhost/");
    return await page.evaluate(async () => {
      const gpu = /** @type {any} */ (navigator).gpu;
      const found = await gpu?.requestAdapter({ powerPreference: "high-performance" });
      if (!found) return null;
      const { vendor, architecture, description, isFallbackAdapter } = found.info;
      const name = [vendor, architecture, description].filter(Boolean).join(" ");
      return { description: name, fallback: isFallbackAdapter, features: [...found.features] };
    });
  } finally {
    await context.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, adapter] = process.argv.slice(2);
  if (command !== "probe" || !adapter) {
    console.error("usage: node scripts/browser.mjs probe default|lavapipe|swiftshader");
    process.exit(2);
  }
  const found = await probe(/** @type {Adapter} */ (adapter)).catch((error) => {
    console.error(`${error.name}: ${error.message.split("\n")[0]}`);
    return null;
  });
  if (found) console.log(JSON.stringify(found));
  // A software adapter that Chrome falls back to is too slow to count as this machine's GPU.
  process.exit(found && !(adapter === "default" && found.fallback) ? 0 : 1);
}
