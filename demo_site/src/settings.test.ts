import { expect, test } from "vitest";
import { DEFAULTS, parseSeed, parseSettings, samplingFields } from "./settings.js";

test("nothing stored, or nonsense, gives the defaults", () => {
  for (const stored of [null, "", "{", "null", "[]", "7", '"x"']) {
    expect(parseSettings(stored)).toEqual(DEFAULTS);
  }
});

test("what is valid is kept, the rest falls back", () => {
  const stored = {
    temperature: 1.5,
    topP: 7,
    topK: "40",
    maxTokens: 2.5,
    seed: "-1",
    theme: "dark",
    x: 1,
  };
  expect(parseSettings(JSON.stringify(stored))).toEqual({
    ...DEFAULTS,
    temperature: 1.5,
    theme: "dark",
  });
});

test("settings survive a round trip", () => {
  const settings = { ...DEFAULTS, systemPrompt: "", minP: 0.1, seed: "7", maxTokens: 9 };
  expect(parseSettings(JSON.stringify(settings))).toEqual(settings);
});

test("a seed is a non-negative integer or absent", () => {
  expect(parseSeed(" ")).toBeUndefined();
  expect(parseSeed("42")).toBe(42);
  for (const bad of ["-1", "1.5", "x", "1e400"]) expect(parseSeed(bad)).toBeNull();
});

test("request fields carry the API's names, and a seed only when set", () => {
  expect(samplingFields({ ...DEFAULTS, topK: 40 })).toEqual({
    temperature: DEFAULTS.temperature,
    top_p: DEFAULTS.topP,
    max_tokens: DEFAULTS.maxTokens,
    webbuild: { top_k: 40, min_p: 0 },
  });
  expect(samplingFields({ ...DEFAULTS, seed: "3" })).toMatchObject({ seed: 3 });
});
