import { expect, test } from "vitest";
import { appended, momentOf, SHOWN_MS, type Stats } from "./dashboard.js";

const stats = (drawnTokens: number) =>
  ({
    drawnTokens,
    running: 3,
    waiting: 2,
    pages: { total: 40, running: 10, cached: 20 },
  }) as Stats;

test("a moment has the rate since the look before", () => {
  expect(momentOf(stats(10), 1000, null)).toEqual({
    at: 1000,
    tokensPerSecond: 0,
    running: 3,
    waiting: 2,
    pagesRunning: 0.25,
    pagesCached: 0.5,
  });
  const before = { stats: stats(10), at: 1000 };
  expect(momentOf(stats(30), 1500, before).tokensPerSecond).toBe(40);
});

test("what is no longer shown is forgotten", () => {
  const at = (ms: number) => momentOf(stats(0), ms, null);
  const moments = appended([at(0), at(500)], at(SHOWN_MS + 100));
  expect(moments.map((moment) => moment.at)).toEqual([500, SHOWN_MS + 100]);
});
