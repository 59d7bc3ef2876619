import { expect, test } from "vitest";
import { AnswerLengths } from "./answer_lengths.js";

test("an answer goes on as long as the shorter one of the last two, then as long again as it has lasted", () => {
  const lengths = new AnswerLengths();
  expect([0, 1, 7].map((tokens) => lengths.left(tokens))).toEqual([1, 1, 7]);
  lengths.ended(30);
  expect(lengths.left(2)).toBe(2); // one says little
  lengths.ended(20);
  expect([0, 19, 21].map((tokens) => lengths.left(tokens))).toEqual([20, 20, 21]);
  lengths.ended(5);
  expect(lengths.left(1)).toBe(5);
  lengths.ended(40);
  expect(lengths.left(1)).toBe(5);
  lengths.ended(40);
  expect(lengths.left(1)).toBe(40);
});
