// An encoder in a real browser: its vectors are those of the native executor.

import { encoderPack, nativeVectors } from "../harness/encoder.js";
import { expect, test } from "../harness/fixtures.js";

const TEXTS = ["A dog sleeps.", "the puppy naps", "Rates rose by half a point; größer, 大"];

// A pack is made first.
test.setTimeout(600_000);

const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

/** Of each pair, and of each text with itself. */
const similarities = (vectors: number[][]) => vectors.flatMap((a) => vectors.map((b) => dot(a, b)));

test("embeds as the native executor does", async ({ page }) => {
  const native = nativeVectors(TEXTS);
  const { vectors, usage, wrong } = await page.evaluate(
    async ([pack, texts]) => {
      const engine = await webbuild.Engine.load(pack);
      const { data, usage } = await engine.embeddings.create({ input: texts });
      const wrong = await engine.chat.completions
        .create({ messages: [{ role: "user", content: "hi" }] })
        .then(
          () => "answered",
          (error) => error.name,
        );
      await engine.unload();
      return { vectors: data.map(({ embedding }) => embedding), usage, wrong };
    },
    [encoderPack(), TEXTS] as [string, string[]],
  );
  const expected = similarities(native);
  const off = similarities(vectors).map((x, i) => Math.abs(x - (expected[i] as number)));
  expect(Math.max(...off)).toBeLessThan(1e-3);
  vectors.forEach((vector, i) => {
    expect(dot(vector, native[i] as number[])).toBeCloseTo(1, 4);
  });
  // The three are not alike, so that a mix-up would show.
  expect(Math.min(...expected)).toBeLessThan(0.99);
  expect(usage.prompt_tokens).toBeGreaterThan(30);
  expect(wrong).toBe("WrongModelKind");
});
