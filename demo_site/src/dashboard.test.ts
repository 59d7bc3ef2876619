import { expect, test } from "vitest";
import { appended, looksWith, momentOf, recentOf, SHOWN_MS, type Stats } from "./dashboard.js";

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

/** Sums after so many steps of `batch` requests. */
const after = (steps: number, batch: number, guessed = 0) =>
  ({
    meanBatch: batch,
    cache: { cachedTokens: 30 * steps, hitRate: 0.9 },
    speculation: { guessed, accepted: guessed / 4, acceptanceRate: 0.25 },
    sums: {
      steps,
      batch: steps * batch,
      askedTokens: 40 * steps,
      planMs: steps,
      encodeMs: 2 * steps,
      waitMs: 9 * steps,
    },
  }) as Stats;

test("recent means are of the time between two looks, whatever was before", () => {
  const before = after(1000, 1, 800);
  const now = after(1010, 1, 840);
  now.sums.batch = before.sums.batch + 40;
  now.cache.cachedTokens = before.cache.cachedTokens + 100;
  now.speculation.accepted = before.speculation.accepted + 30;
  expect(recentOf(now, before)).toEqual({
    batch: 4,
    hitRate: 0.25,
    acceptance: 0.75,
    stepMs: { plan: 1, encode: 2, wait: 9 },
  });
});

test("nothing is said of what did not happen, such as guesses", () => {
  const nothing = { batch: null, hitRate: null, acceptance: null, stepMs: null };
  expect(recentOf(after(7, 2, 8), after(7, 2, 8))).toEqual(nothing);
  expect(recentOf(after(8, 2), after(7, 2)).acceptance).toBeNull();
});

test("the first look that is kept is the last one before the time shown", () => {
  let looks: ReturnType<typeof looksWith> = [];
  const times = () => looks.map(({ at }) => at);
  for (const at of [0, 500, SHOWN_MS]) looks = looksWith(looks, { stats: stats(0), at });
  expect(times()).toEqual([0, 500, SHOWN_MS]);
  looks = looksWith(looks, { stats: stats(0), at: SHOWN_MS + 600 });
  expect(times()).toEqual([500, SHOWN_MS, SHOWN_MS + 600]);
  looks = looksWith(looks, { stats: stats(0), at: 9 * SHOWN_MS }); // at rest for long
  expect(times()).toEqual([SHOWN_MS + 600, 9 * SHOWN_MS]);
});

test("what is no longer shown is forgotten", () => {
  const at = (ms: number) => momentOf(stats(0), ms, null);
  const moments = appended([at(0), at(500)], at(SHOWN_MS + 100));
  expect(moments.map((moment) => moment.at)).toEqual([500, SHOWN_MS + 100]);
});
