import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CompiledGrammars, openGrammars } from "../grammar/grammars.js";
import type { GrammarSpec } from "../grammar/spec.js";
import { TOOL_TEMPLATES, TOOLS } from "../testing/tool_templates.js";
import { ChatTemplate } from "./chat_template.js";
import { type CallSyntax, TemplateTools } from "./template_tools.js";
import { type Asked, constraintOf } from "./tool_constraint.js";
import type { ToolChoice, ToolSpec } from "./tools.js";

describe("constraintOf", () => {
  const syntax = (name: string) =>
    new TemplateTools(new ChatTemplate(TOOL_TEMPLATES[name]?.template as string, {}), []).syntax;
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

describe("the grammar engine", () => {
  const END = 256;
  let grammars: CompiledGrammars;
  beforeAll(async () => {
    grammars = await openGrammars({
      size: 257,
      stopTokens: [END],
      bytes: (id) => (id < END ? Uint8Array.of(id) : new Uint8Array(0)),
      isSpecial: (id) => id === END,
    });
  });
  afterAll(() => grammars.close());

  /** Whether a text is a whole answer; else how much of it can begin one. */
  function taken(spec: GrammarSpec | undefined, text: string): string {
    const matcher = grammars.compile(spec as GrammarSpec).matcher();
    const bytes = new TextEncoder().encode(text);
    let count = 0;
    while (count < bytes.length && matcher.accept(bytes[count] as number)) count++;
    const whole = count === bytes.length && matcher.accept(END);
    matcher.free();
    return whole ? "all" : new TextDecoder().decode(bytes.subarray(0, count));
  }

  describe.each(Object.entries(TOOL_TEMPLATES))("holds answers to the %s format", (name, given) => {
    const { syntax } = new TemplateTools(new ChatTemplate(given.template, {}), []);
    const text = given.text.replaceAll(/, "id": "[^"]*"/g, "");
    const [paris, light] = ["Paris", "set-light"];
    const { format } = syntax;
    const messages = format.messages && { format, opened: false };
    const header = messages
      ? format.open + format.messages?.content[0] + format.messages?.body
      : "";
    const spec = (choice: ToolChoice) =>
      constraintOf({ tools: { syntax, specs: TOOLS, choice }, messages });

    test("auto: free text, and calls as the model writes them", () => {
      const auto = spec({ mode: "auto" });
      expect(taken(auto, `${header}Hello, who are you?`)).toBe("all");
      expect(taken(auto, text)).toBe("all");
      if (name !== "json" && name !== "llama")
        expect(taken(auto, `${header}Let me see. ${text}`)).toBe("all");
    });

    test("required: no other function, no other text, no more than may be", () => {
      const required = spec({ mode: "required" });
      expect(taken(required, text)).toBe("all");
      expect(taken(required, "Hello")).not.toBe("all");
      const wrong = text.replace("get_weather", "get_whether");
      expect(taken(required, wrong)).toBe(wrong.slice(0, wrong.indexOf("hether")));
      const only = spec({ mode: "required", only: ["get_weather"] });
      expect(taken(only, text)).toBe(given.single ? "all" : text.slice(0, text.indexOf(light)));
      const single = spec({ mode: "required", single: true });
      if (!given.single) expect(taken(single, text)).not.toBe("all");
      expect(text).toContain(paris);
    });
  });

  test("arguments in Python are those of the schema", () => {
    const { syntax } = new TemplateTools(
      new ChatTemplate(TOOL_TEMPLATES["python"]?.template as string, {}),
      [],
    );
    const fn = (parameters: Record<string, unknown>, strict = true): ToolSpec => ({
      type: "function",
      function: { name: "f", parameters: { type: "object", ...parameters }, strict },
    });
    const choice = { mode: "required" as const };
    const all = (spec: ToolSpec, args: string) =>
      taken(constraintOf({ tools: { syntax, specs: [spec], choice } }), `[f(${args})]`) === "all";
    const properties = {
      a: { type: "string", description: "any" },
      b: { type: "integer" },
      c: { enum: ["x", 1, null, true] },
      d: { type: "array", items: { type: "boolean" } },
      e: { type: "string", minLength: 2 },
      g: { type: "object", properties: { h: { $ref: "#/$defs/n" } }, required: ["h"] },
    };
    const given = fn({ properties, required: ["b", "d"], $defs: { n: { type: "number" } } });
    for (const right of [
      "b=1, d=[]",
      "a='it\\'s', b=-7, d=[True, False]",
      'a="x(,)", b=0, c="x", d=[True]',
      "b=0, c='x', d=[]",
      'b=0, c=None, d=[], e="ab", g={"h": 1.5}',
      "b=0, c=True, d=[]",
    ])
      expect(all(given, right), right).toBe(true);
    for (const wrong of [
      "",
      "b=1",
      "d=[], b=1",
      "b='1', d=[]",
      "b=1, d=[1]",
      "b=1, c='y', d=[]",
      'b=1, d=[], e="a"',
      "b=1, d=[], z=1",
      "a=1, b=1, d=[]",
    ])
      expect(all(given, wrong), wrong).toBe(false);
    const { a, b } = properties;
    const free = fn({ properties: { a, b } });
    for (const right of ["", "a='x'", "b=1", "a='x', b=1"]) expect(all(free, right)).toBe(true);
    for (const wrong of ["a='x',", "b=1, a='x'", ", b=1"]) expect(all(free, wrong)).toBe(false);
    const loose = fn({ properties: { a } }, false);
    for (const right of ["", 'z=None, y={"k": [1]}', "a=1"]) expect(all(loose, right)).toBe(true);
    expect(all(loose, "1")).toBe(false);
  });

  test("in Python, free text may hold brackets, and a call begins with a function's name", () => {
    const { syntax } = new TemplateTools(
      new ChatTemplate(TOOL_TEMPLATES["python"]?.template as string, {}),
      [],
    );
    const auto = constraintOf({ tools: { syntax, specs: TOOLS, choice: { mode: "auto" } } });
    expect(taken(auto, "A list: [1, 2], a [link](x), [get_whether()]")).toBe("all");
    expect(taken(auto, "[get_weather(town='Paris')]")).toBe("[get_weather(");
  });

  test("thinking is free, and calls follow it", () => {
    const { syntax } = new TemplateTools(
      new ChatTemplate(TOOL_TEMPLATES["hermes"]?.template as string, {}),
      [],
    );
    const call = '<tool_call>\n{"name": "set-light", "arguments": {}}\n</tool_call>';
    const spec = (mode: "auto" | "required", opened: boolean) =>
      constraintOf({
        tools: { syntax, specs: TOOLS, choice: { mode } },
        thinking: { format: { begin: "<think>", end: "</think>" }, opened },
      });
    const thought = "well <tool_call> or not</think>\n\n";
    for (const mode of ["auto", "required"] as const) {
      expect(taken(spec(mode, true), thought + call)).toBe("all");
      expect(taken(spec(mode, false), `<think>x</think>\n\n${call}`)).toBe("all");
      expect(taken(spec(mode, false), call)).toBe("all");
      expect(taken(spec(mode, true), thought)).toBe(mode === "auto" ? "all" : thought);
    }
    expect(taken(spec("required", true), call)).not.toBe("all");
  });

  describe("in an answer of messages", () => {
    const of = (name: string, asked: { choice?: ToolChoice; grammar?: GrammarSpec }) => {
      const { syntax } = new TemplateTools(
        new ChatTemplate(TOOL_TEMPLATES[name]?.template as string, {}),
        [],
      );
      const { choice, grammar } = asked;
      return constraintOf({
        tools: choice && { syntax, specs: TOOLS, choice },
        messages: { format: syntax.format, opened: true },
        grammar,
      });
    };
    const THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant";
    const CALLS = [
      ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Rome"}',
      '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}',
    ];

    test.each(CALLS)("the one to whom it goes may stand in either place: %s", (call) => {
      const rm = call.replace("get_weather", "rm");
      for (const mode of ["auto", "required"] as const) {
        const spec = of("harmony", { choice: { mode } });
        for (const text of [call, THOUGHT + call, THOUGHT + THOUGHT + call])
          expect(taken(spec, text)).toBe("all");
        expect(taken(spec, rm)).toBe(rm.slice(0, rm.indexOf("rm")));
        expect(taken(spec, call.replace("Rome", '", "a": "'))).not.toBe("all");
        expect(taken(spec, `${call}<|call|><|start|>assistant${call}`)).toBe(call);
      }
      const required = of("harmony", { choice: { mode: "required" } });
      expect(taken(required, THOUGHT)).toBe(THOUGHT);
      expect(taken(required, "<|channel|>final<|message|>")).toBe("<|channel|>");
    });

    test("content that must match stands under its header, after thinking, or in place of calls", () => {
      const grammar: GrammarSpec = { kind: "regex", pattern: "[0-9]+" };
      const final = "<|channel|>final<|message|>";
      for (const choice of [undefined, { mode: "auto" } as const]) {
        const spec = of("harmony", { grammar, ...(choice && { choice }) });
        for (const text of [`${final}12`, `${THOUGHT}${final}12`])
          expect(taken(spec, text)).toBe("all");
        expect(taken(spec, `${final}x`)).toBe(final);
      }
      expect(taken(of("functionary_v3_2", { grammar }), "all\n7")).toBe("all");
      expect(taken(of("functionary_v3_2", { grammar }), "7")).toBe("");
      expect(of("harmony", {})).toBeUndefined();
    });
  });
});
