import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { chunkDeltas, messageOf } from "./answer_message.js";
import { parseRequest } from "./request.js";

const messages = [{ role: "user", content: "hi" }];
const fn = (name: string, more: object = {}) => ({ type: "function", function: { name, ...more } });
const parsed = (params: object) => parseRequest({ messages, ...params }).choices[0];

describe("what a request says about tools", () => {
  const tools = [fn("a", { description: null, parameters: { type: "object" } }), fn("b")];

  test("becomes the engine's terms, in the order in which it was said", () => {
    const given = fn("f", { parameters: { type: "object" }, description: "d", strict: true });
    const { tools: found, toolChoice } = parsed({ tools: [given] });
    expect(JSON.stringify(found)).toBe(JSON.stringify([given]));
    expect(toolChoice).toEqual({ mode: "auto" });
    expect(parsed({ tools }).tools?.[0]).toEqual(fn("a", { parameters: { type: "object" } }));
  });

  test.each<[unknown, object]>([
    ["auto", { mode: "auto" }],
    ["required", { mode: "required" }],
    [fn("b"), { mode: "required", only: ["b"], single: true }],
    [
      { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [fn("b")] } },
      { mode: "auto", only: ["b"] },
    ],
  ])("tool_choice %j", (tool_choice, choice) => {
    expect(parsed({ tools, tool_choice }).toolChoice).toEqual(choice);
    expect(parsed({ tools, tool_choice, parallel_tool_calls: false }).toolChoice).toEqual({
      ...choice,
      single: true,
    });
  });

  test("none: the model is not told", () => {
    for (const params of [{ tools, tool_choice: "none" }, { tool_choice: "none" }, {}]) {
      expect(parsed(params).tools).toBeUndefined();
      expect(parsed(params).toolChoice).toBeUndefined();
    }
  });

  test("constraints can be left off", () => {
    expect(parsed({ tools, webbuild: { constrain_tools: false } }).constrainTools).toBe(false);
  });

  test.each<[object, string]>([
    [{ tools: [] }, "tools"],
    [{ tools: {} }, "tools"],
    [{ tools: Array.from({ length: 129 }, (_, i) => fn(`f${i}`)) }, "tools"],
    [{ tools: [1] }, "tools[0]"],
    [{ tools: [{ type: "custom", custom: { name: "x" } }] }, "tools[0].type"],
    [{ tools: [{ type: "function" }] }, "tools[0].function"],
    [{ tools: [fn("a b")] }, "tools[0].function.name"],
    [{ tools: [fn("a"), fn("a")] }, "tools[1].function.name"],
    [{ tools: [fn("a", { description: 1 })] }, "tools[0].function.description"],
    [{ tools: [fn("a", { parameters: { type: "string" } })] }, "tools[0].function.parameters"],
    [{ tools: [fn("a", { strict: "yes" })] }, "tools[0].function.strict"],
    [{ tools: [fn("a", { params: {} })] }, "tools[0].function.params"],
    [{ tools: [{ ...fn("a"), name: "a" }] }, "tools[0].name"],
    [{ tools, tool_choice: "any" }, "tool_choice"],
    [{ tool_choice: "auto" }, "tool_choice"],
    [{ tools, tool_choice: fn("c") }, "tool_choice.function.name"],
    [
      {
        tools,
        tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [fn("c")] } },
      },
      "tool_choice.allowed_tools.tools[0].function.name",
    ],
    [{ tools, parallel_tool_calls: 1 }, "parallel_tool_calls"],
    [{ parallel_tool_calls: true }, "parallel_tool_calls"],
    [{ functions: [{ name: "f" }] }, "functions"],
    [{ function_call: "auto" }, "function_call"],
    [{ tools, webbuild: { constrain_tools: 1 } }, "webbuild.constrain_tools"],
  ])("%j is refused by name", (params, param) => {
    let error: unknown;
    try {
      parsed(params);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect((error as InvalidRequestError).param).toBe(param);
  });

  test("old names are refused with the new ones", () => {
    expect(() => parsed({ functions: [] })).toThrow(/use tools/);
    expect(() => parsed({ function_call: "none" })).toThrow(/use tool_choice/);
  });
});

describe("an answer", () => {
  const delta = (text: string, more: object = {}) => ({ text, tokens: 1, logprobs: [], ...more });
  const first = { index: 0, id: "call_1", name: "a", arguments: "" };
  const deltas = [
    delta("", { reasoning: "hm" }),
    delta("Wait. ", { toolCalls: [first] }),
    delta("", { toolCalls: [{ index: 0, arguments: '{"x"' }] }),
    delta("", {
      toolCalls: [
        { index: 0, arguments: ": 1}" },
        { index: 1, id: "call_2", name: "b", arguments: "{}" },
      ],
    }),
  ];
  const call = (id: string, name: string, args: string) => ({
    id,
    type: "function",
    function: { name, arguments: args },
  });

  test("is a message with its calls, and null for content without any", () => {
    expect(messageOf(deltas)).toEqual({
      role: "assistant",
      content: "Wait. ",
      refusal: null,
      reasoning_content: "hm",
      tool_calls: [call("call_1", "a", '{"x": 1}'), call("call_2", "b", "{}")],
    });
    expect(messageOf(deltas.slice(2).concat(delta(""))).content).toBe(null);
    expect(messageOf([delta("")])).toEqual({ role: "assistant", content: "", refusal: null });
  });

  test("comes in deltas as OpenAI's do: a call's name first, then its arguments in pieces", () => {
    const named = (index: number, id: string, name: string) => ({
      tool_calls: [{ index, ...call(id, name, "") }],
    });
    const piece = (index: number, text: string) => ({
      tool_calls: [{ index, function: { arguments: text } }],
    });
    expect(chunkDeltas(deltas)).toEqual([
      { reasoning_content: "hm", content: "Wait. " },
      named(0, "call_1", "a"),
      piece(0, '{"x": 1}'),
      named(1, "call_2", "b"),
      piece(1, "{}"),
    ]);
    expect(deltas.flatMap((d) => chunkDeltas([d]))).toEqual([
      { reasoning_content: "hm" },
      { content: "Wait. " },
      named(0, "call_1", "a"),
      piece(0, '{"x"'),
      piece(0, ": 1}"),
      named(1, "call_2", "b"),
      piece(1, "{}"),
    ]);
    expect(chunkDeltas([delta("")])).toEqual([]);
  });
});
