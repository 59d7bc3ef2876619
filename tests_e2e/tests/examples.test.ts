// Every example, as `make build` makes it, does what it is an example of, on the demo pack.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Page } from "@playwright/test";
import { expect, test } from "../harness/fixtures.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

const ask = async (page: Page, question: string) => {
  await page.getByLabel("Question").fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
};

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

test("Node script: prints an answer", async () => {
  const script = join(root, "examples/node-script/main.mjs");
  const shipped = join(root, "demo_site/public/packs/demo");
  const pack = process.env.WEBBUILD_TEST_PACK ?? shipped;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [script, pack, "What is the sky?"]);
  expect(stdout).toMatch(/\S+ \S+/);
});

test("Prompt API: streams, and counts tokens", async ({ page, server }) => {
  await page.goto(`${server.url}examples/prompt-api/`);
  await ask(page, "What is the sky?");
  await expect(page.locator("#usage")).toHaveText(/^\d+ of 2048 tokens$/);
  await expect(page.locator("#answer")).toHaveText(/\S/);
  await expect(page.locator("progress")).toHaveJSProperty("value", 1);
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
