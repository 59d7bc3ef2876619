import { describe, expect, test } from "vitest";
import { LONGEST, PromptLookup, SHORTEST } from "./prompt_lookup.js";

/** The twin: looks through everything, longest first, most recent first. */
function search(tokens: readonly number[], count: number): { matched: number; draft: number[] } {
  for (let n = Math.min(LONGEST, tokens.length - 1); n >= SHORTEST; n--) {
    for (let end = tokens.length - 2; end >= n - 1; end--) {
      let same = 0;
      while (same < n && tokens[end - same] === tokens[tokens.length - 1 - same]) same++;
      if (same < n) continue;
      const text = [...tokens];
      for (let i = 0; i < count; i++) text.push(text[end + 1 + i] as number);
      return { matched: n, draft: text.slice(tokens.length) };
    }
  }
  return { matched: 0, draft: [] };
}

function lookup(of: PromptLookup, count: number, skip = 0): { matched: number; draft: number[] } {
  const into = new Int32Array(count + 2).fill(-9);
  const written = of.draft(into, 1, count, skip);
  expect([into[0], into[count + 1]]).toEqual([-9, -9]);
  return { matched: of.matched, draft: [...into.subarray(1, 1 + written)] };
}

/** Repeatable random numbers below `n`. */
function random(seed: number): (n: number) => number {
  let state = seed + 1;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

describe("PromptLookup", () => {
  test("finds what a search through everything finds, at every token of random texts", () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const below = random(seed);
      const vocab = [2, 3, 8, 200_000][seed % 4] as number;
      const of = new PromptLookup();
      const tokens: number[] = [];
      while (tokens.length < 120) {
        // Quotations of what was there, and new tokens.
        const from = below(tokens.length + 1);
        const some = below(3) === 0 ? tokens.slice(from, from + below(12)) : [below(vocab)];
        for (const token of some) {
          tokens.push(token);
          of.push(token);
          const count = 1 + below(9);
          const twin = search(tokens, count + 3);
          lengths.add(twin.matched);
          expect(lookup(of, count)).toEqual({ ...twin, draft: twin.draft.slice(0, count) });
          expect(lookup(of, count, 3).draft).toEqual(twin.draft.slice(3, 3 + count));
        }
      }
      expect(of.length).toBe(tokens.length);
    }
    expect([...lengths].sort()).toEqual([0, 2, 3, 4, 5, 6]);
  });

  test("the longest match counts before the most recent, and among these the most recent", () => {
    const of = new PromptLookup();
    for (const token of [1, 2, 3, 70, 2, 3, 71, 2, 3, 72, 1, 2, 3]) of.push(token);
    expect(lookup(of, 2)).toEqual({ matched: 3, draft: [70, 2] });
    const recent = new PromptLookup();
    for (const token of [2, 3, 70, 2, 3, 71, 2, 3]) recent.push(token);
    expect(lookup(recent, 1)).toEqual({ matched: 2, draft: [71] });
  });

  test("a loop goes on as a loop, past the end of the text", () => {
    const of = new PromptLookup();
    for (const token of [9, 4, 5, 4, 5]) of.push(token);
    expect(lookup(of, 7).draft).toEqual([4, 5, 4, 5, 4, 5, 4]);
  });

  test("without a match there is no guess", () => {
    const of = new PromptLookup();
    expect(lookup(of, 3)).toEqual({ matched: 0, draft: [] });
    for (const token of [1, 2, 3]) of.push(token);
    expect(lookup(of, 3)).toEqual({ matched: 0, draft: [] });
  });
});
