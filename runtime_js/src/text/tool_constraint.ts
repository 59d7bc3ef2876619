/** What an answer that may call tools must look like, in XGrammar's structural tag format. */
import type { ReasoningFormat } from "./reasoning.js";
import { type CallSyntax, callText } from "./template_tools.js";
import type { ToolChoice, ToolSpec } from "./tools.js";

type Format = { type: string; [key: string]: unknown };

const text = (value: string): Format[] => (value === "" ? [] : [{ type: "const_string", value }]);
const sequence = (...elements: Format[]): Format =>
  elements.length === 1 ? (elements[0] as Format) : { type: "sequence", elements };
const oneOf = (elements: Format[]): Format =>
  elements.length === 1 ? (elements[0] as Format) : { type: "or", elements };

/** Whitespace that a model may put between its thinking and its calls. */
const SPACE: Format = { type: "regex", pattern: "[ \\n]*" };

/**
 * The constraint on an answer: from where a call begins, it is one that the reader takes, of a given function, with arguments
 * that its schema allows (`strict: false`: any object). With `auto` all other text is free; with `required` there is nothing but
 * calls, after thinking.
 *
 * @param tools of the request, before `choice.only`
 * @param thinking how the model marks its thinking; `opened`: the answer begins within it
 * @returns undefined where nothing is asked for
 */
export function constraintOf(
  syntax: CallSyntax,
  tools: readonly ToolSpec[],
  choice: ToolChoice,
  thinking?: { format: ReasoningFormat; opened: boolean },
): { kind: "structural_tag"; tag: string } | undefined {
  const { mode, only } = choice;
  const callable = tools.filter((tool) => !only || only.includes(tool.function.name));
  if (mode === "none" || callable.length === 0) return undefined;
  const { open, lead, gap, tail } = syntax;
  const single = (choice.single ?? false) || syntax.single;
  const call = (begun: number) => oneOf(callable.map((tool) => callOf(syntax, tool, begun)));
  const more: Format[] = single ? [] : [{ type: "star", content: sequence(...text(gap), call(0)) }];

  const answer = (): Format => {
    if (mode === "required") return sequence(...text(open + lead), call(0), ...more, ...text(tail));
    // What all calls begin with, if nothing announces them.
    const trigger = open === "" ? `{"${nameKey(syntax)}": "` : open;
    const rest =
      open === "" ? [call(trigger.length)] : [...text(lead), call(0), ...more, ...text(tail)];
    return { type: "dispatch", rules: [[trigger, sequence(...rest)]], loop: !single };
  };
  const tag = { type: "structural_tag", format: sequence(...thought(mode, thinking), answer()) };
  return { kind: "structural_tag", tag: JSON.stringify(tag) };
}

/** One call of a function. @param begun how many of its first characters stand before it */
function callOf(syntax: CallSyntax, { function: fn }: ToolSpec, begun: number): Format {
  const [begin, middle, end] = callText(syntax, fn.name);
  const numbered: Format[] = middle === undefined ? [] : [DIGITS, ...text(middle)];
  const { calls } = syntax.format;
  const tags = calls.kind === "named" && calls.arguments !== "json" ? calls.arguments : undefined;
  const schema = {
    type: "json_schema",
    json_schema: schemaOf(fn),
    ...(tags ? { style: tags.style } : {}),
  };
  return sequence(...text(begin.slice(begun)), ...numbered, schema, ...text(end));
}

const DIGITS: Format = { type: "regex", pattern: "[0-9]{1,3}" };

function schemaOf({ parameters, strict }: ToolSpec["function"]): Record<string, unknown> {
  if (strict === false) return { type: "object" };
  return parameters ?? { type: "object", properties: {}, additionalProperties: false };
}

const nameKey = ({ format: { calls } }: CallSyntax) =>
  calls.kind === "json" ? calls.nameKey : "name";

/** Thinking before the calls. With `auto` what is not opened is free text like any other. */
function thought(
  mode: ToolChoice["mode"],
  thinking: { format: ReasoningFormat; opened: boolean } | undefined,
): Format[] {
  if (!thinking) return [];
  const { format, opened } = thinking;
  const region = (begin: string): Format => ({
    type: "tag",
    begin,
    content: { type: "any_text" },
    end: format.end,
  });
  if (opened) return mode === "required" ? [region(""), SPACE] : [region("")];
  if (mode === "auto") return [];
  return [{ type: "optional", content: sequence(region(format.begin), SPACE) }];
}
