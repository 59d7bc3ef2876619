/** Answers that must match a JSON Schema, of the demo model on Dawn, with the grammar engine itself. */
import { Ajv } from "ajv";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GrammarError, InvalidRequestError } from "../errors.js";
import { demoFiles, loadDemo } from "../testing/demo_serving.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import type { GenerateRequest } from "./request.js";
import { GREEDY } from "./sampling.js";

const schema = {
  type: "object",
  properties: {
    city: { enum: ["London", "Lisbon", "Bern"] },
    temperature_in_degrees_celsius: { type: "integer", minimum: -20, maximum: 40 },
    is_it_raining_there_today: { type: "boolean" },
  },
  required: ["city", "temperature_in_degrees_celsius", "is_it_raining_there_today"],
  additionalProperties: false,
};
const valid = new Ajv().compile(schema);
let model: LanguageModel;

beforeAll(async () => {
  expect(demoFiles().size).toBeGreaterThan(0);
  model = await loadDemo();
}, 60_000);
afterAll(() => model.unload());

const asked: GenerateRequest = {
  messages: [{ role: "user", content: "What is the weather like?" }],
  maxTokens: 120,
  stop: [],
  sampling: GREEDY,
  grammar: { kind: "json_schema", schema: JSON.stringify(schema) },
};

async function answer(jumps: boolean, sampling = {}, maxTokens = 120) {
  let text = "";
  const before = model.stats();
  const result = await model.generate(
    { ...asked, maxTokens, sampling: { ...GREEDY, ...sampling }, jumps },
    { delta: (delta) => (text += delta.text) },
    new AbortController().signal,
  );
  const after = model.stats();
  const { jumpedTokens } = after.constrained;
  const jumped = jumpedTokens - before.constrained.jumpedTokens;
  return { ...result, text, jumped, steps: after.steps - before.steps };
}

test("match, drawn and greedy, and forced tokens take fewer steps", async () => {
  for (let seed = 0; seed < 3; seed++) {
    const sampling = seed === 0 ? {} : { temperature: 1.5, seed };
    for (const jumps of [false, true]) {
      const { text, finishReason, jumped, steps, completionTokens } = await answer(jumps, sampling);
      expect(valid(JSON.parse(text)), text).toBe(true);
      expect(finishReason).toBe("stop");
      if (jumps) {
        expect(jumped).toBeGreaterThan(3);
        expect(steps).toBeLessThan(completionTokens);
      } else expect(jumped).toBe(0);
    }
  }
});

test("what the GPU draws by itself is what the host would have it draw", async () => {
  const before = model.stats().constrained;
  const first = new Map<string, string>();
  for (let round = 0; round < 4; round++) {
    for (const jumps of [false, true]) {
      for (const sampling of [{}, { temperature: 1, seed: 1 }, { temperature: 1, seed: 2 }]) {
        const { text } = await answer(jumps, sampling);
        const key = JSON.stringify([jumps, sampling]);
        expect(text).toBe(first.get(key) ?? text);
        first.set(key, text);
      }
    }
  }
  const after = model.stats().constrained;
  expect(after.aheadDraws - before.aheadDraws).toBeGreaterThan(100);
});

test("an answer that is cut says so, and one beside it that is free is what it is alone", async () => {
  const free = async () => {
    let text = "";
    const { finishReason } = await model.generate(
      { messages: "Once upon a time", maxTokens: 30, stop: [], sampling: GREEDY },
      { delta: (delta) => (text += delta.text) },
      new AbortController().signal,
    );
    return { text, finishReason };
  };
  const alone = await free();
  const [beside, { text }] = await Promise.all([free(), answer(false)]);
  expect(beside).toEqual(alone);
  expect(valid(JSON.parse(text))).toBe(true);
  expect(await answer(true, {}, 5)).toMatchObject({ finishReason: "length", completionTokens: 5 });
});

test("a grammar that the pack brings along is that grammar; one that is wrong is told to who asks for it", async () => {
  const files = demoFiles();
  const manifest = JSON.parse(new TextDecoder().decode(files.get("pack.json")));
  manifest.grammars = {
    weather: { kind: "json_schema", text: JSON.stringify(schema) },
    wrong: { kind: "regex", text: "(" },
  };
  files.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
  const { signal } = new AbortController();
  const options = { url: BASE, contextLength: 400 };
  const packed = await load(testHost(files, await dawn()), options, () => {}, signal);
  const by = async (name: string) => {
    let text = "";
    const request: GenerateRequest = { ...asked, grammar: { kind: "packed", name } };
    await packed.generate(request, { delta: (delta) => (text += delta.text) }, signal);
    return text;
  };
  try {
    await packed.matchers.prepare();
    expect(packed.matchers.prepared).toBe(true);
    expect(await by("weather")).toBe((await answer(true)).text);
    await expect(by("wrong")).rejects.toThrow(GrammarError);
    await expect(by("toString")).rejects.toThrow(InvalidRequestError);
    await expect(by("climate")).rejects.toThrow(/no grammar "climate".*weather, wrong/);
  } finally {
    packed.unload();
  }
});
