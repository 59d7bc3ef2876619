/** Answers that must match, and answers that are begun: the demo model on Dawn. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine } from "../../index.js";
import { folder } from "../../testing/demo_serving.js";
import { dawn } from "../../testing/host.js";
import { type LanguageModelClass, languageModelOf } from "./index.js";

let engine: Engine;
let LanguageModel: LanguageModelClass;

beforeAll(async () => {
  engine = await Engine.load(folder, { worker: false, gpu: await dawn(), contextLength: 256 });
  LanguageModel = languageModelOf(engine);
});
afterAll(() => engine.unload());

const open = () => LanguageModel.create({ samplingMode: "most-predictable" });
const schema = {
  type: "object",
  required: ["rating"],
  additionalProperties: false,
  properties: { rating: { type: "integer", minimum: 0, maximum: 5 } },
};

test("a JSON schema", async () => {
  const session = await open();
  const options = { responseConstraint: schema, omitResponseConstraintInput: true };
  const { rating } = JSON.parse(await session.prompt("How good is it?", options));
  expect([0, 1, 2, 3, 4, 5]).toContain(rating);
  expect(await session.prompt("And now?")).not.toMatch(/^{/); // of that prompt alone
});

test("a RegExp, with anchors", async () => {
  const session = await open();
  const responseConstraint = /^[a-z]{2,8}@(example|test)\.(org|com)$/u;
  let text = "";
  for await (const piece of session.promptStreaming("An address?", { responseConstraint })) {
    text += piece;
  }
  expect(text).toMatch(responseConstraint);
});

test("an answer that is cut off before it matches is a SyntaxError, and is not kept", async () => {
  const session = await open();
  const usage = session.contextUsage;
  const cut = session.prompt("Go on.", { responseConstraint: /[ab]{2000}/ });
  await expect(cut).rejects.toMatchObject({ name: "SyntaxError" });
  expect(session.contextUsage).toBe(usage);
});

test("an answer's beginning is given, and the rest comes", async () => {
  const session = await open();
  const question = { role: "user" as const, content: "What is 17 + 25?" };
  const begun = (content: string) => [
    question,
    { role: "assistant" as const, content, prefix: true },
  ];
  const rest = await session.prompt(begun("Grün: 17 + 25 is"));
  expect(rest).not.toBe("");
  expect(rest).not.toContain("Grün");
  const messages = [question, { role: "assistant" as const, content: `Grün: 17 + 25 is${rest}` }];
  expect(session.contextUsage).toBe(await engine.countTokens(messages));

  const responseConstraint = { enum: [41, 42] };
  const next = await (await open()).prompt(begun("Sum: "), { responseConstraint });
  expect([41, 42]).toContain(JSON.parse(next));
});
