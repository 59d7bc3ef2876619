import { expect, test } from "vitest";
import { defaultOptions, offeredLengths, withTokens } from "./options.js";

test.each([
  [8192, 32, [128, 1024, 4096]],
  [2048, 32, [128, 1024, 2016]],
  [1056, 32, [128, 1024]],
  [100, 20, [80]],
  [32, 32, []],
])("a context of %i with %i tokens to come offers %j", (longest, tokens, lengths) => {
  expect(offeredLengths(longest, tokens)).toEqual(lengths);
});

test("the shortest prompt is read, longer contexts are only decoded at", () => {
  expect(defaultOptions(8192)).toEqual({
    prompts: [128],
    contexts: [1024, 4096],
    tokens: 32,
    rounds: 3,
  });
  expect(defaultOptions(24)).toEqual({ prompts: [12], contexts: [], tokens: 12, rounds: 3 });
});

test("what was chosen stays chosen when the number of tokens moves the longest length", () => {
  const options = { prompts: [128, 2016], contexts: [2016], tokens: 32, rounds: 1 };
  expect(withTokens(options, 48, 2048)).toEqual({
    prompts: [128, 2000],
    contexts: [2000],
    tokens: 48,
    rounds: 1,
  });
  // 1,024 no longer fits, and there is one length less to choose from.
  expect(withTokens({ ...options, prompts: [1024, 2016] }, 1100, 2048)).toMatchObject({
    prompts: [948],
    contexts: [948],
  });
});
