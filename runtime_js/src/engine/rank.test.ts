import fc from "fast-check";
import { expect, test } from "vitest";
import { AGEING_MS, byRank, insertRanked, type Ranked, rankOf } from "./rank.js";

test("higher priority goes first, then arrival; a wait makes up for priority", () => {
  expect(rankOf(5, 1)).toBeLessThan(rankOf(0, 0));
  expect(rankOf(0, 0)).toBeLessThan(rankOf(1, 0));
  expect(rankOf(0, 0)).toBeLessThan(rankOf(2 * AGEING_MS + 1, 2));
});

test("a list filled one by one is the sorted list", () => {
  const ranks = fc.array(fc.nat(5), { maxLength: 30 });
  fc.assert(
    fc.property(ranks, (all) => {
      const items = all.map((rank, id): Ranked => ({ rank, id }));
      const list: Ranked[] = [];
      for (const item of [...items].reverse()) insertRanked(list, item);
      expect(list).toEqual([...items].sort(byRank));
    }),
  );
});
