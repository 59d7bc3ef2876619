/** Templates of many families' shapes, each written for this test: what is found out about them, and that calls survive a history. */
import { describe, expect, test } from "vitest";
import { TEMPLATE } from "../testing/tiny_pack.js";
import { TOOL_TEMPLATES, TOOLS } from "../testing/tool_templates.js";
import { AnswerParser } from "./answer_parser.js";
import { ChatTemplate, type TemplateMessage } from "./chat_template.js";
import { callText, TemplateTools } from "./template_tools.js";

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

describe.each(Object.entries(TOOL_TEMPLATES))("a template of the %s format", (name, expected) => {
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
    const { messages, settings } = tools.prepare(history, { tools: TOOLS });
    const prompt = template.render(messages, settings);
    expect(prompt.replaceAll(ID, '"id": "ID"')).toContain(
      expected.text.replaceAll(ID, '"id": "ID"'),
    );
    expect(prompt).toContain('"city"');
  });

  test("what the constraint is made of is the very text", () => {
    const { open, lead, gap, tail, format } = tools.syntax;
    const quote = expected.text.includes("'") ? "'" : '"';
    const args = (city: string | undefined) => {
      const { calls } = format;
      if (calls.kind === "python") return city ? `city=${quote}${city}${quote}` : "";
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
    if (format.calls.kind !== "named" || format.calls.arguments === "json")
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
        { name: "tool_use", template: TOOL_TEMPLATES["hermes"]?.template as string },
      ],
    };
    // A pack has the default in a file of its own too.
    for (const file of [undefined, "plain"]) {
      const template = new ChatTemplate(file, config);
      expect(new TemplateTools(template, []).takesTools).toBe(true);
      expect(new TemplateTools(template, []).syntax.format.name).toBe("hermes");
      expect(template.render([{ role: "user", content: "x" }])).toBe("plain");
    }
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
    const { messages } = new TemplateTools(template, []).prepare([
      { role: "assistant", content: null, tool_calls: [call] },
    ]);
    const [message] = messages;
    expect(message?.content).toBe("");
    expect(message?.tool_calls?.[0]?.function.arguments).toBe('{"a": [1, "é"], "b": {}}');
  });

  describe("a template that takes tools with the system message, and prints no calls, as Phi-4-mini's", () => {
    const template = new ChatTemplate(
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'system' and m.tools %}" +
        "<|tool|>{{ m.tools }}<|/tool|>{% endif %}<|end|>{% endfor %}<|assistant|>",
      {},
    );
    const tools = new TemplateTools(template, ["<|tool_call|>", "<|/tool_call|>"]);
    const [weather] = TOOLS as [(typeof TOOLS)[number]];
    const told =
      '<|tool|>[{"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]<|/tool|>';
    const question = { role: "user" as const, content: "Rain?" };
    const render = (messages: TemplateMessage[], settings?: Record<string, unknown>) => {
      const prepared = tools.prepare(messages, settings);
      return template.render(prepared.messages, prepared.settings);
    };

    test("is told of them there, below what the system message says, or a sentence", () => {
      expect(tools.takesTools).toBe(true);
      expect(tools.syntax.format.name).toBe("phi");
      expect(render([question], { tools: [weather] })).toBe(
        `<|system|>You are a helpful assistant with some tools.${told}<|end|><|user|>Rain?<|end|><|assistant|>`,
      );
      const system = { role: "system" as const, content: "Be brief." };
      expect(render([system, question], { tools: [weather] })).toBe(
        `<|system|>Be brief.${told}<|end|><|user|>Rain?<|end|><|assistant|>`,
      );
      expect(render([question])).toBe("<|user|>Rain?<|end|><|assistant|>");
    });

    test("calls stand in its content as the model wrote them", () => {
      const text = TOOL_TEMPLATES["phi"]?.text as string;
      const { calls } = callsOf(tools, text);
      const said = { role: "assistant" as const, content: null, tool_calls: calls };
      expect(calls).toHaveLength(2);
      expect(render([question, said])).toContain(`<|assistant|>${text}<|end|>`);
    });
  });

  test("of single calls: several stand one by one, each before its result, with what was thought and said before", () => {
    const template = new ChatTemplate(TOOL_TEMPLATES["harmony"]?.template as string, {});
    const call = (id: string) => ({
      id,
      type: "function" as const,
      function: { name: "set-light", arguments: { id } },
    });
    const result = (id: string) => ({ role: "tool" as const, content: id, tool_call_id: id });
    const { messages } = new TemplateTools(template, []).prepare([
      {
        role: "assistant",
        content: "So.",
        reasoning_content: "Hm.",
        tool_calls: [call("a"), call("b")],
      },
      result("b"),
      result("a"),
    ]);
    const written = (id: string) =>
      `<|start|>assistant to=functions.set-light<|channel|>commentary json<|message|>{"id": "${id}"}<|call|><|start|>tool<|message|>${id}<|end|>`;
    expect(template.render(messages)).toBe(
      `<|start|>assistant<|channel|>analysis<|message|>Hm.\n\nSo.<|end|>${written("a")}${written("b")}<|start|>assistant`,
    );
  });

  test.each(["python", "qwen_xml", "kimi", "hermes"])(
    "calls as content, in the %s format, are read as the same calls",
    (name) => {
      const { template, text } = TOOL_TEMPLATES[name] as (typeof TOOL_TEMPLATES)[string];
      // The marks without the print: a comment is no part of a prompt.
      const marks = `{# ${template.replaceAll(/[#%{}]/g, "")} func_name1( #}{{ tools | tojson }}`;
      const silent = new ChatTemplate(
        `${marks}{% for m in messages %}{{ m.content }}{% endfor %}`,
        {},
      );
      const tools = new TemplateTools(silent, []);
      expect(tools.syntax.format.name).toBe(name);
      const { calls } = callsOf(tools, text);
      expect(calls).toHaveLength(2);
      const { messages } = tools.prepare([{ role: "assistant", content: null, tool_calls: calls }]);
      const again = callsOf(tools, messages[0]?.content as string);
      expect(again.content).toBe("");
      expect(again.calls.map((c) => c.function)).toEqual(calls.map((c) => c.function));
    },
  );
});
