import fc from "fast-check";
import { expect, test } from "vitest";
import { chooseBatch } from "./batch.js";

const limits = fc.record({
  seqs: fc.integer({ min: 1, max: 6 }),
  tokens: fc.integer({ min: 1, max: 12 }),
  promptTokens: fc.integer({ min: 1, max: 12 }),
});
const pending = fc.array(fc.oneof(fc.nat(2), fc.nat(20)), { maxLength: 8 });

const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

test("within the limits, nobody gets more than is pending, and no step is empty while something is", () => {
  fc.assert(
    fc.property(pending, limits, (wanted, most) => {
      const chosen = chooseBatch(wanted, most);
      expect(chosen).toHaveLength(wanted.length);
      chosen.forEach((n, i) => {
        expect(n).toBeGreaterThanOrEqual(0);
        expect(n).toBeLessThanOrEqual(wanted[i] as number);
      });
      expect(chosen.filter((n) => n > 0).length).toBeLessThanOrEqual(most.seqs);
      expect(sum(chosen)).toBeLessThanOrEqual(most.tokens);
      if (sum(wanted) > 0) expect(sum(chosen)).toBeGreaterThan(0);
    }),
  );
});

test("every decode is served before any prompt, prompts in order, and within their share beside decodes", () => {
  fc.assert(
    fc.property(pending, limits, (wanted, most) => {
      const chosen = chooseBatch(wanted, most);
      const decodes = chosen.filter((_, i) => wanted[i] === 1);
      const prompts = chosen.filter((_, i) => (wanted[i] as number) > 1);
      if (sum(prompts) > 0) expect(decodes).not.toContain(0);
      if (sum(decodes) > 0) expect(sum(prompts)).toBeLessThanOrEqual(most.promptTokens);
      // Whoever got less than all of its prompt is the last who got any.
      const full = wanted.filter((n) => n > 1);
      const cut = prompts.findIndex((n, i) => n < (full[i] as number));
      if (cut >= 0) expect(sum(prompts.slice(cut + 1))).toBe(0);
      // Room is left only if nobody wants it.
      const room =
        sum(decodes) > 0 ? Math.min(most.tokens - sum(decodes), most.promptTokens) : most.tokens;
      const rows = chosen.filter((n) => n > 0).length;
      if (sum(prompts) < room && rows < most.seqs) expect(prompts).toEqual(full);
    }),
  );
});

test("an example", () => {
  const most = { seqs: 4, tokens: 32, promptTokens: 16 };
  expect(chooseBatch([1, 20, 0, 1, 7], most)).toEqual([1, 16, 0, 1, 0]);
  expect(chooseBatch([9, 0, 20, 7], most)).toEqual([9, 0, 20, 3]);
});
