/** Answers that must match a JSON Schema, of the demo model on Dawn, with the grammar engine itself. */
import { Ajv } from "ajv";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoFiles, loadDemo } from "../testing/demo_serving.js";
import type { LanguageModel } from "./language_model.js";
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

async function answer(jumps: boolean, sampling = {}, maxTokens = 120) {
  let text = "";
  const before = model.stats();
  const result = await model.generate(
    {
      messages: [{ role: "user", content: "What is the weather like?" }],
      maxTokens,
      stop: [],
      sampling: { ...GREEDY, ...sampling },
      grammar: { kind: "json_schema", schema: JSON.stringify(schema) },
      jumps,
    },
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
