import fc from "fast-check";
import { expect, test } from "vitest";
import { commonPrefix, fits, waitsForPrefix } from "./admission.js";

test("what runs alone always fits; others leave a page for each", () => {
  expect(fits(0, { available: 1, promised: 0, needed: 9 })).toBe(true);
  expect(fits(2, { available: 10, promised: 3, needed: 4 })).toBe(true);
  expect(fits(2, { available: 10, promised: 3, needed: 5 })).toBe(false);
});

test("it waits exactly if somebody is about to have a whole page more of its beginning", () => {
  const tokens = fc
    .array(fc.nat(1), { minLength: 1, maxLength: 14 })
    .map((t) => Int32Array.from(t));
  const computing = fc.array(fc.record({ prompt: tokens, computed: fc.nat(8) }), { maxLength: 3 });
  const pageSize = 3;
  fc.assert(
    fc.property(tokens, computing, fc.nat(12), (mine, others, matched) => {
      const more = others.some(({ prompt, computed }) => {
        for (let end = pageSize; end < mine.length && end <= prompt.length; end += pageSize) {
          const same = mine.slice(0, end).join() === prompt.slice(0, end).join();
          if (same && end > matched && end > computed) return true;
        }
        return false;
      });
      expect(waitsForPrefix(mine, matched, others, pageSize)).toBe(more);
    }),
  );
  expect(commonPrefix(Int32Array.of(1, 2, 3), Int32Array.of(1, 2))).toBe(2);
});
