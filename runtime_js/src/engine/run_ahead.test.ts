import { expect, test } from "vitest";
import { MAX_AHEAD, MIN_AHEAD, RunAhead } from "./run_ahead.js";

function aheadAt(interval: number, tokens = 20): RunAhead {
  const ahead = new RunAhead();
  for (let i = 0; i < tokens; i++) ahead.arrived(i * interval);
  return ahead;
}

const depthAt = (interval: number, tokens?: number) => aheadAt(interval, tokens).depth;

test("slow steps run two ahead, fast ones up to four", () => {
  expect([100, 10, 4, 3, 2, 1, 0.1].map((ms) => depthAt(ms))).toEqual([2, 2, 2, 3, 3, 4, 4]);
});

test("before two tokens have arrived nothing is known", () => {
  expect([0, 1].map((tokens) => depthAt(0.1, tokens))).toEqual([MIN_AHEAD, MIN_AHEAD]);
});

test("where steps are short, what waits for a result hurries", () => {
  expect([100, 8, 7, 3, 0].map((ms) => aheadAt(ms).hurries)).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
  expect([100, 8, 4, 3, 0].map((ms) => aheadAt(ms).outruns)).toEqual([
    false,
    false,
    false,
    true,
    true,
  ]);
  expect(aheadAt(0.1, 1)).toMatchObject({ hurries: false, outruns: false });
});

test("one hiccup is forgotten; tokens that arrive together are not a division by zero", () => {
  expect(depthAt(0)).toBe(MAX_AHEAD);
  const ahead = new RunAhead();
  for (let i = 0; i < 10; i++) ahead.arrived(i);
  ahead.arrived(200);
  expect(ahead.depth).toBe(MIN_AHEAD);
  for (let i = 1; i < 20; i++) ahead.arrived(200 + i);
  expect(ahead.depth).toBe(MAX_AHEAD);
});
