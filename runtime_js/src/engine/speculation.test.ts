import { describe, expect, test } from "vitest";
import { AnswerLengths } from "./answer_lengths.js";
import {
  Acceptance,
  type Candidate,
  DEPTHS,
  expectedTokens,
  type Source,
  Speculation,
} from "./speculation.js";

/** Repeatable random numbers below 1. */
function random(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Milliseconds of a plain step. */
const BASE = 10;
const WAIT = 0.5;

interface Setting {
  /** Of a step with guesses, by its tokens, in plain steps. */
  cost: (tokens: number) => number;
  /** Whether the next guess is right, by tokens so far. */
  rate: (done: number) => number;
  /** Of all answers. */
  tokens: number;
  /** Tokens of an answer, by its number; nobody knows it before. */
  length?: (request: number) => number;
  /** Whose time counts, where one runs at a time (default: everyone's). */
  counts?: (request: number) => boolean;
  /** Tokens of each prompt, and plain steps that one of them takes. */
  prompt?: { tokens: number; cost: number };
  /** Requests at once. */
  rows?: number;
  noise?: number;
  /** A fixed depth in place of the measured choice. */
  fixed?: number;
  /** Guesses are a draft's: plain steps that one of it takes; so much less time do prompts take it, too. */
  draft?: number;
}

/** Guesses of each candidate, from what the text repeats. */
function chosen(of: Speculation, rows: number, candidates: Candidate[], room: number): number[] {
  const { guesses } = of.choose(rows, [{ origin: "prompt", candidates }], room) ?? {};
  return guesses ?? candidates.map(() => 0);
}

/** Simulates requests, in each place one after another. @returns what plain steps would take, by what was taken */
function simulate(setting: Setting, seed = 1): number {
  const { cost, rate, tokens, length = () => 300, noise = 0.05, fixed, draft } = setting;
  const { prompt = { tokens: 50, cost: 0.02 }, rows = 1, counts = () => true } = setting;
  const origin = draft === undefined ? "prompt" : "draft";
  const next = random(seed);
  const jitter = () => 1 + noise * (2 * next() - 1);
  const speculation = new Speculation();
  const lengths = new AnswerLengths();
  const all = new Acceptance();
  const promptMs = BASE * prompt.tokens * prompt.cost;
  let requests = 0;
  let time = 0;
  let plain = 0;
  const add = (ms: number, plainMs: number, request: number) => {
    if (!counts(request)) return;
    time += ms;
    plain += plainMs;
  };
  const begin = () => {
    speculation.prompts(prompt.tokens, promptMs);
    add(promptMs, promptMs, requests);
    const acceptance = new Acceptance(all.rate, all);
    return { acceptance, done: 1, end: length(requests++), lag: prompt.tokens };
  };
  const running = Array.from({ length: rows }, begin);
  let waited = true;
  for (let done = 0; done < tokens; ) {
    const candidates = running.map(({ acceptance, done, lag }) => {
      const left = lengths.left(done);
      return { rate: acceptance.rate, most: 15, left, ...(draft === undefined ? {} : { lag }) };
    });
    const source: Source = { origin, candidates, cost: draft ?? 0 };
    const guesses =
      fixed === undefined
        ? speculation.choose(rows, [source], 60)?.guesses
        : running.map(() => fixed);
    const current = requests - 1;
    let lag = 0;
    let checked = rows;
    let gained = 0;
    running.forEach((of, i) => {
      const guessed = guesses?.[i] ?? 0;
      let right = 0;
      while (right < guessed && next() < rate(done + right)) right++;
      of.acceptance.checked(guessed, right);
      if (guessed > 0) lag += of.lag;
      of.lag = guessed === 0 ? of.lag + 1 : right === guessed ? 2 : 1;
      const more = Math.min(1 + right, of.end - of.done);
      checked += guessed;
      gained += more;
      of.done += more;
      if (of.done < of.end) return;
      lengths.ended(of.end);
      running[i] = begin();
    });
    const depth = Math.max(0, ...(guesses ?? []));
    const drafts = (draft ?? 0) * (depth + lag * prompt.cost);
    const ms =
      depth === 0
        ? BASE * jitter() + (waited ? WAIT : 0)
        : BASE * (cost(checked) + drafts) * jitter() + WAIT;
    if (depth === 0) speculation.plain(rows, ms, !waited);
    else {
      const lags = draft === undefined ? {} : { lag };
      speculation.checked({ rows, tokens: checked, gained, ms, origin, ...lags });
    }
    waited = depth > 0;
    add(ms, (gained / rows) * BASE, current);
    done += gained;
  }
  return plain / time;
}

/** Of a step with guesses: nearly free, as on GPUs; more for each token; and a path that is not made for few rows. */
const COSTS: Record<string, (tokens: number) => number> = {
  flat: () => 1.08,
  line: (tokens) => 1.1 + 0.12 * (tokens - 1),
  steps: (tokens) => [1.2, 1.3, 1.7, 3][Math.ceil(Math.log2(tokens)) - 1] ?? 5,
  steep: (tokens) => 1 + 0.5 * (tokens - 1),
  dear: () => 6,
};
const RATES: Record<string, (done: number) => number> = {
  never: () => 0,
  rarely: () => 0.15,
  half: () => 0.5,
  mostly: () => 0.8,
  always: () => 1,
  waves: (done) => (done % 400 < 200 ? 0.95 : 0.02),
  bursts: (done) => (done % 40 < 12 ? 0.9 : 0.05),
};

describe("Speculation", () => {
  const cases = Object.keys(COSTS).flatMap((c) => Object.keys(RATES).map((r) => [c, r] as const));

  test.each(cases)("cost %s, right %s: never below 0.97 of plain steps", (c, r) => {
    for (let seed = 0; seed < 6; seed++) {
      const setting = { cost: COSTS[c] as Setting["cost"], rate: RATES[r] as Setting["rate"] };
      expect(simulate({ ...setting, tokens: 1500 }, seed)).toBeGreaterThan(0.97);
      // Short requests too, and steps whose times scatter.
      const short = { ...setting, tokens: 1500, length: () => 40, noise: 0.2 };
      expect(simulate(short, seed)).toBeGreaterThan(0.97);
    }
  });

  test.each(cases)("cost %s, right %s: most of what the best fixed depth gains", (c, r) => {
    if (r === "waves" || r === "bursts") return; // no fixed depth is the right one
    const setting = { cost: COSTS[c] as Setting["cost"], rate: RATES[r] as Setting["rate"] };
    const best = Math.max(...DEPTHS.map((fixed) => simulate({ ...setting, tokens: 4000, fixed })));
    const measured = simulate({ ...setting, tokens: 4000 });
    if (best > 1.15) expect(measured).toBeGreaterThan(0.7 * best);
  });

  test.each(cases)("a draft, cost %s, right %s: never below 0.97 of plain steps", (c, r) => {
    const setting = { cost: COSTS[c] as Setting["cost"], rate: RATES[r] as Setting["rate"] };
    for (const [i, step] of [0.05, 0.15, 0.5, 1].entries()) {
      expect(simulate({ ...setting, tokens: 1500, draft: step }, i)).toBeGreaterThan(0.97);
      const short = { ...setting, tokens: 1500, length: () => 40, noise: 0.2, draft: step };
      expect(simulate(short, i)).toBeGreaterThan(0.97);
    }
  });

  test.each(cases)("short answers, cost %s, right %s: never below 0.97 of plain steps", (c, r) => {
    const setting = { cost: COSTS[c] as Setting["cost"], rate: RATES[r] as Setting["rate"] };
    for (const length of [3, 5, 8, 20]) {
      for (const rows of [1, 3]) {
        const tokens = length % 2 === rows % 2 ? 1000 : 100;
        const short = { ...setting, tokens: 800, rows, prompt: { tokens, cost: 0.05 } };
        for (const draft of [undefined, 0.05, 0.2, 0.5]) {
          const of = { ...short, length: () => length, ...(draft === undefined ? {} : { draft }) };
          expect(simulate(of, length)).toBeGreaterThan(0.97);
        }
      }
    }
  });

  test.each([
    ["in turns", (i: number) => (i % 12 < 6 ? 30 : 5)],
    ["one of each", (i: number) => (i % 2 === 0 ? 30 : 5)],
    ["far longer", (i: number) => (i % 3 === 0 ? 200 : 8)],
  ])("what long answers gain is not spent on short ones: %s", (_, length) => {
    const short = (i: number) => length(i) < 10;
    for (const cost of ["flat", "line", "steps"] as const) {
      for (const rate of [1, 0.7, 0.2]) {
        for (const tokens of [14, 100]) {
          const prompt = { tokens, cost: 0.1 };
          const mixed = { cost: COSTS[cost] as Setting["cost"], rate: () => rate, length, prompt };
          const of = { ...mixed, tokens: 3000, draft: 0.18 };
          expect(simulate({ ...of, counts: short })).toBeGreaterThan(0.95);
          if (rate < 1) continue;
          const gained = simulate({ ...of, counts: (i) => !short(i) });
          expect(gained).toBeGreaterThan(tokens === 14 ? 1.8 : 1.2);
        }
      }
    }
  });

  test("a draft reads a long prompt for a long answer, and not for a short one", () => {
    const prompt = { tokens: 1000, cost: 0.05 };
    const setting = { cost: COSTS["line"] as Setting["cost"], rate: () => 1, prompt, draft: 0.15 };
    const gained = (length: number) => simulate({ ...setting, tokens: 4000, length: () => length });
    expect(gained(8)).toBeGreaterThan(0.99);
    expect(gained(8)).toBeLessThan(1.01);
    expect(gained(400)).toBeGreaterThan(1.6);
  });

  test("a cheap draft that is mostly right: most of what the best fixed depth gains", () => {
    for (const rate of [0.7, 0.85, 0.95]) {
      const setting = { cost: COSTS["line"] as Setting["cost"], rate: () => rate, draft: 0.1 };
      const fixed = DEPTHS.map((fixed) => simulate({ ...setting, tokens: 4000, fixed }));
      const best = Math.max(...fixed);
      expect(best).toBeGreaterThan(1.15);
      expect(simulate({ ...setting, tokens: 4000 })).toBeGreaterThan(0.7 * best);
    }
  });

  test("expected tokens are the sum over guesses that are right", () => {
    expect(expectedTokens(0, 5)).toBe(1);
    expect(expectedTokens(1, 5)).toBe(6);
    expect(expectedTokens(0.5, 3)).toBeCloseTo(1.875);
    expect(expectedTokens(1, 3, 1)).toBe(1); // it ends with the next
    expect(expectedTokens(1, 3, 2)).toBeCloseTo(1.875);
  });

  test("acceptance follows what was checked; guesses after a wrong one say nothing", () => {
    const of = new Acceptance();
    for (let i = 0; i < 200; i++) of.checked(15, 1);
    expect(of.rate).toBeGreaterThan(0.4);
    expect(of.rate).toBeLessThan(0.6);
    for (let i = 0; i < 100; i++) of.checked(3, 3);
    expect(of.rate).toBeGreaterThan(0.99);
  });

  /** Plain steps of 1 and 4 requests, and steps of up to 16 tokens that take `ms`. */
  function measured(ms: number): Speculation {
    const speculation = new Speculation();
    for (let i = 0; i < 400; i++) for (const rows of [1, 4]) speculation.plain(rows, BASE, true);
    for (const tokens of [2, 4, 8, 16]) speculation.checked({ rows: 1, tokens, gained: 20, ms });
    return speculation;
  }

  test("guesses nothing before plain steps are measured, and without candidates", () => {
    const sure = { rate: 1, most: 15 };
    expect(chosen(new Speculation(), 1, [sure], 15)).toEqual([0]);
    expect(chosen(measured(11), 1, [], 15)).toEqual([]);
    expect(chosen(measured(11), 2, [sure], 15)).toEqual([0]); // 2 rows: not measured
    expect(chosen(measured(11), 1, [sure], 15)).toEqual([15]);
  });

  test("stays within what requests and step have room for", () => {
    expect(chosen(measured(11), 1, [{ rate: 1, most: 5 }], 15)).toEqual([5]);
    expect(chosen(measured(11), 1, [{ rate: 1, most: 15 }], 8)).toEqual([7]);
    expect(chosen(measured(11), 1, [{ rate: 1, most: 15 }], 0)).toEqual([0]);
    const four = Array.from({ length: 4 }, () => ({ rate: 0.9, most: 15 }));
    expect(chosen(measured(11), 4, four, 12)).toEqual([3, 3, 3, 3]);
  });

  test("what requests that don't guess take is nobody's to lose", () => {
    // The draft has to read a text first, for 4 plain steps' time; the account begins with 2.
    const candidates = [{ rate: 1, most: 15, lag: 2000, left: 3000 }];
    const sources: Source[] = [{ origin: "draft", candidates, cost: 0.1 }];
    const chosenAfter = (pays: boolean) => {
      const speculation = new Speculation();
      for (let i = 0; i < 3; i++) speculation.plain(1, BASE, true);
      speculation.prompts(50, 10, pays);
      for (let i = 0; i < 1000; i++) speculation.plain(1, BASE, true, pays);
      return speculation.choose(1, sources, 15);
    };
    expect(chosenAfter(false)).toBeUndefined();
    expect(chosenAfter(true)).toMatchObject({ origin: "draft" });
  });

  test("others who share the step don't pay for it", () => {
    const one = [{ rate: 1, most: 3 }];
    expect(chosen(measured(10.5), 4, one, 12)).toEqual([3]);
    expect(chosen(measured(14), 4, one, 12)).toEqual([0]);
    expect(chosen(measured(14), 1, one, 12)).toEqual([3]);
  });
});
