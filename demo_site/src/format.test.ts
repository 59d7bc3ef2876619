import { describe, expect, test } from "vitest";
import { bytes, duration, millions, tokenRate, tokens } from "./format.js";

describe("bytes", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [999_600, "1.00 MB"],
    [12_345_678, "12.3 MB"],
    [134_217_728, "134 MB"],
    [4_500_000_000, "4.50 GB"],
  ])("%d is %s", (count, text) => expect(bytes(count)).toBe(text));
});

test.each([
  [0.4, "0 s"],
  [59.4, "59 s"],
  [59.6, "1 min 0 s"],
  [125, "2 min 5 s"],
  [3840, "1 h 4 min"],
])("%d seconds last %s", (seconds, text) => expect(duration(seconds)).toBe(text));

test("parameter counts", () => {
  expect(millions(999)).toBe("999");
  expect(millions(5_243_904)).toBe("5.2 million");
  expect(millions(8_030_261_248)).toBe("8,030.3 million");
});

test("token rates and counts", () => {
  expect(tokenRate(53.21)).toBe("53.2 tokens/s");
  expect(tokenRate(123.4)).toBe("123 tokens/s");
  expect(tokens(1)).toBe("1 token");
  expect(tokens(1234)).toBe("1,234 tokens");
});
