/** What an answer that has parts must look like, in XGrammar's structural tag format. */
import type { GrammarSpec } from "../grammar/spec.js";
import { pythonArguments } from "./python_arguments.js";
import type { ReasoningFormat } from "./reasoning.js";
import { type Format, oneOf, optional, regex, sequence, star, text } from "./structural_tag.js";
import { type CallSyntax, callText } from "./template_tools.js";
import type { ToolChoice, ToolSpec } from "./tools.js";

export interface Asked {
  /** Tools whose calls are held to their form; `specs` are those before `choice.only`. */
  tools?: { syntax: CallSyntax; specs: readonly ToolSpec[]; choice: ToolChoice } | undefined;
  /** How the model marks its thinking; `opened`: the answer begins within it. */
  thinking?: { format: ReasoningFormat; opened: boolean } | undefined;
  /** What the content must be. */
  grammar?: GrammarSpec | undefined;
}

/** Whitespace that a model may put after its thinking. */
const SPACE = regex("[ \\n]*");
const DIGITS = regex("[0-9]{1,3}");

/**
 * The constraint on an answer: from where a call begins, it is one that the reader takes, of a given function, with arguments
 * that its schema allows (`strict: false`: any object). With `auto` other text is free, or there is content that matches
 * `grammar` in place of calls; with `required` there are only calls. Thinking comes before, and is free.
 *
 * @returns undefined where nothing is asked for
 */
export function constraintOf({ tools, thinking, grammar }: Asked): GrammarSpec | undefined {
  const calls = tools && tools.choice.mode !== "none" ? callsOf(tools) : undefined;
  const strict = tools?.choice.mode === "required" || grammar !== undefined;
  if (!calls && (!grammar || !thinking)) return grammar;
  const parts: Format[] = [];
  if (grammar && tools?.choice.mode !== "required") parts.push(contentOf(grammar));
  if (calls) parts.push(grammar || strict ? calls.alone : calls.anywhere);
  const format = sequence(...thought(thinking, strict), oneOf(parts));
  const tag = { type: "structural_tag", format };
  return { kind: "structural_tag", tag: JSON.stringify(tag) };
}

/** Calls and nothing else, and calls in free text. */
function callsOf({ syntax, specs, choice }: NonNullable<Asked["tools"]>) {
  const { open, lead, gap, tail } = syntax;
  const { only } = choice;
  const callable = specs.filter((tool) => !only || only.includes(tool.function.name));
  const single = (choice.single ?? false) || syntax.single;
  const call = (begun: number) => oneOf(callable.map((tool) => callOf(syntax, tool, begun)));
  const more: Format[] = single ? [] : [star(...text(gap), call(0))];
  const rest = [...more, ...text(tail)];
  const { calls } = syntax.format;
  let rules: [trigger: string, Format][];
  if (open) {
    rules = [[open, sequence(...text(lead), call(0), ...rest)]];
  } else if (calls.kind === "python") {
    // Nothing announces calls but their names.
    rules = callable.map((tool) => {
      const [begin] = callText(syntax, tool.function.name);
      return [lead + begin, sequence(callOf(syntax, tool, begin.length), ...rest)];
    });
  } else {
    const trigger = `{"${calls.kind === "json" ? calls.nameKey : "name"}": "`;
    rules = [[trigger, call(trigger.length)]]; // what all of them begin with
  }
  return {
    alone: sequence(...text(open + lead), call(0), ...rest),
    anywhere: { type: "dispatch", rules, loop: !single },
  };
}

/** One call of a function. @param begun how many of its first characters stand before it */
function callOf(syntax: CallSyntax, { function: fn }: ToolSpec, begun: number): Format {
  const [begin, middle, end] = callText(syntax, fn.name);
  const numbered: Format[] = middle === undefined ? [] : [DIGITS, ...text(middle)];
  const { calls } = syntax.format;
  if (calls.kind === "python") {
    const schema = fn.strict === false ? undefined : schemaOf(fn);
    return sequence(...text(begin.slice(begun)), ...pythonArguments(schema), ...text(end));
  }
  const tags = calls.kind === "named" && calls.arguments !== "json" ? calls.arguments : undefined;
  const json_schema = schemaOf(fn);
  if (tags && Object.keys((json_schema["properties"] ?? {}) as object).length === 0)
    return sequence(...text(begin.slice(begun).trimEnd() + end)); // no tag, no space for one
  const schema = {
    type: "json_schema",
    json_schema,
    ...(tags ? { style: tags.style } : {}),
  };
  return sequence(...text(begin.slice(begun)), ...numbered, schema, ...text(end));
}

function schemaOf({ parameters, strict }: ToolSpec["function"]): Record<string, unknown> {
  if (strict === false) return { type: "object" };
  return parameters ?? { type: "object", properties: {}, additionalProperties: false };
}

/** A grammar as a part of an answer. */
function contentOf(grammar: GrammarSpec): Format {
  switch (grammar.kind) {
    case "json":
      return { type: "json_schema", json_schema: { type: "object" } };
    case "json_schema":
      return { type: "json_schema", json_schema: JSON.parse(grammar.schema) as unknown };
    case "regex":
      return { type: "regex", pattern: grammar.pattern };
    case "ebnf":
      return { type: "grammar", grammar: grammar.grammar };
    case "structural_tag":
      return (JSON.parse(grammar.tag) as { format: Format }).format;
  }
}

/** Thinking before what is asked for. In free text, what is not opened is text like any other. */
function thought(thinking: Asked["thinking"], strict: boolean): Format[] {
  if (!thinking || (!strict && !thinking.opened)) return [];
  const { format, opened } = thinking;
  const region = (begin: string): Format => ({
    type: "tag",
    begin,
    content: { type: "any_text" },
    end: format.end,
  });
  if (opened) return strict ? [region(""), SPACE] : [region("")];
  return [optional(region(format.begin), SPACE)];
}
