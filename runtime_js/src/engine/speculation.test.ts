import { describe, expect, test } from "vitest";
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
  tokens: number;
  /** Tokens of a request; each begins with no experience. */
  length?: number;
  noise?: number;
  /** A fixed depth in place of the measured choice. */
  fixed?: number;
  /** Guesses are a draft's: plain steps that one of it takes, and one of its prompt's tokens; each request has so many of these. */
  draft?: { step: number; token: number; prompt: number };
}

/** Guesses of each candidate, from what the text repeats. */
function chosen(of: Speculation, rows: number, candidates: Candidate[], room: number): number[] {
  const { guesses } = of.choose(rows, [{ origin: "prompt", candidates }], room) ?? {};
  return guesses ?? candidates.map(() => 0);
}

/** Simulates one request after another, alone. @returns tokens per plain step's time, so that 1 is what plain steps reach */
function simulate(setting: Setting, seed = 1): number {
  const { cost, rate, tokens, length = 300, noise = 0.05, fixed, draft } = setting;
  const next = random(seed);
  const jitter = () => 1 + noise * (2 * next() - 1);
  const speculation = new Speculation();
  let time = 0;
  let waited = true;
  for (let done = 0; done < tokens; ) {
    const acceptance = new Acceptance();
    let lag = draft?.prompt ?? 0;
    if (draft) speculation.prompts(lag, (BASE * lag * draft.token) / draft.step);
    for (const end = Math.min(tokens, done + length); done < end; ) {
      const most = Math.min(15, end - done - 1);
      const candidates = [{ rate: acceptance.rate, most, lag }];
      const source: Source = draft
        ? { origin: "draft", candidates, cost: draft.step }
        : { origin: "prompt", candidates };
      const [guesses] =
        fixed === undefined
          ? (speculation.choose(1, [source], 15)?.guesses ?? [0])
          : [Math.min(fixed, most)];
      if (!guesses) {
        const ms = BASE * jitter() + (waited ? WAIT : 0);
        speculation.plain(1, ms, !waited);
        time += ms;
        waited = false;
        done++;
        if (draft) lag++;
        continue;
      }
      let accepted = 0;
      while (accepted < guesses && next() < rate(done + accepted)) accepted++;
      const drafts = draft ? guesses * draft.step + lag * draft.token : 0;
      const ms = BASE * (cost(guesses + 1) + drafts) * jitter() + WAIT;
      acceptance.checked(guesses, accepted);
      const { origin } = source;
      speculation.checked({ rows: 1, tokens: guesses + 1, gained: accepted + 1, ms, origin, lag });
      if (draft) lag = accepted === guesses ? 2 : 1;
      time += ms;
      waited = true;
      done += accepted + 1;
    }
  }
  return (tokens * BASE) / time;
}

/** Of a step with guesses: nearly free, as on GPUs; more for each token; and a path that is not made for few rows. */
const COSTS: Record<string, (tokens: number) => number> = {
  flat: () => 1.08,
  line: (tokens) => 1.1 + 0.12 * (tokens - 1),
  steps: (tokens) => [1.2, 1.3, 1.7, 3][Math.ceil(Math.log2(tokens)) - 1] as number,
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
      const short = { ...setting, tokens: 1500, length: 40, noise: 0.2 };
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
      const draft = { step, token: step / 4, prompt: 50 };
      expect(simulate({ ...setting, tokens: 1500, draft }, i)).toBeGreaterThan(0.97);
      const short = { ...setting, tokens: 1500, length: 40, noise: 0.2, draft };
      expect(simulate(short, i)).toBeGreaterThan(0.97);
    }
  });

  test("a cheap draft that is mostly right: most of what the best fixed depth gains", () => {
    for (const rate of [0.7, 0.85, 0.95]) {
      const draft = { step: 0.1, token: 0.01, prompt: 50 };
      const setting = { cost: COSTS["line"] as Setting["cost"], rate: () => rate, draft };
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

  test("others who share the step don't pay for it", () => {
    const one = [{ rate: 1, most: 3 }];
    expect(chosen(measured(10.5), 4, one, 12)).toEqual([3]);
    expect(chosen(measured(14), 4, one, 12)).toEqual([0]);
    expect(chosen(measured(14), 1, one, 12)).toEqual([3]);
  });
});
