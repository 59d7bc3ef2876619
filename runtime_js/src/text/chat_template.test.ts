import { describe, expect, test } from "vitest";
import { InvalidRequestError, TemplateError } from "../errors.js";
import { TEMPLATE } from "../testing/tiny_pack.js";
import { ChatTemplate } from "./chat_template.js";

const hello = [{ role: "user" as const, content: "hi" }];

describe("ChatTemplate", () => {
  test("renders messages and asks for an answer", () => {
    expect(new ChatTemplate(TEMPLATE, {}).render(hello)).toBe(
      "<|im_start|>user\nhi<|im_end|><|im_start|>",
    );
  });

  test("knows special tokens, written as strings or records", () => {
    const config = { bos_token: "<s>", eos_token: { content: "</s>" } };
    expect(new ChatTemplate("{{ bos_token }}{{ eos_token }}", config).render(hello)).toBe(
      "<s></s>",
    );
  });

  test("falls back on tokenizer_config.json, taking the default of several", () => {
    expect(new ChatTemplate(undefined, { chat_template: "A" }).render(hello)).toBe("A");
    const several = [
      { name: "tool_use", template: "B" },
      { name: "default", template: "C" },
    ];
    expect(new ChatTemplate(undefined, { chat_template: several }).render(hello)).toBe("C");
  });

  test("a missing, broken or refusing template is a TemplateError that says why", () => {
    expect(() => new ChatTemplate(undefined, {})).toThrow(TemplateError);
    expect(() => new ChatTemplate("{% if %}", {})).toThrow(TemplateError);
    const refusing = new ChatTemplate("{{ raise_exception('roles must alternate') }}", {});
    expect(() => refusing.render(hello)).toThrow(TemplateError);
    expect(() => refusing.render(hello)).toThrow(/roles must alternate/);
  });

  describe("settings of a request", () => {
    const thinks = new ChatTemplate(
      "{# reads nothing: reasoning_effort #}{{ 'off' if enable_thinking is false else 'on' }}",
      {},
    );
    const weighs = new ChatTemplate("{{ reasoning_effort }} {{ enable_thinking }}", {});

    test("are variables", () => {
      expect(thinks.render(hello)).toBe("on");
      expect(thinks.render(hello, { enable_thinking: false })).toBe("off");
      const both = { reasoning_effort: "low", enable_thinking: 1 };
      expect(weighs.render(hello, both)).toBe("low 1");
    });

    test("an effort is on or off where a template knows no more", () => {
      expect(thinks.render(hello, { reasoning_effort: "none" })).toBe("off");
      expect(thinks.render(hello, { reasoning_effort: "minimal" })).toBe("on");
      const both = { reasoning_effort: "high", enable_thinking: false };
      expect(thinks.render(hello, both)).toBe("off");
    });

    test.each([
      [{ reasoning_effort: "low" }, "reasoning_effort"],
      [{ enable_thinking: true }, "webbuild.template.enable_thinking"],
      [{ constructor: 1 }, "webbuild.template.constructor"],
    ])("%j is refused by name where it changes nothing", (settings, param) => {
      const render = () => new ChatTemplate(TEMPLATE, {}).render(hello, settings);
      expect(render).toThrow(InvalidRequestError);
      expect(render).toThrow(`${param} changes nothing`);
    });
  });
});
