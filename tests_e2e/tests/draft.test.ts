// A second pack guesses for the first one: here the demo model for itself.

import { expect, PACK, test } from "../harness/fixtures.js";

test("with a draft: the same greedy answer, in fewer steps, and nothing left when it is unloaded", async ({
  page,
}) => {
  const seen = await page.evaluate(async (pack) => {
    const both = await webbuild.Engine.canRun(pack, { draft: pack });
    const engine = await webbuild.Engine.load(pack, { draft: pack, contextLength: 256 });
    const ask = async (speculation: "off" | { tokens: number; from: "draft" }) => {
      const { steps } = await engine.stats();
      const messages = [{ role: "user" as const, content: "Tell me a story." }];
      const { choices, usage } = await engine.chat.completions.create({
        messages,
        temperature: 0,
        max_tokens: 24,
        webbuild: { speculation },
      });
      const { content } = choices[0]?.message ?? {};
      const stats = await engine.stats();
      return { content, tokens: usage?.completion_tokens, steps: stats.steps - steps };
    };
    const plain = await ask("off");
    const first = await ask({ tokens: 4, from: "draft" });
    // What guesses take compiles beside, and answers go on without until it is ready.
    let drafted = first;
    for (let i = 0; i < 100 && drafted.steps >= plain.steps / 2; i++) {
      drafted = await ask({ tokens: 4, from: "draft" });
    }
    const again = await ask({ tokens: 4, from: "draft" });
    const { speculation, pages } = await engine.stats();
    const { draft, bytes } = engine.info;
    await engine.unload();
    return { plain, first, drafted, again, speculation, pages, draft, bytes, canRun: both.bytes };
  }, PACK);
  expect(seen.first.content).toBe(seen.plain.content);
  expect(seen.drafted.content).toBe(seen.plain.content);
  expect(seen.drafted.steps).toBeLessThan(seen.plain.steps / 2);
  expect(seen.again.content).toBe(seen.plain.content);
  expect(seen.speculation.draft.accepted).toBeGreaterThan(10);
  expect(seen.pages.running).toBe(0);
  expect(seen.draft?.bytes.weights).toBe(seen.bytes.weights / 2);
  expect(seen.canRun?.weights).toBe(seen.bytes.weights);
});
