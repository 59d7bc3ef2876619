// Tuning in the page: kernels are measured once on this device, and answers stay what they are.

import { expect, PACK, test } from "../harness/fixtures.js";

test.setTimeout(300_000);

test("a pack is tuned once in this browser, and answers as before", async ({ page }) => {
  const loads = await page.evaluate(async (pack) => {
    const results = [];
    for (const tune of [true, true, true, true, true, false]) {
      const phases: string[] = [];
      const onProgress = ({ phase }: { phase: string }) => phases.push(phase);
      const engine = await webbuild.Engine.load(pack, { tune, onProgress });
      const messages = [{ role: "user" as const, content: "What is 7 plus 5?" }];
      const request = { messages, temperature: 0, max_tokens: 16 };
      const { choices } = await engine.chat.completions.create(request);
      results.push({
        tuning: engine.info.tuning,
        answer: choices[0]?.message.content,
        tuned: phases.includes("tune"),
      });
      await engine.unload();
    }
    return results;
  }, PACK);
  const [first, plain] = [loads[0], loads.at(-1)];
  const tuned = loads.slice(0, -1);
  expect(first?.tuning?.cached).toBe(false);
  expect([first?.tuned, plain?.tuned]).toEqual([true, false]);
  expect(plain?.tuning).toBeNull();
  // Kernels that a load had no time for are measured in the next one, each once.
  for (const [i, { tuning, answer }] of tuned.entries()) {
    const before = tuned[i - 1]?.tuning;
    expect(tuning?.cached).toBe(before?.problem === null);
    expect(tuning?.measured).toBeGreaterThanOrEqual(before?.measured ?? 0);
    expect(answer).toBe(plain?.answer);
  }
  expect(tuned.at(-1)?.tuning?.measured).toBeGreaterThan(0);
});

test("aborted while it measures, a load ends with AbortError", async ({ page }) => {
  const name = await page.evaluate(async (pack) => {
    const controller = new AbortController();
    const onProgress = ({ phase }: { phase: string }) => {
      if (phase === "tune") controller.abort();
    };
    const options = { tune: true, onProgress, signal: controller.signal };
    return webbuild.Engine.load(pack, options).then(
      () => "loaded",
      (error: Error) => error.name,
    );
  }, PACK);
  expect(name).toBe("AbortError");
});
