// Every example, as `make build` makes it, does what it is an example of, on the demo pack.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Page } from "@playwright/test";
import { encoderPack } from "../harness/encoder.js";
import { expect, test } from "../harness/fixtures.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

const ask = async (page: Page, question: string) => {
  await page.getByLabel("Question").fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
};

const SUM = { question: "What is 8 + 5?", answer: "13" };
/** More than the context holds; the page says so. */
const TOO_LONG = "long ".repeat(3000);

/** Runs one demo of the app that was written for WebLLM. */
async function webllm(page: Page, url: string, demo: string) {
  await page.goto(`${url}examples/web-llm-app/#${demo}`);
  await expect(page.locator("#result")).not.toBeEmpty({ timeout: 60_000 });
  const result = JSON.parse(await page.locator("#result").innerText());
  expect(result.error).toBeUndefined();
  return result;
}

test("ten-line chat: question and answer, twice", async ({ page, server }) => {
  await page.goto(`${server.url}examples/ten-line-chat/`);
  await ask(page, "What is the sky?");
  await expect(page.locator("pre")).toHaveText(/^user: What is the sky\?\nassistant: \S/);
  await ask(page, "And the sea?");
  await expect(page.locator("pre")).toHaveText(/user: And the sea\?\nassistant: \S/);
});

test("React chat: an answer streams, and stops when told", async ({ page, server }) => {
  await page.goto(`${server.url}examples/react-chat/`);
  await ask(page, "What is the sky?");
  await expect(page.locator("[data-role=assistant]")).toHaveText(/\S/);
  await expect(page.getByRole("button", { name: "Stop" })).toHaveCount(0);
  // As soon as it is there: the demo model has done after a sentence.
  await page.evaluate(() => {
    const observer = new MutationObserver(() => {
      const stop = document.querySelector<HTMLButtonElement>("button[type=button]");
      if (!stop) return;
      observer.disconnect();
      stop.click();
      document.body.dataset["stopped"] = "yes";
    });
    observer.observe(document.body, { childList: true, subtree: true });
  });
  await ask(page, "Tell me a story.");
  await expect(page.locator("body")).toHaveAttribute("data-stopped", "yes");
  await expect(page.getByRole("button", { name: "Stop" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Ask" })).toBeEnabled();
  await expect(page.locator("[data-role=user]")).toHaveCount(2);
});

test.describe("without its pack", () => {
  test.use({ allowedErrors: /404/ });

  test("React chat: says what is missing, and tries again", async ({ page, server }) => {
    server.breakPath("/packs/demo/pack.json", { status: 404 });
    await page.goto(`${server.url}examples/react-chat/`);
    await ask(page, "What is the sky?");
    await expect(page.getByRole("alert")).toContainText("pack.json does not exist");
    server.repair();
    await ask(page, "What is the sky?");
    await expect(page.locator("[data-role=assistant]")).toHaveText(/\S/);
    await expect(page.getByRole("alert")).toBeEmpty();
  });
});

test("Node script: prints an answer", async () => {
  const script = join(root, "examples/node-script/main.mjs");
  const shipped = join(root, "demo_site/public/packs/demo");
  const pack = process.env.WEBBUILD_TEST_PACK ?? shipped;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [script, pack, "What is the sky?"]);
  expect(stdout).toMatch(/\S+ \S+/);
});

test("Prompt API: streams, counts tokens, and runs a tool", async ({ page, server }) => {
  await page.goto(`${server.url}examples/prompt-api/`);
  await ask(page, "What is the sky?");
  await expect(page.locator("#usage")).toHaveText(/^\d+ of 2048 tokens$/);
  await expect(page.locator("#answer")).toHaveText(/\S/);
  await expect(page.locator("progress")).toHaveJSProperty("value", 1);
  await ask(page, "What is the weather in Paris?");
  await expect(page.locator("#called")).toHaveText('get_weather({"city":"Paris"})');
  await expect(page.locator("#answer")).toHaveText(/\S/);
});

test("an app for WebLLM: get started, streaming, rounds, abort, cache", async ({
  page,
  server,
}) => {
  const cache = await webllm(page, server.url, "cache");
  expect(cache).toEqual({ before: false, loaded: true, deleted: false });

  await page.goto("about:blank");
  const { choices, usage } = await webllm(page, server.url, "get-started");
  expect(choices).toHaveLength(2);
  expect(choices[0].message).toEqual(choices[1].message);
  expect(choices[0].logprobs.content[0].top_logprobs).toHaveLength(2);
  expect(usage.extra.decode_tokens_per_s).toBeGreaterThan(0);

  await page.goto("about:blank");
  const streamed = await webllm(page, server.url, "streaming");
  expect(streamed.text).toBe(streamed.message);
  expect(streamed.tokens).toBeGreaterThan(0);

  await page.goto("about:blank");
  const { first, second } = await webllm(page, server.url, "multi-round");
  const cached = second.prompt_tokens_details.cached_tokens;
  expect(cached).toBeGreaterThanOrEqual(Math.floor(first.prompt_tokens / 16) * 16);

  await page.goto("about:blank");
  const abort = await webllm(page, server.url, "abort");
  expect(abort).toMatchObject({ reason: "abort", next: { text: streamed.text } });
});

test("an app for WebLLM: in its service worker, and in a worker of its own", async ({
  page,
  server,
}) => {
  const shared = await webllm(page, server.url, "service-worker");
  await page.goto("about:blank");
  const result = await webllm(page, server.url, "web-worker");
  expect(result.text).toBe(result.message);
  expect(shared).toMatchObject({ text: result.text, message: result.text });
  expect(result).toMatchObject({ refused: "InvalidRequestError", again: { text: result.text } });
});

test("tool-calling agent: calls, their results, and the answer that is made of them", async ({
  page,
  server,
}) => {
  await page.goto(`${server.url}examples/tool-agent/`);
  const items = page.locator("li");
  await ask(page, "What is the weather in Paris?");
  await expect(items).toHaveText([
    'get_weather({"city": "Paris"})',
    '{"temperature":21,"sky":"sunny"}',
    "It is 21 °C and sunny in Paris.",
  ]);
  await ask(page, "What is 45 * 12?");
  await expect(items).toHaveText([
    'calculate({"expression": "45 * 12"})',
    '{"result":540}',
    "The result is 540.",
  ]);
  await ask(page, "Make the background blue.");
  await expect(items).toHaveText(['set_colour({"colour": "blue"})', '{"status":"ok"}', "Done."]);
  await expect(page.locator("body")).toHaveCSS("background-color", "rgb(0, 0, 255)");
  await ask(page, "What is the weather in Rome?");
  await expect(items.last()).toHaveText("Sorry, that did not work.");
  await ask(page, "Hello!");
  await expect(items).toHaveText(["Hello! How can I help you?"]);
  await ask(page, TOO_LONG);
  await expect(page.getByRole("alert")).toContainText("ContextLengthExceeded");
});

test("JSON extraction: a value of a zod schema", async ({ page, server }) => {
  await page.goto(`${server.url}examples/json-extraction/`);
  const extract = async (text: string) => {
    await page.getByLabel("Text").fill(text);
    await page.getByRole("button", { name: "Extract" }).click();
  };
  await extract("Maya is 34 years old and lives in Toronto.");
  await expect(page.locator("output")).toHaveText("Maya of Toronto will be 35 next year.");
  await extract("Luis, 52, from Lima.");
  await expect(page.locator("output")).toHaveText("Luis of Lima will be 53 next year.");
  await extract(TOO_LONG);
  await expect(page.getByRole("alert")).toContainText("ContextLengthExceeded");
});

test("embeddings search: texts by the cosine of their vectors with the query's", async ({
  page,
  server,
}) => {
  test.setTimeout(600_000); // a pack is made first
  const pack = encoderPack();
  const [query, texts] = ["the puppy naps", ["A dog sleeps.", "Rates rose.", "naps", "größer, 大"]];
  const vectors = await page.evaluate(
    async ({ pack, input }) => {
      const engine = await webbuild.Engine.load(pack);
      const { data } = await engine.embeddings.create({ input });
      await engine.unload();
      return data.map(({ embedding }) => embedding);
    },
    { pack, input: [query, ...texts] },
  );
  const [wanted = [], ...others] = vectors;
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  const cosine = (a: number[], b: number[]) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const expected = others
    .map((vector, i) => ({ text: texts[i], similarity: cosine(wanted, vector) }))
    .sort((a, b) => b.similarity - a.similarity);

  await page.goto(`${server.url}examples/embeddings-search/`);
  await page.getByLabel("Pack").fill("/packs/demo/"); // generates text
  await page.getByRole("button", { name: "Index" }).click();
  await expect(page.getByRole("alert")).toContainText("WrongModelKind");
  await page.getByLabel("Pack").fill(`/${pack}`);
  await page.getByLabel("Texts").fill(texts.join("\n"));
  await page.getByRole("button", { name: "Index" }).click();
  await page.getByLabel("Query").fill(query);
  await page.getByRole("button", { name: "Search" }).click();
  const found = page.locator("li");
  await expect(found).toHaveText(
    expected.map(({ text }) => new RegExp(`^${text} \\(0\\.\\d{3}\\)$`)),
  );
  const shown = await found.allInnerTexts();
  shown.forEach((line, i) => {
    const similarity = Number(/[\d.]+(?=\)$)/.exec(line)?.[0]);
    expect(similarity).toBeCloseTo(expected[i]?.similarity ?? Number.NaN, 2);
  });
});

test.describe("OpenAI's client", () => {
  test.use({ allowedErrors: /status of 400/ });

  test("its requests to /v1 are answered in the page", async ({ page, server }) => {
    await page.goto(`${server.url}examples/openai-client/`);
    const responding = page.waitForResponse(/v1\/chat\/completions$/);
    await ask(page, SUM.question);
    await expect(page.locator("output")).toHaveText(SUM.answer);
    expect((await responding).fromServiceWorker()).toBe(true);
    await ask(page, TOO_LONG);
    await expect(page.getByRole("alert")).toContainText("400");
  });
});

test("AI SDK: runs the tool that the model calls, and streams the answer", async ({
  page,
  server,
}) => {
  await page.clock.setFixedTime("2026-03-01T13:37:00Z");
  await page.goto(`${server.url}examples/ai-sdk/`);
  await ask(page, "What time is it in Oslo?");
  await expect(page.locator("li")).toHaveText(['get_time({"city":"Oslo"})', '{"time":"14:37"}']);
  await expect(page.locator("output")).toHaveText("It is 14:37 in Oslo.");
  await ask(page, TOO_LONG);
  await expect(page.getByRole("alert")).toContainText("context");
});

test("shared worker: two tabs have one engine, which outlives the first", async ({
  page: second,
  server,
  browserProcess,
}) => {
  const url = `${server.url}examples/shared-worker/`;
  const first = await browserProcess.newPage();
  await first.goto(url);
  const engine = (page: Page) => page.locator("#engine");
  await expect(engine(first)).toHaveText(/^Engine \S+$/);
  server.reset();
  await second.goto(url);
  await expect(engine(second)).toHaveText(await engine(first).innerText());
  expect(server.exchanges.filter(({ path }) => path.startsWith("/packs/"))).toEqual([]);

  await Promise.all([ask(first, SUM.question), ask(second, "What is your name?")]);
  await expect(first.locator("output")).toHaveText(SUM.answer);
  await expect(second.locator("output")).toHaveText("I am called the webbuild demo model.");
  await Promise.all([ask(first, "What can you do?"), ask(second, SUM.question)]);
  await first.close(); // in the middle of its answer
  await expect(second.locator("output")).toHaveText(SUM.answer);
  await ask(second, TOO_LONG);
  await expect(second.getByRole("alert")).toContainText("ContextLengthExceeded");
});
