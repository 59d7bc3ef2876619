// An engine that several pages use: in a shared worker, in a service worker, in an extension.

import type { BrowserContext, Page } from "@playwright/test";
import { buildExtension } from "../../examples/extension/build.mjs";
import { launch, launchOptions } from "../../scripts/browser.mjs";
import { expect, openTestPage, PACK, test } from "../harness/fixtures.js";

const REQUEST = {
  messages: [{ role: "user" as const, content: "What is 17 + 25?" }],
  temperature: 0,
  max_tokens: 16,
};

/** Loads the pack in the shared worker, as the page's `engine`. @returns its id, and bytes from the network */
async function loadShared(page: Page) {
  return page.evaluate(async (pack) => {
    let networkBytes = 0;
    globalThis.engine = await webbuild.Engine.load(pack, {
      worker: "shared",
      onProgress: (progress) => {
        networkBytes = progress.networkBytes;
      },
    });
    return { id: engine.id, networkBytes };
  }, PACK);
}

const ask = (page: Page, changes: object = {}) =>
  page.evaluate(
    async (request) => {
      const { choices } = await engine.chat.completions.create(request);
      return choices[0]?.message.content;
    },
    { ...REQUEST, ...changes },
  );

test("tabs share one engine, which outlives the tab that started it", async ({
  page: second,
  browserProcess,
  server,
  enginePage,
}) => {
  const expected = await ask(enginePage);
  const first = await openTestPage(browserProcess, server.url);
  const started = await loadShared(first);
  expect(started.networkBytes).toBeGreaterThan(0);
  server.reset();
  const joined = await loadShared(second);
  expect(joined.id).toBe(started.id);
  expect(server.exchanges.filter(({ path }) => path.startsWith(`/${PACK}`))).toEqual([]);
  expect(await Promise.all([ask(first), ask(second)])).toEqual([expected, expected]);

  // A tab that closes in the middle of an endless answer takes that along, and nothing else.
  await first.evaluate(async () => {
    const stream = await engine.chat.completions.create({
      messages: [{ role: "user", content: "Tell me a story." }],
      logit_bias: { 0: -100 },
      temperature: 2,
      stream: true,
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  });
  await first.close();
  expect(await ask(second)).toBe(expected);
  await expect.poll(() => second.evaluate(async () => (await engine.stats()).running)).toBe(0);

  // One engine of a page leaves, another stays.
  await second.evaluate(async (pack) => {
    const again = await webbuild.Engine.load(pack, { worker: "shared" });
    if (again.id !== engine.id) throw new Error("another engine");
    await again.unload();
  }, PACK);
  expect(await ask(second)).toBe(expected);
  const ended = await second.evaluate(async () => {
    await engine.unload();
    return engine.stats().catch((error: Error) => error.name);
  });
  expect(ended).toBe("EngineUnloaded");
});

test("an engine in a service worker answers, to a grammar too; a script that lacks something is told by name", async ({
  page,
  enginePage,
}) => {
  const expected = await ask(enginePage);
  await page.evaluate(async (pack) => {
    await navigator.serviceWorker.register("service_worker.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    globalThis.engine = await webbuild.Engine.load(pack, { worker: active as ServiceWorker });
  }, PACK);
  expect(await ask(page)).toBe(expected);
  const response_format = {
    type: "json_schema",
    json_schema: {
      name: "sum",
      schema: { type: "object", properties: { sum: { const: 42 } }, required: ["sum"] },
    },
  };
  expect(JSON.parse((await ask(page, { response_format })) ?? "")).toEqual({ sum: 42 });
  const drafted = await page.evaluate(async (pack) => {
    await engine.unload();
    const { active } = await navigator.serviceWorker.ready;
    const worker = active as ServiceWorker;
    globalThis.engine = await webbuild.Engine.load(pack, { worker, draft: pack });
    return engine.info.draft?.model;
  }, PACK);
  expect(drafted).toBe("webbuild-demo");

  // shared_worker.js loads grammars on demand, as shared workers can; it can download.
  const without = await page.evaluate(async (pack) => {
    await engine.unload();
    const script = "shared_worker_in_service_worker.js";
    const options = { type: "module", scope: "without/" } as const;
    const { installing } = await navigator.serviceWorker.register(script, options);
    const worker = installing as ServiceWorker;
    globalThis.engine = await webbuild.Engine.load(pack, { worker, cache: false });
    const response_format = { type: "json_object" } as const;
    const messages = [{ role: "user" as const, content: "Hi" }];
    const error = await engine.chat.completions
      .create({ messages, response_format, max_tokens: 4 })
      .catch((error) => error);
    return [error.name, error instanceof webbuild.HostUnsupported];
  }, PACK);
  expect(without).toEqual(["HostUnsupported", true]);
  expect(await ask(page)).toBe(expected);

  const refused = await page.evaluate(async (pack) => {
    await engine.unload();
    const scope = "silent/";
    const registration = await navigator.serviceWorker.register("silent_service_worker.js", {
      scope,
    });
    const worker = (registration.installing ?? registration.active) as ServiceWorker;
    const loading = webbuild.Engine.load(pack, { worker });
    return loading.catch((error) => [error.name, error instanceof webbuild.WorkerFailed]);
  }, PACK);
  expect(refused).toEqual(["WorkerFailed", true]);
});

test.describe("an extension", () => {
  let context: BrowserContext | undefined;
  test.afterEach(() => context?.close());

  test("streams answers to its page from its own files, while its service worker sleeps", async ({
    adapter,
    enginePage,
  }, info) => {
    const expected = await ask(enginePage, { max_tokens: undefined });
    const folder = info.outputPath("extension");
    buildExtension(folder);
    const { args = [] } = launchOptions(adapter);
    const browser = await launch(adapter, {
      args: [...args, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
    });
    context = browser;
    const worker = browser.serviceWorkers()[0] ?? (await browser.waitForEvent("serviceworker"));
    const origin = new URL("/", worker.url()).href;
    const errors: string[] = [];
    const open = async () => {
      const page = await browser.newPage();
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      await page.goto(`${origin}chat.html`);
      await expect(page.locator("p")).toHaveText("webbuild-demo is ready");
      return page;
    };
    const page = await open();
    const session = await browser.newCDPSession(page);
    await session.send("ServiceWorker.enable");
    await session.send("ServiceWorker.stopAllWorkers");
    await page.getByRole("button", { name: "Ask" }).click();
    await expect(page.locator("output")).toHaveText(expected ?? "");

    // The popup closes; the next one finds the engine as it was.
    await page.close();
    const again = await open();
    await again.getByRole("button", { name: "Ask" }).click();
    await expect(again.locator("output")).not.toBeEmpty();
    expect(errors).toEqual([]);
  });
});
