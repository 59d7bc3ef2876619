/** Sessions with tools: the demo model on Dawn. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../index.js";
import { folder, hasDemo } from "../../testing/demo_serving.js";
import { dawn } from "../../testing/host.js";
import { type LanguageModelClass, type LanguageModelTool, languageModelOf } from "./index.js";

describe.skipIf(!hasDemo)("the demo model", () => {
  let engine: Engine;
  let LanguageModel: LanguageModelClass;
  beforeAll(async () => {
    engine = await Engine.load(folder, { worker: false, gpu: await dawn(), contextLength: 400 });
    LanguageModel = languageModelOf(engine);
  });
  afterAll(() => engine?.unload());

  const tool = (inputSchema: object, given: unknown[] = []): LanguageModelTool => ({
    name: "get_weather",
    description: "Get the weather in a city",
    inputSchema,
    async execute(input) {
      given.push(input);
      return JSON.stringify({ temperature: 21, sky: "sunny" });
    },
  });
  const object = (city: object) => ({
    type: "object",
    properties: { city },
    required: ["city"],
  });

  test("calls what it is told of, and answers with the result", async () => {
    const given: unknown[] = [];
    const tools = [tool(object({ type: "string" }), given)];
    const session = await LanguageModel.create({ tools, samplingMode: "most-predictable" });
    expect(session.contextUsage).toBeGreaterThan(20);
    const answer = await session.prompt("What is the weather in Paris?");
    expect(given).toEqual([{ city: "Paris" }]);
    expect(answer).not.toBe("");
    // Tools were computed when the session was made, the question with the first round.
    const { prompt_tokens: tokens, prompt_tokens_details: details } = session.lastUsage ?? {};
    expect(details?.cached_tokens).toBeGreaterThan((tokens ?? 0) / 2);
  });

  test("a schema that calls can't be held to is refused when the session is made", async () => {
    const made = LanguageModel.create({ tools: [tool(object({ not: { type: "null" } }))] });
    await expect(made).rejects.toMatchObject({
      name: "NotSupportedError",
      message: expect.stringContaining("not"),
    });
  });
});
