/** The demo model calls tools and says what they returned, through the API, held to their form and free. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../engine/language_model.js";
import { hasDemo, loadDemo } from "../testing/demo_serving.js";
import { ChatCompletions } from "./chat.js";
import type {
  ChatCompletionChunk,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionMessageParam,
  ChatCompletionTool,
} from "./types.js";

const tool = (name: string, description: string, key: string): ChatCompletionTool => ({
  type: "function",
  function: {
    name,
    description,
    parameters: { type: "object", properties: { [key]: { type: "string" } }, required: [key] },
  },
});
const TOOLS = [
  tool("get_weather", "Get the weather in a city", "city"),
  tool("search", "Search the web", "query"),
];
const QUESTION: ChatCompletionMessageParam = {
  role: "user",
  content: "What is the weather in Miami?",
};

describe.skipIf(!hasDemo)("the demo model", () => {
  let model: LanguageModel;
  let completions: ChatCompletions;

  beforeAll(async () => {
    model = await loadDemo(undefined, 512);
    completions = new ChatCompletions(
      {
        generate: (request, { signal = new AbortController().signal, onEvent } = {}) =>
          model.generate(
            request,
            { delta: (delta) => onEvent?.({ kind: "deltas", deltas: [delta] }) },
            signal,
          ),
      },
      "demo",
    );
  });
  afterAll(() => model?.unload());

  const ask = (params: Partial<ChatCompletionCreateParamsNonStreaming>) => ({
    messages: [QUESTION],
    tools: TOOLS,
    temperature: 0,
    max_tokens: 60,
    ...params,
  });

  test.each([true, false])(
    "a question, a call, its result, an answer; constrain_tools: %s",
    async (constrain_tools) => {
      const webbuild = { constrain_tools };
      const { choices } = await completions.create(ask({ webbuild }));
      const [{ message, finish_reason } = { message: undefined }] = choices;
      expect(finish_reason).toBe("tool_calls");
      expect(message?.content).toBe(null);
      const [call] = message?.tool_calls ?? [];
      expect(call?.function).toEqual({ name: "get_weather", arguments: '{"city": "Miami"}' });

      const messages: ChatCompletionMessageParam[] = [
        QUESTION,
        message as ChatCompletionMessageParam,
        {
          role: "tool",
          tool_call_id: call?.id as string,
          content: '{"temperature": 21, "sky": "sunny"}',
        },
      ];
      const last = await completions.create(ask({ messages, webbuild }));
      expect(last.choices[0]).toMatchObject({
        message: { content: "It is 21 °C and sunny in Miami." },
        finish_reason: "stop",
      });
      expect(last.choices[0]?.message.tool_calls).toBeUndefined();
      // The call stands in the prompt as it was generated: only what came after is computed.
      const { cached_tokens } = last.usage.prompt_tokens_details;
      expect(cached_tokens).toBeGreaterThan(last.usage.prompt_tokens - 40);
    },
  );

  test("text that is forced is cut as the model knows it: calls are the same as when every token is drawn", async () => {
    const { jumpedTokens } = model.stats().constrained;
    const tools = [
      {
        type: "function" as const,
        function: {
          name: "add_reminder",
          description: "Add a reminder",
          parameters: {
            type: "object",
            properties: { text: { type: "string" }, hour: { type: "integer" } },
            required: ["text", "hour"],
          },
        },
      },
      tool("get_time", "Get the current time in a city", "location"),
    ];
    const messages: ChatCompletionMessageParam[] = [
      { role: "user", content: "How late is it in Lisbon" },
    ];
    const said = async (jump_forward: boolean) => {
      const webbuild = { jump_forward };
      const { choices } = await completions.create(
        ask({ messages, tools, tool_choice: "required", webbuild }),
      );
      return choices[0]?.message.tool_calls?.[0]?.function;
    };
    const drawn = await said(false);
    expect(drawn).toEqual({ name: "get_time", arguments: '{"location": "Lisbon"}' });
    expect(await said(true)).toEqual(drawn);
    expect(model.stats().constrained.jumpedTokens).toBeGreaterThan(jumpedTokens + 4);
  });

  test("a stream has OpenAI's deltas, and says the same", async () => {
    const whole = await completions.create(ask({}));
    const chunks: ChatCompletionChunk[] = [];
    for await (const chunk of await completions.create({ ...ask({}), stream: true }))
      chunks.push(chunk);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    const calls = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({
      index: 0,
      id: expect.stringMatching(/^call_\w{24}$/),
      type: "function",
      function: { name: "get_weather", arguments: "" },
    });
    expect(calls.length).toBeGreaterThan(3);
    for (const call of calls.slice(1)) expect(Object.keys(call)).toEqual(["index", "function"]);
    expect(calls.map((call) => call.function.arguments).join("")).toBe(
      whole.choices[0]?.message.tool_calls?.[0]?.function.arguments,
    );
    expect(choices.map(({ delta }) => delta.content ?? "").join("")).toBe("");
    expect(choices.at(-1)?.finish_reason).toBe("tool_calls");
  });

  test("tool_choice: none, required and named", async () => {
    const greeting: ChatCompletionMessageParam[] = [{ role: "user", content: "Hello!" }];
    const called = async (tool_choice: ChatCompletionCreateParamsNonStreaming["tool_choice"]) => {
      const params = ask({ messages: greeting, ...(tool_choice ? { tool_choice } : {}) });
      const { choices } = await completions.create({ ...params, parallel_tool_calls: false });
      const [{ message } = { message: undefined }] = choices;
      for (const { function: fn } of message?.tool_calls ?? [])
        expect(Object.keys(JSON.parse(fn.arguments) as object)).toHaveLength(1);
      return message?.tool_calls?.map((call) => call.function.name) ?? message?.content;
    };
    expect(await called("auto")).toBe("Hello! How can I help you?");
    expect(await called("none")).toBe("Hello! How can I help you?");
    expect(["get_weather", "search"]).toEqual(
      expect.arrayContaining((await called("required")) as string[]),
    );
    for (const { function: fn } of TOOLS)
      expect(await called({ type: "function", function: { name: fn.name } })).toEqual([fn.name]);
  });
});
