import { expect, it } from "vitest";
import { contents, hashed } from "./fill.js";

// The same numbers stand in builder/tests/test_tune.py.
it("makes the words that the command line makes", () => {
  expect([...hashed(3, 1)]).toEqual([33350994, 2672842292, 127880910]);
  const f32 = new Float32Array(contents({ words: 1000, fill: "f32", seed: 2, data: "" }).buffer);
  expect(Math.min(...f32)).toBeGreaterThanOrEqual(-1);
  expect(Math.max(...f32)).toBeLessThan(1);
  expect(f32[0]).toBe(((hashed(1, 2)[0] as number) >>> 8) * 2 ** -23 - 1);
  for (const x of contents({ words: 1000, fill: "f16", seed: 3, data: "" })) {
    expect([(x >>> 10) & 31, (x >>> 26) & 31]).toEqual([8, 8]); // exponents of 2⁻⁷
  }
  expect([...contents({ words: 1, fill: "nan", seed: 0, data: "" })]).toEqual([0x7fc00000]);
  const data = btoa(String.fromCharCode(1, 0, 0, 0, 255, 255, 255, 255));
  expect([...contents({ words: 2, fill: "data", seed: 0, data })]).toEqual([1, 2 ** 32 - 1]);
});
