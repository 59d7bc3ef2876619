// `/v1` in a page: unmodified clients, through the service worker, to the engine of the page or of another.

import type { Page } from "@playwright/test";
import { expect, test } from "../harness/fixtures.js";

declare global {
  var clients: ReturnType<typeof import("../harness/clients.js").clients>;
  var served: import("webbuild/http").ServedV1;
}

/** The page serves its engine at `v1/`, and has clients that don't know of it. */
async function serve(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const [http, scripts] = ["./webbuild/http.js", "./clients.js"] as const;
    const { serveV1 } = (await import(http)) as typeof import("webbuild/http");
    const { clients } = (await import(scripts)) as typeof import("../harness/clients.js");
    globalThis.served = await serveV1(engine);
    globalThis.clients = clients(served.baseURL);
  });
}

/** Requests that run in the page's engine. */
const running = (page: Page) => page.evaluate(async () => (await engine.stats()).running);

test.beforeAll(({ enginePage }) => serve(enginePage));
test.afterAll(({ enginePage }) =>
  enginePage.evaluate(async () => {
    served.close();
    await served.registration.unregister();
  }),
);

for (const name of ["openai", "ai", "langchain"] as const) {
  test(`${name}: an answer, and the same in pieces`, async ({ enginePage }) => {
    const { answer, streamed, direct } = await enginePage.evaluate(async (name) => {
      const content = "Name a colour.";
      const { choices } = await engine.chat.completions.create({
        messages: [{ role: "user", content }],
        temperature: 0,
        max_tokens: 12,
      });
      return {
        direct: choices[0]?.message.content,
        answer: await clients[name].answer(),
        streamed: await clients[name].stream(),
      };
    }, name);
    expect(answer.text).toBe(direct);
    expect(streamed.text).toBe(direct);
    expect(streamed.pieces).toBeGreaterThan(1);
    expect(answer.completionTokens).toBeGreaterThan(1);
    expect(streamed.completionTokens).toBe(answer.completionTokens);
  });

  test(`${name}: an abort ends the generation, streamed or not`, async ({ enginePage }) => {
    const { drawn, stream, answer } = await enginePage.evaluate(async (name) => {
      const running = async () => (await engine.stats()).running;
      const until = async (count: number) => {
        while ((await running()) !== count) await new Promise((wake) => setTimeout(wake, 10));
      };
      const { drawnTokens } = await engine.stats();
      const stream = await clients[name].abortStream();
      await until(0);
      const answer = await clients[name].abortAnswer(() => until(1));
      await until(0);
      return { drawn: (await engine.stats()).drawnTokens - drawnTokens, stream, answer };
    }, name);
    expect(stream.pieces).toBeGreaterThan(0);
    expect(answer.status).toBeUndefined();
    expect(answer.name + answer.message).toMatch(/abort/i);
    expect(drawn).toBeLessThan(600); // half of what both would have taken
  });

  test(`${name}: errors have their status and say what is wrong`, async ({ enginePage }) => {
    const { refused, unknown } = await enginePage.evaluate(
      async (name) => ({
        refused: await clients[name].refused(),
        unknown: await clients[name].unknownModel(),
      }),
      name,
    );
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining("temperature") });
    expect(unknown).toMatchObject({ status: 404, message: expect.stringContaining("gpt-4o") });
  });

  test(`${name}: a JSON schema binds the answer`, async ({ enginePage }) => {
    const object = await enginePage.evaluate((name) => clients[name].object(), name);
    expect([{ city: "Paris" }, { city: "Oslo" }]).toContainEqual(object);
  });

  test(`${name}: a function is called with arguments of its schema`, async ({ enginePage }) => {
    const called = await enginePage.evaluate((name) => clients[name].callTool(), name);
    expect(called.name).toBe("weather");
    expect([{ city: "Paris" }, { city: "Oslo" }]).toContainEqual(called.args);
  });
}

test("a worker that was ended answers the next request, and other pages' too", async ({
  enginePage,
  browserProcess,
}) => {
  const cdp = await browserProcess.newCDPSession(enginePage);
  await cdp.send("ServiceWorker.enable");
  const answer = (page: Page) =>
    page.evaluate(async () => {
      const body = { messages: [{ role: "user", content: "Hi" }], max_tokens: 3 };
      const response = await fetch("v1/chat/completions", {
        method: "POST",
        body: JSON.stringify(body),
      });
      const { choices, error } = await response.json();
      return { status: response.status, finish: choices?.[0].finish_reason, code: error?.code };
    });
  await cdp.send("ServiceWorker.stopAllWorkers");
  expect(await answer(enginePage)).toMatchObject({ status: 200, finish: "length" });

  const other = await browserProcess.newPage();
  await other.goto(enginePage.url());
  await cdp.send("ServiceWorker.stopAllWorkers");
  expect(await answer(other)).toMatchObject({ status: 200, finish: "length" });
  await enginePage.evaluate(() => served.close());
  expect(await answer(other)).toEqual({ status: 503, code: "no_engine" });
  await other.close();
  await serve(enginePage);
  expect(await answer(enginePage)).toMatchObject({ status: 200 });
});

test("a page that goes away breaks off its answer by name", async ({
  enginePage,
  browserProcess,
}) => {
  await enginePage.evaluate(() => served.close());
  const host = await browserProcess.newPage();
  await host.goto(enginePage.url());
  await host.evaluate(async () => {
    const http = "./webbuild/http.js";
    const { serveV1 } = (await import(http)) as typeof import("webbuild/http");
    async function* first() {
      yield { choices: [{ index: 0, delta: { content: "so far" } }] };
      await new Promise(() => {});
    }
    await serveV1({ chat: { completions: { create: async () => first() } } });
  });
  await enginePage.evaluate(async () => {
    const response = await fetch("v1/chat/completions", { method: "POST", body: "{}" });
    const text = response.text();
    Object.assign(globalThis, { rest: text });
  });
  await host.close();
  const text = await enginePage.evaluate(() => (globalThis as unknown as { rest: string }).rest);
  expect(text).toContain("so far");
  expect(text).toMatch(/event: error\ndata: .*engine_unreachable/);
  await serve(enginePage);
});

test("a page without service workers, or without the script, is told what to do", async ({
  enginePage,
}) => {
  const error = await enginePage.evaluate(async () => {
    const http = "./webbuild/http.js";
    const { serveV1 } = (await import(http)) as typeof import("webbuild/http");
    return serveV1(engine, { script: "nowhere.js" }).then(
      () => null,
      ({ name, message }: Error) => ({ name, message }),
    );
  });
  expect(error?.name).toBe("ServiceWorkerFailed");
  expect(error?.message).toContain("Copy the package's service-worker.js");
  expect(await running(enginePage)).toBe(0);
});
