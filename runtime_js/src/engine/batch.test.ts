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

test("every decode is served before any prompt, prompts within their share beside decodes", () => {
  fc.assert(
    fc.property(pending, limits, (wanted, most) => {
      const chosen = chooseBatch(wanted, most);
      const decodes = chosen.filter((_, i) => wanted[i] === 1);
      const prompts = chosen.filter((_, i) => (wanted[i] as number) > 1);
      if (sum(prompts) > 0) expect(decodes).not.toContain(0);
      if (sum(decodes) > 0) expect(sum(prompts)).toBeLessThanOrEqual(most.promptTokens);
      const full = wanted.filter((n) => n > 1);
      const room =
        sum(decodes) > 0 ? Math.min(most.tokens - sum(decodes), most.promptTokens) : most.tokens;
      const rows = chosen.filter((n) => n > 0).length;
      // Room is left only if nobody wants it.
      if (sum(prompts) < room && rows < most.seqs) expect(prompts).toEqual(full);
      // The first in rank is sure of half.
      const [first = 0] = prompts;
      const half = Math.min(full[0] ?? 0, Math.ceil(room / 2));
      if (rows > sum(decodes)) expect(first).toBeGreaterThanOrEqual(half);
      // Of the others, only those with less left come before one who is cut.
      prompts.slice(1).forEach((n, at) => {
        if (n === full[at + 1]) return;
        const longer = prompts
          .slice(1)
          .filter((_, i) => (full[i + 1] as number) > (full[at + 1] as number));
        expect(sum(longer)).toBe(0);
      });
    }),
  );
});

test("examples", () => {
  const most = { seqs: 4, tokens: 32, promptTokens: 16 };
  expect(chooseBatch([1, 20, 0, 1, 7], most)).toEqual([1, 9, 0, 1, 7]);
  expect(chooseBatch([9, 0, 20, 7], most)).toEqual([9, 0, 16, 7]);
  expect(chooseBatch([900, 40, 8], most)).toEqual([16, 8, 8]);
});
