import { describe, expect, test } from "vitest";
import {
  ChunkBudget,
  FIRST_TOKENS,
  LEAST_TOKENS,
  LONGEST_MS,
  PROBE_EVERY,
  RHYTHM,
} from "./chunk_budget.js";

const MOST = 512;

/** Repeatable noise of ±20 %. */
function noise(): () => number {
  let state = 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return 0.8 + (0.4 * state) / 2147483647;
  };
}

/** Steps on a device where a decode step takes `decode` ms and a mixed one `fixed + perToken · tokens`; the last budgets. */
function settle(decode: number, fixed: number, perToken: number, ends = true): number[] {
  const budget = new ChunkBudget(MOST);
  const vary = noise();
  const used: number[] = [];
  for (let i = 0; i < 200; i++) {
    budget.arrived(0, decode * vary());
    const tokens = ends && i % 7 === 6 ? Math.ceil(budget.tokens / 3) : budget.tokens; // the end of a prompt
    budget.arrived(tokens, (fixed + perToken * tokens) * vary());
    if (i >= 50) used.push(budget.tokens);
  }
  return used;
}

describe("ChunkBudget", () => {
  test("before a decode and a mixed step have been measured it is a fixed number", () => {
    const budget = new ChunkBudget(MOST);
    expect(budget.tokens).toBe(FIRST_TOKENS);
    budget.arrived(0, 1);
    expect(budget.tokens).toBe(FIRST_TOKENS);
    expect(new ChunkBudget(8).tokens).toBe(8);
  });

  test.each([
    { decode: 10, fixed: 10, perToken: 0.2 },
    { decode: 10, fixed: 2, perToken: 0.1 },
    { decode: 30, fixed: 35, perToken: 1 },
  ])("settles near the rhythm: $decode ms, $fixed + $perToken per token", (cost) => {
    const best = (RHYTHM * cost.decode - cost.fixed) / cost.perToken;
    const used = settle(cost.decode, cost.fixed, cost.perToken).sort((a, b) => a - b);
    const at = (share: number) => used[Math.floor(share * (used.length - 1))] as number;
    expect(at(0.5)).toBeGreaterThan(0.6 * best);
    // Above that are the probes.
    expect(at(1 - 1 / PROBE_EVERY - 0.05)).toBeLessThan(1.5 * best);
  });

  test("where a mixed step's fixed part is long, chunks are long enough to be worth it", () => {
    for (const ends of [true, false]) {
      const used = settle(5, 40, 0.4, ends).sort((a, b) => a - b);
      expect(used[used.length >> 1]).toBeGreaterThanOrEqual(64);
    }
  });

  test("slow tokens leave the least, free ones take all", () => {
    expect(Math.max(...settle(1, 1, 100))).toBe(2 * LEAST_TOKENS);
    const budget = new ChunkBudget(MOST);
    budget.arrived(0, 10);
    budget.arrived(64, 10);
    expect(budget.tokens).toBe(MOST);
  });

  test("within a time: as many tokens as take it, from the first measured step on", () => {
    const budget = new ChunkBudget(MOST);
    expect(budget.within(8)).toBe(FIRST_TOKENS);
    const cost = (tokens: number) => 2 + 0.05 * tokens;
    let tokens = FIRST_TOKENS;
    for (let i = 0; i < 40; i++) {
      const part = i % 5 === 4 ? Math.ceil(tokens / 3) : tokens; // the end of a prompt
      budget.arrived(part, cost(part));
      tokens = budget.within(8);
    }
    expect(cost(tokens)).toBeGreaterThan(4);
    expect(cost(tokens)).toBeLessThanOrEqual(9);
    expect(budget.within(0)).toBe(LEAST_TOKENS);
    expect(budget.within(1e6)).toBe(MOST);
  });

  test("no step lasts long, but prompts are not cut small", () => {
    const fast = new ChunkBudget(MOST);
    expect(fast.bound).toBe(FIRST_TOKENS);
    fast.arrived(FIRST_TOKENS, 3);
    expect(fast.bound).toBe(MOST);
    const slow = new ChunkBudget(MOST);
    for (let i = 0; i < 40; i++) slow.arrived(slow.bound, 3 * slow.bound);
    expect(slow.bound).toBeLessThanOrEqual(LONGEST_MS / 3);
    expect(slow.bound).toBeGreaterThan(FIRST_TOKENS);
    const slowest = new ChunkBudget(MOST);
    slowest.arrived(FIRST_TOKENS, 60_000);
    expect(slowest.bound).toBe(FIRST_TOKENS);
  });
});
