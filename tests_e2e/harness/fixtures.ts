// What every browser test starts from: `import { expect, test } from "../harness/fixtures.js"`.

import { type BrowserContext, test as base, expect, type Page } from "@playwright/test";
import { type Adapter, launch } from "../../scripts/browser.mjs";
import { serve } from "../../scripts/serve.mjs";
import { ProxyServer } from "./proxy_server.js";
import { siteFolder } from "./site.js";

declare global {
  /** The npm package's exports, on pages/test.html. */
  var webbuild: typeof import("webbuild");
  /** The demo model, loaded, on `enginePage`. */
  var engine: import("webbuild").Engine;
}

/** The pack under test, as the page names it. */
export const PACK = "packs/demo/";

interface TestFixtures {
  /** Serves the built site to this test alone, counts bytes and injects faults. */
  server: ProxyServer;
  /** Uncaught exceptions, console errors and CSP violations; any of them fails the test. */
  pageErrors: string[];
  /** Errors that a test brings about itself: `test.use({ allowedErrors: /404/ })`. */
  allowedErrors: RegExp;
}

interface WorkerFixtures {
  adapter: Adapter;
  browserProcess: BrowserContext;
  upstream: string;
  /** A page on which the demo model is loaded as `engine`, shared by tests that only ask it. */
  enginePage: Page;
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  adapter: ["default", { option: true, scope: "worker" }],

  // One browser with a fresh profile for all tests of an adapter: a software adapter compiles its
  // kernels once. Each test still has storage of its own, for each has its own origin.
  browserProcess: [
    async ({ adapter }, use) => {
      const context = await launch(adapter);
      await use(context);
      await context.close();
    },
    { scope: "worker" },
  ],

  upstream: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the fixtures from this pattern
    async ({}, use) => {
      const { url, close } = await serve(siteFolder);
      await use(url);
      await close();
    },
    { scope: "worker" },
  ],

  enginePage: [
    async ({ browserProcess, upstream }, use) => {
      const page = await openTestPage(browserProcess, upstream);
      await page.evaluate(async (pack) => {
        globalThis.engine = await webbuild.Engine.load(pack);
      }, PACK);
      await use(page);
      await page.close();
    },
    { scope: "worker" },
  ],

  server: async ({ upstream }, use) => {
    const proxy = new ProxyServer(upstream);
    await proxy.listen();
    await use(proxy);
    await proxy.close();
  },

  allowedErrors: [/$^/, { option: true }],

  pageErrors: async ({ allowedErrors }, use) => {
    const errors: string[] = [];
    await use(errors);
    const unexpected = errors.filter((text) => !allowedErrors.test(text));
    expect(unexpected, "errors on the page").toEqual([]);
  },

  context: ({ browserProcess }, use) => use(browserProcess),

  page: async ({ browserProcess, server, pageErrors }, use) => {
    const page = await openTestPage(browserProcess, server.url, (page) => {
      page.on("pageerror", (error) => pageErrors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") pageErrors.push(message.text());
      });
    });
    await use(page);
    await page.close();
  },
});

export async function openTestPage(
  browser: BrowserContext,
  origin: string,
  prepare = (_: Page) => {},
): Promise<Page> {
  const page = await browser.newPage();
  prepare(page);
  await page.goto(`${origin}test.html`);
  await page.waitForFunction(() => "webbuild" in globalThis);
  return page;
}

export { expect };
