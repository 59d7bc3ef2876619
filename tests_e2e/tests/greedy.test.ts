// The browser and the native executor play the same program: their greedy answers are the same,
// in every tier. An executor that differs has a bug.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "@playwright/test";
import { expect, PACK, test } from "../harness/fixtures.js";
import { siteFolder } from "../harness/site.js";

interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

const MAX_TOKENS = 64;

// Thousands of tokens on a CPU.
test.setTimeout(600_000);

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Fifty conversations that the demo model has not seen, spread over its tasks. */
function heldOut(count = 50): Message[][] {
  const items = readFileSync(join(root, "builder/demo_model/heldout.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter((item) => !item.tools && !item.messages.some((m: Message) => m.content === undefined));
  const step = items.length / count;
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * step)].messages);
}

function natively(conversations: Message[][], tier: string, pack = PACK): string[] {
  const { status, stdout, stderr } = spawnSync(
    "python",
    [join(root, "tests_e2e/harness/native.py"), join(siteFolder, pack), tier, String(MAX_TOKENS)],
    { input: JSON.stringify(conversations), encoding: "utf8", maxBuffer: 1 << 26 },
  );
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}

/** Answers of a freshly loaded engine. */
async function inBrowser(
  page: Page,
  conversations: Message[][],
  tier: string,
  pack = PACK,
): Promise<string[]> {
  return page.evaluate(
    async ({ pack, conversations, tier, max_tokens }) => {
      const engine = await webbuild.Engine.load(pack, { tier });
      const answers = [];
      for (const messages of conversations) {
        const request = { messages, temperature: 0, max_tokens };
        const { choices } = await engine.chat.completions.create(request);
        answers.push(choices[0]?.message.content ?? "");
      }
      await engine.unload();
      return answers;
    },
    { pack, conversations, tier, max_tokens: MAX_TOKENS },
  );
}

/** A conversation whose prompt has exactly this many tokens. */
async function promptOf(page: Page, tokens: number): Promise<Message[]> {
  return page.evaluate(async (tokens) => {
    const ask = (words: number) => [
      { role: "user" as const, content: `Repeat: ${"7 ".repeat(words).trim()}` },
    ];
    const count = (words: number) => engine.countTokens(ask(words));
    const [one, ten] = [await count(1), await count(10)];
    const words = 1 + Math.round(((tokens - one) * 9) / (ten - one));
    // Words may take more than one token: lengthen the last ones letter by letter.
    for (let fewer = words; fewer > 0; fewer--) {
      for (const filler of ["", " a", " a b", " a b c", " a b c d"]) {
        const messages = [{ role: "user" as const, content: ask(fewer)[0]?.content + filler }];
        if ((await engine.countTokens(messages)) === tokens) return messages;
      }
    }
    throw new Error(`no prompt of ${tokens} tokens`);
  }, tokens);
}

for (const tier of ["f16", "f32"]) {
  test(`greedy answers equal the native executor's, ${tier} tier`, async ({ page, enginePage }) => {
    const { info } = await enginePage.evaluate(() => ({ info: engine.info }));
    test.skip(tier === "f16" && info.tier !== "f16", "this adapter has no shader-f16");
    const conversations = heldOut();
    for (const tokens of [31, 32, 33, 500, 2000]) {
      conversations.push(await promptOf(enginePage, tokens));
    }
    expect(await inBrowser(page, conversations, tier)).toEqual(natively(conversations, tier));
  });
}

test("greedy answers equal the native executor's with keys and values in int8", async ({
  page,
}) => {
  const pack = "packs/int8/";
  const args = [join(root, "builder/demo_model/checkpoint"), "-o", join(siteFolder, pack)];
  const made = spawnSync("webbuild", ["pack", ...args, "--kv", "int8", "--force", "-q"]);
  expect(made.status, String(made.stderr)).toBe(0);
  const conversations = heldOut(12);
  const { tiers } = JSON.parse(readFileSync(join(siteFolder, pack, "program.json"), "utf8"));
  expect(tiers.f32.kv_dtype).toBe("int8");
  expect(await inBrowser(page, conversations, "f32", pack)).toEqual(
    natively(conversations, "f32", pack),
  );
});

test("prompts of one and two tokens", async ({ page }) => {
  const conversations = ["7", "77"].map((content) => [{ role: "user" as const, content }]);
  const counts = await page.evaluate(
    async ({ conversations }) => {
      const engine = await webbuild.Engine.load("packs/bare/", { tier: "f32" });
      const counted = [];
      for (const messages of conversations) counted.push(await engine.countTokens(messages));
      await engine.unload();
      return counted;
    },
    { conversations },
  );
  expect(counts).toEqual([1, 2]);
  const answers = await inBrowser(page, conversations, "f32", "packs/bare/");
  expect(answers).toEqual(natively(conversations, "f32", "packs/bare/"));
});

test("without shader-f16 greedy answers are those of the native f32 tier @tiers", async ({
  page,
  enginePage,
}) => {
  const tier = await enginePage.evaluate(() => engine.info.tier);
  test.skip(tier === "f16", "this adapter has shader-f16");
  const conversations = heldOut(4);
  expect(await inBrowser(page, conversations, "f32")).toEqual(natively(conversations, "f32"));
});

test("a full context ends the answer, and is no error", async ({ enginePage }) => {
  const messages = await promptOf(enginePage, 2000);
  const { completion, contextLength } = await enginePage.evaluate(
    async ({ pack, messages }) => {
      // Without its end of turn the model can't stop by itself.
      const { tokens } = await (await fetch(`${pack}pack.json`)).json();
      const completion = await engine.chat.completions.create({
        messages,
        temperature: 0,
        max_tokens: 1000,
        logit_bias: Object.fromEntries(tokens.eos.map((id: number) => [id, -100])),
      });
      return { completion, contextLength: engine.info.contextLength };
    },
    { pack: PACK, messages },
  );
  expect(completion.choices[0]?.finish_reason).toBe("length");
  expect(completion.usage?.total_tokens).toBe(contextLength);
});
