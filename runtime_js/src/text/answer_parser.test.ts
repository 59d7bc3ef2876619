import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnswerParser, type AnswerParts } from "./answer_parser.js";
import { PLAIN_JSON, TOOL_FORMATS, type ToolFormat } from "./tool_formats.js";
import type { ToolSpec } from "./tools.js";

const tool = (name: string, properties: Record<string, unknown> = {}): ToolSpec => ({
  type: "function",
  function: { name, parameters: { type: "object", properties } },
});
const TOOLS = [
  tool("get_weather", { city: { type: "string" }, days: { type: "integer" } }),
  tool("set-light"),
];
const format = (name: string) =>
  [...TOOL_FORMATS, PLAIN_JSON].find((f) => f.name === name) as ToolFormat;
const THINK = { begin: "<think>", end: "</think>" };

interface Read {
  text: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
}

/** What becomes of a text that comes in these pieces. */
function read(parts: AnswerParts, pieces: readonly string[]): Read {
  const parser = new AnswerParser(parts);
  const deltas = [...pieces.map((piece) => parser.push(piece)), parser.finish()];
  const calls: (Read["calls"][number] & { id: string })[] = [];
  for (const { index, id, name, arguments: args } of deltas.flatMap((d) => d.toolCalls)) {
    if (id !== undefined) {
      expect(index).toBe(calls.length); // the first piece of each names it
      calls.push({ id, name: name as string, arguments: args });
    } else {
      expect(index).toBe(calls.length - 1);
      (calls[index] as Read["calls"][number]).arguments += args;
    }
  }
  expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  for (const { id } of calls) expect(id).toMatch(/^call_[a-zA-Z0-9]{24}$/);
  expect(parser.calls).toBe(calls.length);
  return {
    text: deltas.map((d) => d.text).join(""),
    reasoning: deltas.map((d) => d.reasoning).join(""),
    calls: calls.map(({ id: _, ...call }) => call),
  };
}

const withTools = (name: string): AnswerParts => ({
  tools: { format: format(name), specs: TOOLS },
});
const call = (args: string, name = "get_weather") => ({ name, arguments: args });

describe("calls are read from", () => {
  const PARIS = '{"city": "Paris"}';
  test.each<[string, string, Partial<Read>]>([
    ["hermes", `<tool_call>\n{"name": "get_weather", "arguments": ${PARIS}}\n</tool_call>`, {}],
    ["hermes", `<tool_call>{"arguments": ${PARIS}, "name": "get_weather"}</tool_call>`, {}],
    ["hermes", `<tool_call>{"name": "get_weather", "arguments": ${PARIS}}`, {}],
    ["hermes", `<tool_call>{"name": "get_weather", "arguments": ${PARIS}}}</tool_call>`, {}],
    [
      "hermes",
      '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>',
      {},
    ],
    [
      "hermes",
      `<tool_call>{"type": "function", "function": {"name": "get_weather", "arguments": ${PARIS}}}</tool_call>`,
      {},
    ],
    [
      "qwen_xml",
      "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
      {},
    ],
    [
      "glm",
      "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
      {},
    ],
    ["functionary", `<function=get_weather>${PARIS}</function>`, {}],
    ["functionary_v3_2", `get_weather\n${PARIS}`, {}],
    ["functionary_v3_2", `>>>all\nHm.>>>get_weather\n${PARIS}`, { text: "Hm." }],
    [
      "harmony",
      ` to=functions.get_weather<|channel|>commentary json<|message|>${PARIS}<|call|>`,
      {},
    ],
    [
      "harmony",
      `<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${PARIS}`,
      {},
    ],
    [
      "harmony",
      `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>So.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather<|constrain|>json<|message|>${PARIS}<|call|>`,
      { text: "So.", reasoning: "Hm." },
    ],
    ["llama", `{"name": "get_weather", "parameters": ${PARIS}}`, {}],
    ["llama", `<|python_tag|>{"name": "get_weather", "parameters": ${PARIS}}`, {}],
    ["mistral", `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${PARIS}}]`, {}],
    ["mistral", `[TOOL_CALLS][{"name": "get_weather", "arguments": ${PARIS}, "id": "a1"}]`, {}],
    ["mistral_args", `[TOOL_CALLS]get_weather[ARGS]${PARIS}`, {}],
    ["mistral_args", `[TOOL_CALLS]get_weather[CALL_ID]abc123def[ARGS]${PARIS}`, {}],
    ["phi", `<|tool_call|>[{"name": "get_weather", "arguments": ${PARIS}}]<|/tool_call|>`, {}],
    ["phi", `functools[{"name": "get_weather", "arguments": ${PARIS}}]`, {}],
    ["granite", `<|tool_call|>[{"name": "get_weather", "arguments": ${PARIS}}]`, {}],
    [
      "command",
      `<|START_ACTION|>[\n  {"tool_call_id": "0", "tool_name": "get_weather", "parameters": ${PARIS}}\n]<|END_ACTION|>`,
      {},
    ],
    [
      "deepseek",
      `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${PARIS}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      {},
    ],
    [
      "deepseek_v3_1",
      `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${PARIS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      {},
    ],
    [
      "kimi",
      `<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>${PARIS}<|tool_call_end|><|tool_calls_section_end|>`,
      {},
    ],
    [
      "lfm",
      `<|tool_call_start|>[{"name": "get_weather", "arguments": ${PARIS}}]<|tool_call_end|>`,
      {},
    ],
    ["nemotron", `<TOOLCALL>[{"name": "get_weather", "arguments": ${PARIS}}]</TOOLCALL>`, {}],
    ["functools", `functools[{"name": "get_weather", "arguments": ${PARIS}}]`, {}],
    ["tool_code", `\`\`\`tool_code\n{"name": "get_weather", "parameters": ${PARIS}}\n\`\`\``, {}],
    ["lfm", "<|tool_call_start|>[get_weather(city='Paris')]<|tool_call_end|>", {}],
    ["olmo", '<function_calls>\nget_weather(city="Paris")\n</function_calls>', {}],
    ["tool_code", "```tool_code\ndefault_api.get_weather(city='Paris')\n```", {}],
    ["python", 'get_weather(city="Paris")', { text: 'get_weather(city="Paris")', calls: [] }],
    ["python", '[get_weather(city="Paris")]', {}],
    ["python", '<|python_start|>[get_weather( city = "Paris" , )]', {}],
    ["python", "[get_weather(city=Paris)]", {}],
    ["python", '[get_weather("Paris")]', {}],
    ["json", `\n{"name": "get_weather", "arguments": ${PARIS}}`, {}],
    ["json", `[{"name": "get_weather", "arguments": ${PARIS}}]`, {}],
  ])("%s: %s", (name, text, expected) => {
    const whole = { text: "", reasoning: "", calls: [call(PARIS)], ...expected };
    expect(read(withTools(name), [text])).toEqual(whole);
    expect(read(withTools(name), [...text])).toEqual(whole);
  });

  test("the arguments are told as they come, as they were written", () => {
    const parser = new AnswerParser(withTools("hermes"));
    const told = [
      '<tool_call>{"name": "get_wea',
      'ther", "argum',
      'ents": { "city":"Pa',
      'ris" }',
      "}</tool_call>",
    ].map((piece) => parser.push(piece).toolCalls);
    const id = expect.stringMatching(/^call_/);
    expect(told).toEqual([
      [],
      [{ index: 0, id, name: "get_weather", arguments: "" }],
      [{ index: 0, arguments: '{ "city":"Pa' }],
      [{ index: 0, arguments: 'ris" }' }],
      [],
    ]);
  });

  test.each([
    [
      "hermes",
      'Two. <tool_call>{"name": "get_weather", "arguments": {"a": 1}}</tool_call>\n<tool_call>{"name": "set-light"}</tool_call> Done.',
    ],
    [
      "hermes",
      'Two.\n<tool_call>{"name": "get_weather", "arguments": {"a": 1}}<tool_call>{"name": "set-light", "arguments": null}</tool_call>\n\nDone.',
    ],
    [
      "qwen_xml",
      "Two.<tool_call><function=get_weather><parameter=a>1</parameter></function></tool_call><tool_call><function=set-light></function></tool_call>Done.",
    ],
    [
      "kimi",
      'Two.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_call_begin|>functions.set-light:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>Done.',
    ],
    [
      "phi",
      'Two.<|tool_call|>[{"name": "get_weather", "arguments": {"a": 1}}, {"name": "set-light", "arguments": {}}]<|/tool_call|>Done.',
    ],
  ])("several calls, and content around them: %s", (name, text) => {
    const { text: content, calls } = read(withTools(name), [...text]);
    expect(calls).toEqual([call('{"a": 1}'), call("{}", "set-light")]);
    expect(content).toMatch(/^Two\.\s?Done\.$/);
  });

  test.each<[string, unknown]>([
    ["city='it\\'s', days=3", { city: "it's", days: 3 }],
    ["city='it's late', days=-1.5e3", { city: "it's late", days: -1500 }],
    ['city="""a "b"\nc""", days=1_000', { city: 'a "b"\nc', days: 1000 }],
    ["city='\\n\\u00e9\\x41\\d', days=None", { city: "\né" + "A\\d", days: null }],
    ["city=12345, days=.5", { city: "12345", days: 0.5 }],
    [
      "a=True, b=[1, 'x', (False,)], c={'k': {1: []}}",
      { a: true, b: [1, "x", [false]], c: { k: { 1: [] } } },
    ],
    ["'Rome', 2", { city: "Rome", days: 2 }],
    ["city='), days=(', days=[]", { city: "), days=(", days: [] }],
    ["", {}],
  ])("Python's literals become JSON: %s", (args, wanted) => {
    const { text, calls } = read(withTools("python"), [`[get_weather(${args})]`]);
    expect(text).toBe("");
    expect(calls.map((c) => JSON.parse(c.arguments) as unknown)).toEqual([wanted]);
  });

  test("what is cut off within Python keeps the arguments that are whole", () => {
    const cut = read(withTools("python"), ["[get_weather(city='Paris', days=[1, "]);
    expect(cut).toEqual({ text: "", reasoning: "", calls: [call('{"city": "Paris"')] });
    const link = "[get_weather](https://x.y) is a link";
    expect(read(withTools("python"), [link])).toEqual({ text: link, reasoning: "", calls: [] });
  });

  test("tagged arguments take their types from the schema", () => {
    const text =
      "<tool_call><function=get_weather><parameter=city>\n12\n</parameter><parameter=days>\n3\n</parameter>" +
      '<parameter=wet>True</parameter><parameter=note>a "b"\nc</parameter></function></tool_call>';
    const [one] = read(withTools("qwen_xml"), [text]).calls;
    expect(JSON.parse(one?.arguments as string)).toEqual({
      city: "12",
      days: 3,
      wet: true,
      note: 'a "b"\nc',
    });
  });
});

describe("what is no call is content, as it was written", () => {
  test.each([
    ["hermes", "a < b and <tool_c"],
    ["hermes", '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'],
    ["hermes", "<tool_call>get_weather</tool_call>"],
    ["hermes", '<tool_call>{"title": 1}</tool_call>'],
    ["llama", '{"name": "Alice", "age": 3}'],
    ["llama", '{"title": "x", "name": "get_weather"}'],
    ["llama", "[1, 2, 3]"],
    ["llama", '{"name": "get_wea'],
    ["json", "  Hello {} \n"],
    ["functionary", "<function=rm>{}</function>"],
    ["mistral", "[TOOL_CALLS] none"],
    ["deepseek_v3_1", "<｜tool▁calls▁begin｜>Hello<｜tool▁calls▁end｜>"],
    ["glm", "<tool_call>nothing of\n<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"],
  ])("%s: %s", (name, text) => {
    expect(read(withTools(name), [...text])).toEqual({ text, reasoning: "", calls: [] });
  });

  test("a call that the end cuts off keeps what there was of it; one without a name is left out", () => {
    const cut = '<tool_call>{"name": "get_weather", "arguments": {"city": "Pa';
    expect(read(withTools("hermes"), [cut])).toEqual({
      text: "",
      reasoning: "",
      calls: [call('{"city": "Pa')],
    });
    expect(read(withTools("hermes"), ['Yes. <tool_call>{"name": "get_w'])).toEqual({
      text: "Yes. ",
      reasoning: "",
      calls: [],
    });
  });
});

describe("an answer in messages", () => {
  const none = (name: string): AnswerParts => ({ tools: { format: format(name), specs: [] } });
  test.each<[string, string, string, string]>([
    ["functionary_v3_2", "all\nHello", "Hello", ""],
    ["functionary_v3_2", "all\na >>> print(1)\n2", "a >>> print(1)\n2", ""],
    ["functionary_v3_2", "Hello\nyou", "Hello\nyou", ""],
    ["functionary_v3_2", "all\nA>>>rm\n{}", "A>>>rm\n{}", ""],
    ["harmony", "<|channel|>final<|message|>Hello<|return|>", "Hello", ""],
    ["harmony", "<|channel|>final <|constrain|>json<|message|>{}", "{}", ""],
    ["harmony", "Hello <b>", "Hello <b>", ""],
    ["harmony", "<|channel|>fin", "", ""],
    [
      "harmony",
      "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B<|end|><|start|>assistant<|channel|>final<|message|>C",
      "C",
      "A\n\nB",
    ],
    [
      "harmony",
      " to=functions.rm<|channel|>commentary json<|message|>{}",
      " to=functions.rm<|channel|>commentary json<|message|>{}",
      "",
    ],
  ])("%s: %j", (name, given, text, reasoning) => {
    for (const pieces of [[given], [...given]])
      expect(read(none(name), pieces)).toEqual({ text, reasoning, calls: [] });
  });

  test("stands within thinking while it thinks, and tells it as it comes", () => {
    const parser = new AnswerParser(none("harmony"));
    expect(parser.push("<|channel|>analysis<|message|>a").reasoning).toBe("a");
    expect(parser.thinking).toBe(true);
    parser.push("<|end|>");
    expect(parser.thinking).toBe(false);
  });

  test("a name that begins another's is told apart", () => {
    const specs = [tool("get"), tool("get_weather")];
    const parts = { tools: { format: format("harmony"), specs } };
    const text = "<|channel|>commentary to=functions.get_weather json<|message|>{}";
    expect(read(parts, [text]).calls).toEqual([call("{}")]);
  });
});

describe("thinking", () => {
  const parts = (opened = false): AnswerParts => ({
    ...withTools("hermes"),
    thinking: { format: THINK, opened },
  });
  test("is told apart, without the space around it", () => {
    expect(read(parts(), [..."<think>\nWell, a < b.\n</think>\n\nYes."])).toEqual({
      text: "Yes.",
      reasoning: "Well, a < b.",
      calls: [],
    });
  });

  test("may have been opened by the prompt, and holds no calls", () => {
    const inner = '<tool_call>{"name": "set-light"}</tool_call>';
    const text = `Shall I ${inner}?</think>${inner}`;
    expect(read(parts(true), [...text])).toEqual({
      text: "",
      reasoning: `Shall I ${inner}?`,
      calls: [call("{}", "set-light")],
    });
  });

  test("stands as it is while it lasts", () => {
    const parser = new AnswerParser(parts());
    expect(parser.thinking).toBe(false);
    expect(parser.push("<think>a")).toEqual({ text: "", reasoning: "a", toolCalls: [] });
    expect(parser.thinking).toBe(true);
    parser.push("</think>");
    expect(parser.thinking).toBe(false);
  });
});

/** The whole text at once, by regular expressions: of the two ways to write a call that are known to be right. */
function twin(text: string): Read {
  const CALL =
    /<tool_call>\s*\{"name": "(get_weather|set-light)", "arguments": (\{[^{}<]*\})\}\s*<\/tool_call>/g;
  const thought = /^([\s\S]*?)<\/think>([\s\S]*)$/.exec(text);
  if (!thought) return { text: "", reasoning: text.trim(), calls: [] };
  const [, reasoning = "", rest = ""] = thought;
  const calls = [...rest.matchAll(CALL)].map(([, name = "", args = ""]) => call(args, name));
  const content = rest.split(CALL).filter((_, i) => i % 3 === 0);
  const trimmed = content
    .map((part) => part.replace(/^[ \n]+/, ""))
    .map((part, i) => (i < content.length - 1 ? part.replace(/[ \n]+$/, "") : part));
  return { text: trimmed.join(""), reasoning: reasoning.trim(), calls };
}

describe("however a text is cut", () => {
  const pieces = (text: string, cuts: readonly number[]) => {
    const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
    return [0, ...at].map((from, i) => text.slice(from, at[i] ?? text.length));
  };
  const cuts = fc.array(fc.nat(500), { maxLength: 30 });
  const goodCall = fc.constantFrom(
    '<tool_call>{"name": "get_weather", "arguments": {"city": "😀 é"}}</tool_call>',
    '<tool_call>\n{"name": "set-light", "arguments": {}}\n</tool_call>',
  );
  const prose = fc
    .array(fc.constantFrom("a", " ", "\n", "<", "</", "tool", "é😀", ">", "{"), { maxLength: 6 })
    .map((parts) => parts.join(""));

  test("well-formed answers are what the whole text says", () => {
    const answer = fc
      .tuple(prose, fc.array(fc.oneof(goodCall, prose), { maxLength: 6 }))
      .map(([thought, parts]) => `${thought}</think>${parts.join("")}`);
    fc.assert(
      fc.property(answer, cuts, (text, at) => {
        const parts = { ...withTools("hermes"), thinking: { format: THINK, opened: true } };
        expect(read(parts, pieces(text, at))).toEqual(twin(text));
      }),
      { numRuns: 500 },
    );
  });

  test("anything at all is read alike in every format, and nothing of it is lost where no call is told", () => {
    const formats = [...TOOL_FORMATS, PLAIN_JSON];
    const soup = fc.array(
      fc.constantFrom(
        ...formats.flatMap(({ open, also = [], close, calls }) => [
          open,
          ...also,
          close,
          ...(calls.kind === "named" ? [calls.begin, calls.after, calls.end] : []),
        ]),
        ...["{", "}", "[", "]", ",", '"', ":", " ", "\n", "get_weather", "set-light", "x"],
        ...[
          "all\n",
          "<|message|>",
          "<|channel|>analysis",
          "<|channel|>final",
          "<|end|>",
          "<|call|>",
        ],
        ...["(", ")", "'", "city=", "\\"],
        ...['{"name": "get_weather", ', '"arguments": {"a": "}"}', "<parameter=", "<arg_key>"],
      ),
      { maxLength: 14 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...formats), soup, cuts, (format, parts, at) => {
        const text = parts.join("");
        const of = { tools: { format, specs: TOOLS } };
        const whole = read(of, [text]);
        expect(read(of, pieces(text, at))).toEqual(whole);
        if (whole.calls.length === 0 && !format.messages)
          expect(text.startsWith(whole.text.trimEnd())).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
