/** What an answer that has parts must look like, in XGrammar's structural tag format. */
import type { GrammarSpec } from "../grammar/spec.js";
import { pythonArguments } from "./python_arguments.js";
import type { ReasoningFormat } from "./reasoning.js";
import { type Format, oneOf, optional, regex, sequence, star, text } from "./structural_tag.js";
import { type CallSyntax, callText } from "./template_tools.js";
import type { Messages, ToolFormat } from "./tool_formats.js";
import type { ToolChoice, ToolSpec } from "./tools.js";

export interface Asked {
  /** Tools whose calls are held to their form; `specs` are those before `choice.only`. */
  tools?: { syntax: CallSyntax; specs: readonly ToolSpec[]; choice: ToolChoice } | undefined;
  /** How the model marks its thinking; `opened`: the answer begins within it. */
  thinking?: { format: ReasoningFormat; opened: boolean } | undefined;
  /** The format, where all answers are messages; `opened`: the prompt ends with a message's first mark. */
  messages?: { format: ToolFormat; opened: boolean } | undefined;
  /** What the content must be. */
  grammar?: GrammarSpec | undefined;
}

const NO_MESSAGES: Messages = { body: "", ends: [], content: [] };
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
export function constraintOf(asked: Asked): GrammarSpec | undefined {
  const { tools, thinking, messages, grammar } = asked;
  const calls = tools && tools.choice.mode !== "none" ? callsOf(tools) : undefined;
  const strict = tools?.choice.mode === "required" || grammar !== undefined;
  if (!calls && (!grammar || (!thinking && !messages))) return grammar;
  const { body, ends, content, reasoning } = messages?.format.messages ?? NO_MESSAGES;
  const headers = (of: readonly string[]) => of.flatMap((header) => text(header + body));
  const parts: Format[] = [];
  if (grammar && tools?.choice.mode !== "required")
    parts.push(sequence(...headers(content.slice(0, 1)), contentOf(grammar)));
  if (calls && (strict || messages)) parts.push(calls.alone);
  if (calls && !strict) {
    const first = headers(reasoning ? [...content, reasoning] : content);
    parts.push(sequence(...(messages ? [oneOf(first)] : []), calls.anywhere));
  }
  const before = messages
    ? text(messages.opened ? "" : messages.format.open)
    : thought(thinking, strict);
  if (messages && reasoning && strict) {
    const end = `${ends[0]}${messages.format.open}`;
    before.push(star(region(reasoning + body, end)));
  }
  const tag = { type: "structural_tag", format: sequence(...before, oneOf(parts)) };
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
  const { calls, messages } = syntax.format;
  let rules: [trigger: string, Format][];
  if (messages) {
    rules = callable.flatMap((tool) =>
      headsOf(syntax, tool).map((head): (typeof rules)[number] => [
        open + head,
        sequence(callOf(syntax, tool, Number.POSITIVE_INFINITY), ...rest),
      ]),
    );
  } else if (open) {
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
    alone: sequence(...text(messages ? "" : open + lead), call(0), ...rest),
    anywhere: { type: "dispatch", rules, loop: !single },
  };
}

/** What a call of a function may begin with. */
function headsOf(syntax: CallSyntax, { function: { name } }: ToolSpec): string[] {
  const { calls } = syntax.format;
  const also = calls.kind === "named" && calls.also ? [calls.also.join(name)] : [];
  return [callText(syntax, name)[0], ...also];
}

/** One call of a function. @param begun how many of its first characters stand before it */
function callOf(syntax: CallSyntax, tool: ToolSpec, begun: number): Format {
  const { function: fn } = tool;
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
  const heads = headsOf(syntax, tool).flatMap((head) => text(head.slice(begun)));
  const said = heads.length > 0 ? [oneOf(heads)] : [];
  return sequence(...said, ...numbered, schema, ...text(end));
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
  if (opened) return strict ? [region("", format.end), SPACE] : [region("", format.end)];
  return [optional(region(format.begin, format.end), SPACE)];
}

const region = (begin: string, end: string): Format => ({
  type: "tag",
  begin,
  content: { type: "any_text" },
  end,
});
