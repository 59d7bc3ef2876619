// The browser's GPU process crashes while streams run: the real thing, in a browser of its own.

import type { BrowserContext, Page } from "@playwright/test";
import { launch, launchOptions } from "../../scripts/browser.mjs";
import { test as base, expect, PACK } from "../harness/fixtures.js";

/**
 * Chromium gives a page no adapter for two minutes after a second crash (it takes the page for the culprit), and gives up
 * on the GPU after a few more.
 */
const PATIENT = ["--disable-domain-blocking-for-3d-apis", "--disable-gpu-process-crash-limit"];

const test = base.extend<{ flags: string[]; own: BrowserContext; crash: () => Promise<void> }>({
  flags: [PATIENT, { option: true }],

  own: async ({ adapter, flags }, use) => {
    const context = await launch(adapter, { args: [...launchOptions(adapter).args, ...flags] });
    await use(context);
    await context.close();
  },

  context: ({ own }, use) => use(own),

  page: async ({ own, upstream }, use) => {
    const page = await own.newPage();
    await page.goto(`${upstream}test.html`);
    await page.waitForFunction(() => "webbuild" in globalThis);
    await use(page);
  },

  crash: async ({ own }, use) => {
    const session = await own.browser()?.newBrowserCDPSession();
    await use(async () => {
      await session?.send("Browser.crashGpuProcess");
    });
  },
});

interface Outcome {
  text: string;
  error: { name: string; message: string; data: Record<string, unknown> } | null;
}

/** What is asked at the same time: greedily, and where rounding can't tell, by chance. */
function asks(drawn: boolean) {
  const ask = { messages: [{ role: "user", content: "Tell me a story." }], temperature: 0 };
  const other = { messages: [{ role: "user", content: "What is 17 + 25?" }], temperature: 0 };
  return [ask, other, drawn ? { ...ask, temperature: 1.5, seed: 3 } : other];
}

async function load(page: Page, options: object = {}): Promise<void> {
  await page.evaluate(
    async ({ pack, options }) => {
      globalThis.engine = await webbuild.Engine.load(pack, options);
    },
    { pack: PACK, options },
  );
}

/** Begins streams of so many tokens each, and counts in `chunks` what they tell. */
async function begin(page: Page, requests: object[], max_tokens = 240): Promise<void> {
  await page.evaluate(
    ({ requests, control, max_tokens }) => {
      const state = globalThis as unknown as { chunks: number; outcomes: Promise<unknown> };
      state.chunks = 0;
      state.outcomes = Promise.all(
        requests.map(async (request) => {
          let text = "";
          try {
            const stream = await engine.chat.completions.create({
              ...request,
              // No answer ends early, and all of it is text.
              logit_bias: Object.fromEntries(control.map((id) => [id, -100])),
              max_tokens,
              stream: true,
            } as never);
            for await (const { choices } of stream as never as AsyncIterable<{
              choices: { delta: { content?: string } }[];
            }>) {
              text += choices[0]?.delta.content ?? "";
              state.chunks++;
            }
            return { text, error: null };
          } catch (thrown) {
            const { name, message, data } = thrown as InstanceType<typeof webbuild.WebbuildError>;
            return { text, error: { name, message, data } };
          }
        }),
      );
    },
    { requests, max_tokens, control: await controlTokens(page) },
  );
}

/** What ends an answer is among them. */
function controlTokens(page: Page): Promise<number[]> {
  return page.evaluate(async (pack) => {
    const tokenizer = await (await fetch(`${pack}tokenizer.json`)).json();
    return tokenizer.added_tokens.map(({ id }: { id: number }) => id);
  }, PACK);
}

/** How they ended. */
function outcomes(page: Page): Promise<Outcome[]> {
  return page.evaluate(() => (globalThis as unknown as { outcomes: Promise<Outcome[]> }).outcomes);
}

async function chunks(page: Page, atLeast: number): Promise<void> {
  const enough = (n: number) => (globalThis as unknown as { chunks: number }).chunks >= n;
  await page.waitForFunction(enough, atLeast, { polling: 5 });
}

function device(page: Page) {
  return page.evaluate(async () => (await engine.stats()).device);
}

for (const [tier, at] of [
  [undefined, 1],
  ["f32", 1],
  ["f32", 30],
] as const) {
  test(`${tier ?? "first tier"}: streams whose GPU process crashes after ${at} pieces of text, and twice, get the tokens of an undisturbed run`, async ({
    page,
    crash,
  }) => {
    await load(page, tier ? { tier } : {});
    const requests = asks(tier === "f32");
    await begin(page, requests);
    const undisturbed = await outcomes(page);
    for (const { text, error } of undisturbed) {
      expect(error).toBeNull();
      expect(text.length).toBeGreaterThan(20);
    }
    for (const losses of [1, 2]) {
      await begin(page, requests);
      await chunks(page, at);
      await crash();
      expect(await outcomes(page)).toEqual(undisturbed);
      await expect.poll(() => device(page)).toMatchObject({ state: "ready", losses });
    }
  });
}

test.describe("as browsers are", () => {
  test.use({ flags: [] });

  test("after a second crash there is no adapter: it is waited for, then streams end by name", async ({
    page,
    crash,
  }) => {
    await load(page, { recovery: { adapterMs: 1500 } });
    const [ask] = asks(false);
    await begin(page, [ask as object]);
    const undisturbed = await outcomes(page);
    await begin(page, [ask as object]);
    await chunks(page, 1);
    await crash();
    expect(await outcomes(page)).toEqual(undisturbed);
    await expect.poll(() => device(page)).toMatchObject({ state: "ready", losses: 1 });
    await begin(page, [ask as object], 1500);
    await chunks(page, 1);
    await crash();
    const [ended] = await outcomes(page);
    expect(ended?.error).toMatchObject({
      name: "DeviceLostError",
      message: expect.stringContaining("found no usable GPU"),
    });
    // What it had told is right.
    const { text } = ended as Outcome;
    expect(text.slice(0, 200)).toBe(undisturbed[0]?.text.slice(0, Math.min(200, text.length)));
    expect(await device(page)).toMatchObject({ state: "lost", losses: 2 });
  });
});
