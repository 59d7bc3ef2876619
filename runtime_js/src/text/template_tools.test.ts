/** Templates of many families' shapes, each written for this test: what is found out about them, and that calls survive a history. */
import { describe, expect, test } from "vitest";
import type { GrammarSpec } from "../grammar/spec.js";
import { TEMPLATE } from "../testing/tiny_pack.js";
import { AnswerParser } from "./answer_parser.js";
import { ChatTemplate, type TemplateMessage } from "./chat_template.js";
import { type CallSyntax, callText, TemplateTools } from "./template_tools.js";
import { type Asked, constraintOf } from "./tool_constraint.js";
import type { ToolChoice, ToolSpec } from "./tools.js";

/** Tools first, then turns; `turn` prints an assistant's calls. */
const chat = (turn: string, extra = "") =>
  `{% if tools %}<sys>{{ tools | tojson }}</sys>{% endif %}{% for m in messages %}<{{ m.role }}>${extra}` +
  `{% if m.content %}{{ m.content }}{% endif %}{% if m.tool_calls %}${turn}{% endif %}</{{ m.role }}>{% endfor %}<assistant>`;
/** As `chat`, for each call. */
const each = (call: string, between = "") =>
  chat(
    `{% for c in m.tool_calls %}${call}${between && `{{ ${JSON.stringify(between)} if not loop.last }}`}{% endfor %}`,
  );
const OBJECT =
  '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}';
const DEEPSEEK_ITEM =
  "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.function.name }}\n```json\n{{ c.function.arguments }}\n```<｜tool▁call▁end｜>";

interface Case {
  template: string;
  /** The text of two calls, get_weather of Paris and set-light without arguments. */
  text: string;
  single?: boolean;
}

const CASES: Record<string, Case> = {
  hermes: {
    template: each(`<tool_call>\n${OBJECT}\n</tool_call>`, "\n"),
    text:
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
      '<tool_call>\n{"name": "set-light", "arguments": {}}\n</tool_call>',
  },
  qwen_xml: {
    template: each(
      "<tool_call>\n<function={{ c.function.name }}>\n" +
        "{% for k, v in c.function.arguments.items() %}<parameter={{ k }}>\n{{ v }}\n</parameter>{{ '\\n' }}{% endfor %}" +
        "</function>\n</tool_call>",
      "\n",
    ),
    text:
      "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>\n" +
      "<tool_call>\n<function=set-light>\n</function>\n</tool_call>",
  },
  glm: {
    template: each(
      "<tool_call>{{ c.function.name }}\n{% for k, v in c.function.arguments.items() %}" +
        "<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v }}</arg_value>{{ '\\n' }}{% endfor %}</tool_call>",
      "\n",
    ),
    text:
      "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>\n" +
      "<tool_call>set-light\n</tool_call>",
  },
  functionary: {
    template: each(
      "<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>",
    ),
    text: '<function=get_weather>{"city": "Paris"}</function><function=set-light>{}</function>',
  },
  llama: {
    template: chat(
      "{% if m.tool_calls | length != 1 %}{{ raise_exception('single calls only') }}{% endif %}" +
        '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}',
      "<|start_header_id|>",
    ),
    text: '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    single: true,
  },
  mistral: {
    template: chat(
      "{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('nine letters') }}{% endif %}" +
        '{% if loop.first %}[TOOL_CALLS] [{% endif %}{"name": "{{ c.function.name }}", "arguments": ' +
        '{{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}{{ ", " if not loop.last else "]" }}{% endfor %}',
    ),
    text: '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "ID"}, {"name": "set-light", "arguments": {}, "id": "ID"}]',
  },
  mistral_args: {
    template: each("[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}"),
    text: '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]set-light[ARGS]{}',
  },
  phi: {
    template: chat(
      `<|tool_call|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]<|/tool_call|>`,
    ),
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]<|/tool_call|>',
  },
  granite: {
    template: chat(
      `<|tool_call|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]`,
    ),
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]',
  },
  command: {
    template: chat(
      "<|START_ACTION|>[\n{% for c in m.tool_calls %}" +
        '    {"tool_call_id": "{{ loop.index0 }}", "tool_name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}}' +
        '{{ ",\n" if not loop.last else "\n" }}{% endfor %}]<|END_ACTION|>',
    ),
    text: '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris"}},\n    {"tool_call_id": "1", "tool_name": "set-light", "parameters": {}}\n]<|END_ACTION|>',
  },
  deepseek: {
    template: chat(
      `<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}${DEEPSEEK_ITEM}{{ "\n" if not loop.last }}{% endfor %}<｜tool▁calls▁end｜>`,
    ),
    text:
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>\n' +
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>set-light\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
  },
  deepseek_v3_1: {
    template: chat(
      "<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}<｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>" +
        "{{ c.function.arguments }}<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>",
    ),
    text: '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>set-light<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
  },
  kimi: {
    template: chat(
      "<|tool_calls_section_begin|>{% for c in m.tool_calls %}<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>" +
        "{{ c.function.arguments | tojson }}<|tool_call_end|>{% endfor %}<|tool_calls_section_end|>",
    ),
    text: '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_call_begin|>functions.set-light:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
  },
  lfm: {
    template: chat(
      `<|tool_call_start|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]<|tool_call_end|>`,
    ),
    text: '<|tool_call_start|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]<|tool_call_end|>',
  },
  nemotron: {
    template: chat(
      `<TOOLCALL>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]</TOOLCALL>`,
    ),
    text: '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]</TOOLCALL>',
  },
  tool_code: {
    template: each(`\`\`\`tool_code\n${OBJECT}\n\`\`\``, "\n"),
    text: '```tool_code\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```\n```tool_code\n{"name": "set-light", "arguments": {}}\n```',
  },
  json: {
    template: each(OBJECT, "\n"),
    text: '{"name": "get_weather", "arguments": {"city": "Paris"}}\n{"name": "set-light", "arguments": {}}',
  },
};

const TOOLS: ToolSpec[] = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
  { type: "function", function: { name: "set-light" } },
];
const ID = /"id": "[a-zA-Z0-9]{9}"/g;

/** Calls of a text as messages of a history. */
function callsOf(template: TemplateTools, text: string) {
  const parser = new AnswerParser({ tools: { format: template.syntax.format, specs: TOOLS } });
  const { toolCalls, text: content } = parser.push(text);
  const rest = parser.finish();
  const pieces = [...toolCalls, ...rest.toolCalls];
  const calls = pieces
    .filter(({ id }) => id !== undefined)
    .map(({ id, name, index }) => {
      const args = pieces.filter((p) => p.index === index).map((p) => p.arguments);
      return {
        id: id as string,
        type: "function" as const,
        function: { name: name as string, arguments: JSON.parse(args.join("")) as unknown },
      };
    });
  return { calls, content: content + rest.text };
}

describe.each(Object.entries(CASES))("a template of the %s format", (name, expected) => {
  const template = new ChatTemplate(expected.template, {});
  const tools = new TemplateTools(template, []);

  test("is found out, and takes tools", () => {
    expect(tools.syntax.format.name).toBe(name);
    expect(tools.takesTools).toBe(true);
    expect(tools.syntax.single).toBe(expected.single ?? false);
  });

  test("its calls are read, and stand in a later prompt as they were written", () => {
    const { calls, content } = callsOf(tools, expected.text);
    expect(content).toBe("");
    const functions = calls.map((call) => call.function);
    const two = [
      { name: "get_weather", arguments: { city: "Paris" } },
      { name: "set-light", arguments: {} },
    ];
    expect(functions).toEqual(expected.single ? two.slice(0, 1) : two);
    const history: TemplateMessage[] = [
      { role: "user", content: "Hm?" },
      { role: "assistant", content: null, tool_calls: calls },
      ...calls.map(({ id }) => ({ role: "tool" as const, content: "7", tool_call_id: id })),
    ];
    const prompt = template.render(tools.prepare(history), { tools: TOOLS });
    expect(prompt.replaceAll(ID, '"id": "ID"')).toContain(
      expected.text.replaceAll(ID, '"id": "ID"'),
    );
    expect(prompt).toContain('"city"');
  });

  test("what the constraint is made of is the very text", () => {
    const { open, lead, gap, tail, format } = tools.syntax;
    const args = (city: string | undefined) => {
      const { calls } = format;
      if (calls.kind === "json" || calls.arguments === "json")
        return city ? `{"city": "${city}"}` : "{}";
      const { key, value, end } = calls.arguments;
      return city ? `${key}city${value}${city}${end}` : "";
    };
    const text = (fn: string, city?: string, number = 0) => {
      const [begin, middle, end] = callText(tools.syntax, fn);
      return `${begin}${middle === undefined ? "" : `${number}${middle}`}${args(city)}${end}`;
    };
    const calls = [text("get_weather", "Paris"), text("set-light", undefined, 1)];
    const whole = open + lead + calls.slice(0, expected.single ? 1 : 2).join(gap) + tail;
    const withoutIds = expected.text.replaceAll(/, "id": "[^"]*"/g, "");
    // A call without tagged arguments ends where they would begin: spaces differ.
    expect(whole.replaceAll(/\s+/g, "")).toBe(withoutIds.replaceAll(/\s+/g, ""));
    if (format.calls.kind === "json" || format.calls.arguments === "json")
      expect(whole).toBe(withoutIds);
  });
});

describe("TemplateTools", () => {
  test("a template that prints no tools takes none", () => {
    const tools = new TemplateTools(new ChatTemplate(TEMPLATE, {}), []);
    expect(tools.takesTools).toBe(false);
    const refusing = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}x";
    expect(new TemplateTools(new ChatTemplate(refusing, {}), []).takesTools).toBe(false);
  });

  test("a template of its own for tools is found", () => {
    const config = {
      chat_template: [
        { name: "default", template: "plain" },
        { name: "tool_use", template: CASES["hermes"]?.template as string },
      ],
    };
    const template = new ChatTemplate(undefined, config);
    expect(new TemplateTools(template, []).takesTools).toBe(true);
    expect(new TemplateTools(template, []).syntax.format.name).toBe("hermes");
    expect(template.render([{ role: "user", content: "x" }])).toBe("plain");
  });

  test("special tokens tell the format where the template does not", () => {
    const template = new ChatTemplate("{{ tools | tojson }}{{ messages[0].content }}", {});
    const tools = new TemplateTools(template, ["[TOOL_CALLS]", "[INST]"]);
    expect(tools.syntax).toMatchObject({ format: { name: "mistral" }, lead: "[", tail: "]" });
  });

  test("arguments are text where a template joins them with text, and content is there if it must be", () => {
    const template = new ChatTemplate(
      "{{ tools | tojson }}{% for m in messages %}{{ m.role + m.content }}{% for c in m.tool_calls or [] %}" +
        "{{ '<tool_call>' + c.function.name + c.function.arguments + '</tool_call>' }}{% endfor %}{% endfor %}",
      {},
    );
    const call = {
      id: "a",
      type: "function" as const,
      function: { name: "f", arguments: { a: [1, "é"], b: {} } },
    };
    const [message] = new TemplateTools(template, []).prepare([
      { role: "assistant", content: null, tool_calls: [call] },
    ]);
    expect(message?.content).toBe("");
    expect(message?.tool_calls?.[0]?.function.arguments).toBe('{"a": [1, "é"], "b": {}}');
  });
});

describe("constraintOf", () => {
  const syntax = (name: string) =>
    new TemplateTools(new ChatTemplate(CASES[name]?.template as string, {}), []).syntax;
  const of = (
    syntax: CallSyntax,
    specs: readonly ToolSpec[],
    choice: ToolChoice,
    thinking?: Asked["thinking"],
    grammar?: GrammarSpec,
  ) => {
    const spec = constraintOf({ tools: { syntax, specs, choice }, thinking, grammar });
    return spec?.kind === "structural_tag" ? JSON.parse(spec.tag).format : spec;
  };
  const weather = (begin: string, end: string[] = ["}"]) => ({
    type: "sequence",
    elements: [
      { type: "const_string", value: begin },
      { type: "json_schema", json_schema: TOOLS[0]?.function.parameters },
      ...end.map((value) => ({ type: "const_string", value })),
    ],
  });
  const HERMES = '{"name": "get_weather", "arguments": ';

  test("auto: free text until a call begins; then one of the functions, as often as it may", () => {
    expect(of(syntax("hermes"), TOOLS.slice(0, 1), { mode: "auto" })).toEqual({
      type: "dispatch",
      rules: [
        [
          "<tool_call>",
          {
            type: "sequence",
            elements: [
              { type: "const_string", value: "\n" },
              weather(HERMES),
              {
                type: "star",
                content: {
                  type: "sequence",
                  elements: [
                    { type: "const_string", value: "\n</tool_call>\n<tool_call>\n" },
                    weather(HERMES),
                  ],
                },
              },
              { type: "const_string", value: "\n</tool_call>" },
            ],
          },
        ],
      ],
      loop: true,
    });
  });

  test("a single named call is all there is", () => {
    const choice = { mode: "required" as const, only: ["get_weather"], single: true };
    expect(of(syntax("hermes"), TOOLS, choice)).toEqual({
      type: "sequence",
      elements: [
        { type: "const_string", value: "<tool_call>\n" },
        weather(HERMES),
        { type: "const_string", value: "\n</tool_call>" },
      ],
    });
    expect(of(syntax("functionary"), TOOLS, choice)).toEqual({
      type: "sequence",
      elements: [
        { type: "const_string", value: "<function=" },
        weather("get_weather>", []),
        { type: "const_string", value: "</function>" },
      ],
    });
  });

  test("without a mark, a call's first characters are its mark; a template of single calls has one", () => {
    expect(of(syntax("llama"), TOOLS, { mode: "auto", only: ["get_weather"] })).toEqual({
      type: "dispatch",
      rules: [['{"name": "', weather('get_weather", "parameters": ')]],
      loop: false,
    });
  });

  test("strict: false takes any object; no parameters, none", () => {
    const loose: ToolSpec = {
      type: "function",
      function: { ...(TOOLS[0] as ToolSpec).function, strict: false },
    };
    const choice = { mode: "required" as const, single: true };
    const text = JSON.stringify(of(syntax("phi"), [loose, TOOLS[1] as ToolSpec], choice));
    expect(text).toContain('"json_schema":{"type":"object"}');
    expect(text).toContain('{"type":"object","properties":{},"additionalProperties":false}');
  });

  test("tagged arguments name their style; numbered calls their number", () => {
    const choice = { mode: "required" as const, single: true };
    expect(JSON.stringify(of(syntax("qwen_xml"), TOOLS, choice))).toContain('"style":"qwen_xml"');
    expect(JSON.stringify(of(syntax("kimi"), TOOLS, choice))).toContain("[0-9]{1,3}");
  });

  test("thinking comes before what is required, and nothing is asked for without calls", () => {
    const format = { begin: "<think>", end: "</think>" };
    const required = { mode: "required" as const };
    const opened = of(syntax("hermes"), TOOLS, required, { format, opened: true });
    expect(opened.elements[0]).toMatchObject({ type: "tag", begin: "", end: "</think>" });
    const may = of(syntax("hermes"), TOOLS, required, { format, opened: false });
    expect(may.elements[0]).toMatchObject({ type: "optional" });
    expect(of(syntax("hermes"), TOOLS, { mode: "none" })).toBeUndefined();
    expect(constraintOf({ thinking: { format, opened: true } })).toBeUndefined();
  });

  test("content has its own grammar: alone as it is, after thinking, or in place of calls", () => {
    const grammar: GrammarSpec = { kind: "regex", pattern: "[0-9]+" };
    expect(constraintOf({ grammar })).toBe(grammar);
    const thinking = { format: { begin: "<think>", end: "</think>" }, opened: true };
    expect(JSON.parse((constraintOf({ grammar, thinking }) as { tag: string }).tag).format).toEqual(
      {
        type: "sequence",
        elements: [
          { type: "tag", begin: "", content: { type: "any_text" }, end: "</think>" },
          { type: "regex", pattern: "[ \\n]*" },
          { type: "regex", pattern: "[0-9]+" },
        ],
      },
    );
    const either = of(syntax("hermes"), TOOLS, { mode: "auto" }, undefined, grammar);
    expect(either.type).toBe("or");
    expect(either.elements[0]).toEqual({ type: "regex", pattern: "[0-9]+" });
    expect(either.elements[1].elements[0]).toEqual({
      type: "const_string",
      value: "<tool_call>\n",
    });
    const calls = of(syntax("hermes"), TOOLS, { mode: "required" }, undefined, grammar);
    expect(calls).toEqual(either.elements[1]);
  });
});
