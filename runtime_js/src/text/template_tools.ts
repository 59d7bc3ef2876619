/** What a chat template says about tools: whether it takes them, how it writes calls, and how it wants them in a history. */
import type { ChatTemplate, TemplateMessage } from "./chat_template.js";
import {
  type JsonCalls,
  PLAIN_JSON,
  PYTHON,
  TOOL_FORMATS,
  type ToolFormat,
} from "./tool_formats.js";

/** A format, and what of it each template does in its own way. Calls are `open` `lead` CALL (`gap` CALL)* `tail`. */
export interface CallSyntax {
  format: ToolFormat;
  open: string;
  lead: string;
  gap: string;
  /** With the format's `close`. */
  tail: string;
  argumentsKey: JsonCalls["argumentsKey"];
  /** The template refuses several calls in one message. */
  single: boolean;
}

/** A tool and a call that no conversation has: what a template makes of them shows how it writes. */
const TOOL = {
  type: "function" as const,
  function: {
    name: "probe_tool",
    description: "none",
    parameters: {
      type: "object",
      properties: { probe_key: { type: "string", description: "none" } },
      required: ["probe_key"],
    },
  },
};
const QUESTION: TemplateMessage = { role: "user", content: "?" };
const CALL = "probe_call";

/** In which form a template takes an assistant's calls. */
interface Taken {
  arguments: "object" | "text";
  content: null | "";
}

const TAKEN: readonly Taken[] = [
  { arguments: "object", content: null },
  { arguments: "object", content: "" },
  { arguments: "text", content: null },
  { arguments: "text", content: "" },
];

export class TemplateTools {
  /** Whether prompts tell the model of tools. */
  readonly takesTools: boolean;
  readonly syntax: CallSyntax;
  /** In which form calls are taken; undefined: the template prints none, so they must be content. */
  readonly #taken: Taken | undefined;
  /** The template takes tools with the system message. */
  readonly #inSystem: boolean;

  /** @param tokens special and added tokens, which tell the format where the template does not */
  constructor(
    private readonly template: ChatTemplate,
    tokens: readonly string[],
  ) {
    const told = (text: string | undefined) => text?.includes(TOOL.function.name) ?? false;
    const alone = told(this.#try([QUESTION], [TOOL]));
    this.#inSystem = !alone && told(this.#try(withTools([QUESTION], [TOOL]), undefined));
    this.takesTools = alone || this.#inSystem;
    const formats = formatsOf(template.source, tokens);
    const shown = formats.map((format) => this.#shown(format));
    const { format, printed } =
      shown.find(({ printed }) => printed?.parts) ?? (shown[0] as (typeof shown)[number]);
    this.#taken = printed?.taken;
    this.syntax = {
      ...defaults(format),
      ...printed?.parts,
      single: format.single ?? printed?.count === 1,
    };
  }

  /** A history, and the variables of a request, in the form that the template takes. */
  prepare(
    messages: readonly TemplateMessage[],
    { tools, ...settings }: Record<string, unknown> = {},
  ): { messages: TemplateMessage[]; settings: Record<string, unknown> } {
    const { format, single } = this.syntax;
    const history = this.#taken
      ? prepared(single ? oneByOne(messages) : messages, format, this.#taken)
      : messages.map((message) => withCalls(message, this.syntax));
    if (tools === undefined) return { messages: history, settings };
    if (this.#inSystem) return { messages: withTools(history, tools as Told[]), settings };
    return { messages: history, settings: { ...settings, tools } };
  }

  /** What the template prints of a history with calls in this format, of two if it takes them; `parts` if calls are found in it. */
  #shown(format: ToolFormat) {
    for (const count of [2, 1]) {
      const probe = this.#probe(format, count);
      if (!probe) continue;
      const { text, taken } = probe;
      return { format, printed: { count, taken, parts: written(format, text) } };
    }
    return { format, printed: undefined };
  }

  /** A history with so many calls, in the first form that the template prints in full. */
  #probe(format: ToolFormat, count: number): { text: string; taken: Taken } | undefined {
    const calls = Array.from({ length: count }, (_, i) => ({
      id: `call_${i}`,
      type: "function" as const,
      function: { name: CALL, arguments: { probe_key: "probe_value" } },
    }));
    const history: TemplateMessage[] = [
      QUESTION,
      { role: "assistant", content: null, tool_calls: calls },
      ...calls.map(({ id }) => ({ role: "tool" as const, content: "done", tool_call_id: id })),
    ];
    for (const taken of TAKEN) {
      const text = this.#try(prepared(history, format, taken), [TOOL]);
      const shown = text?.split("probe_value").length ?? 0;
      const whole = text?.includes(CALL) && shown > count && !text.includes('\\"probe_key');
      const nothing = taken.content === null && this.#printsNull(history, format, taken, text);
      if (text !== undefined && whole && !nothing) return { text, taken };
    }
    return undefined;
  }

  /** Whether the absence of content is printed. */
  #printsNull(
    history: TemplateMessage[],
    format: ToolFormat,
    taken: Taken,
    text: string | undefined,
  ): boolean {
    const count = (text = "") => text.split(/null|None/).length;
    const other = this.#try(prepared(history, format, { ...taken, content: "" }), [TOOL]);
    return count(text) > count(other);
  }

  #try(messages: TemplateMessage[], tools: unknown[] | undefined): string | undefined {
    try {
      return this.template.render(messages, tools ? { tools } : {});
    } catch {
      return undefined; // it does not take this
    }
  }
}

/** A tool as templates are told of it. */
type Told = { function: unknown };

/** What models that read tools in a system message are told where a conversation has none: the sentence of Phi-4-mini's card. */
const WITH_TOOLS = "You are a helpful assistant with some tools.";

function withTools(messages: readonly TemplateMessage[], tools: readonly Told[]) {
  const [first, ...rest] = messages;
  const system = first?.role === "system" ? first : undefined;
  const told = pythonJson(tools.map((tool) => tool.function));
  return [
    { role: "system" as const, content: WITH_TOOLS, ...system, tools: told },
    ...(system ? rest : messages),
  ];
}

/** Calls as the model wrote them, in the content. */
function withCalls(message: TemplateMessage, syntax: CallSyntax): TemplateMessage {
  const { tool_calls: calls, ...said } = message;
  if (!calls) return message;
  const { open, lead, gap, tail } = syntax;
  const texts = calls.map(({ function: { name, arguments: given } }, i) => {
    const [begin, middle, end] = callText(syntax, name);
    const numbered = middle === undefined ? "" : `${i}${middle}`;
    return begin + numbered + argumentsText(syntax, given as Record<string, unknown>) + end;
  });
  return { ...said, content: (said.content ?? "") + open + lead + texts.join(gap) + tail };
}

/** Of several calls each in a message of its own, before its result. */
function oneByOne(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const moved = new Set<TemplateMessage>();
  return messages.flatMap((message, at) => {
    if (moved.has(message)) return [];
    const { role, tool_calls: calls } = message;
    if (!calls?.[1]) return [message];
    return calls.flatMap((call, i) => {
      const result = messages.slice(at).find(({ tool_call_id: id }) => id === call.id);
      if (result) moved.add(result);
      const said = i === 0 ? message : { role, content: null };
      return [{ ...said, tool_calls: [call] }, ...(result ? [result] : [])];
    });
  });
}

function prepared(
  messages: readonly TemplateMessage[],
  { ids, messages: parts }: ToolFormat,
  taken: Taken,
): TemplateMessage[] {
  const numbered = new Map<string, string>();
  const idOf = (id: string) => (ids === "nine" ? nineLetters(id) : (numbered.get(id) ?? id));
  return messages.map((message) => {
    const { tool_calls: calls, tool_call_id: id } = message;
    if (id !== undefined) return { ...message, tool_call_id: idOf(id) };
    if (!calls) return message;
    const { content, reasoning_content: thought } = message;
    // Such templates print what is said before a call as thinking, and refuse to print both.
    const joined = parts?.reasoning && content && thought;
    return {
      ...message,
      ...(joined ? { reasoning_content: `${thought}\n\n${content}` } : {}),
      content: joined ? taken.content : (content ?? taken.content),
      tool_calls: calls.map(({ id, type, function: { name, arguments: given } }) => {
        if (ids === "numbered") numbered.set(id, `functions.${name}:${numbered.size}`);
        const written = taken.arguments === "object" ? given : pythonJson(given);
        return { id: idOf(id), type, function: { name, arguments: written } };
      }),
    };
  });
}

/** The formats whose marks a template has, or else a vocabulary, likeliest first; and what is told by nothing but its print. */
function formatsOf(source: string, tokens: readonly string[]): ToolFormat[] {
  const of = (texts: string) =>
    TOOL_FORMATS.filter(({ marks }) => marks.every((mark) => texts.includes(mark)));
  const unescaped = source.replaceAll("\\n", "\n").replaceAll('\\"', '"');
  const marked = of(unescaped);
  if (marked.length === 0) marked.push(...of(tokens.join("\n")));
  return marked.length > 0 ? [...marked, PYTHON] : [PLAIN_JSON, PYTHON];
}

function defaults(format: ToolFormat): CallSyntax {
  const { open, close, list, grouped, calls } = format;
  const argumentsKey = calls.kind === "json" ? calls.argumentsKey : "arguments";
  const lines = calls.kind === "python" ? "\n" : "";
  const common = { format, open, argumentsKey, single: false };
  if (list) return { ...common, lead: "[", gap: ", ", tail: `]${close}` };
  if (grouped) return { ...common, lead: lines, gap: lines, tail: lines + close };
  return { ...common, lead: "", gap: `${close}${open}` || "; ", tail: close };
}

/** What a template writes around and between calls; undefined where it can't be told. */
function written(format: ToolFormat, text: string): Partial<CallSyntax> | undefined {
  const spans = spansOf(format, text);
  const [first] = spans;
  const last = spans.at(-1);
  if (!first || !last) return undefined;
  const { open, also = [], close, list } = format;
  const before = text.slice(0, first.begin);
  const opened = [open, ...also]
    .map((mark) => ({ mark, at: before.lastIndexOf(mark) }))
    .filter(
      ({ mark, at }) => mark !== "" && at >= 0 && BETWEEN.test(before.slice(at + mark.length)),
    )
    .at(0);
  if (open !== "" && !opened) return undefined;
  const bracket = list ? (/\[\s*$/.exec(before)?.[0] ?? "") : "";
  const lead = opened ? before.slice(opened.at + opened.mark.length) : bracket;
  const after = text.slice(last.end);
  const rest = close === "" ? /^\s*\]/.exec(lead.includes("[") ? after : "") : undefined;
  const ends = close === "" ? (rest?.[0] ?? "") : upTo(after, close);
  if (ends === undefined) return undefined;
  const key = /"(arguments|parameters)":\s*\{\s*"probe_key/.exec(text)?.[1];
  const gap = spans[1] && text.slice(first.end, spans[1].begin);
  return {
    open: opened?.mark ?? "",
    lead,
    tail: ends,
    ...(gap === undefined ? {} : { gap }),
    ...(key ? { argumentsKey: key as JsonCalls["argumentsKey"] } : {}),
  };
}

/** What may stand between marks and calls. */
const BETWEEN = /^[\s[\]]*$/;

/** `close` and what stands before it, if that is nothing but space and brackets. */
function upTo(text: string, close: string): string | undefined {
  const at = text.indexOf(close);
  return at >= 0 && BETWEEN.test(text.slice(0, at)) ? text.slice(0, at + close.length) : undefined;
}

/** Where the probes' calls stand in a rendered history. */
function spansOf({ calls }: ToolFormat, text: string): { begin: number; end: number }[] {
  const spans: { begin: number; end: number }[] = [];
  for (let at = text.indexOf(CALL); at >= 0; at = text.indexOf(CALL, at + 1)) {
    const value = text.indexOf("probe_value", at);
    if (value < 0) break;
    let begin: number;
    let tail: RegExpExecArray | null;
    if (calls.kind === "json") {
      begin = text.lastIndexOf("{", at);
      tail = /^"\s*\}[^{}]*\}/.exec(text.slice(value + "probe_value".length));
    } else if (calls.kind === "python") {
      begin = at;
      if (text[at + CALL.length] !== "(") continue;
      tail = /^["']?\)/.exec(text.slice(value + "probe_value".length));
    } else {
      const { begin: mark, end } = calls;
      begin = at - mark.length;
      if (text.slice(begin, at) !== mark) continue;
      const tags = calls.arguments === "json" ? undefined : calls.arguments;
      const inner = tags ? `\\s*${escaped(tags.end.trim())}` : '"\\s*\\}';
      tail = new RegExp(`^${inner}${escaped(end)}`).exec(text.slice(value + "probe_value".length));
    }
    if (tail) spans.push({ begin, end: value + "probe_value".length + tail[0].length });
  }
  return spans;
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/**
 * The text of a call of a function: before its arguments and after them. If calls are numbered, the number comes after the
 * first, and then the second.
 */
export function callText(
  { format: { calls }, argumentsKey }: CallSyntax,
  name: string,
): [begin: string, middle: string | undefined, end: string] {
  if (calls.kind === "python") return [`${name}(`, undefined, ")"];
  if (calls.kind === "named") {
    const { begin, numbered, after, end } = calls;
    if (numbered) return [`${begin}${name}${numbered}`, after, end];
    return [`${begin}${name}${after}`, undefined, end];
  }
  const named = `"${calls.nameKey}": ${JSON.stringify(name)}, "${argumentsKey}": `;
  if (calls.numberKey) return [`{"${calls.numberKey}": "`, `", ${named}`, "}"];
  return [`{${named}`, undefined, "}"];
}

function argumentsText({ format: { calls } }: CallSyntax, given: Record<string, unknown>): string {
  const entries = Object.entries(given);
  if (calls.kind === "python")
    return entries.map(([key, value]) => `${key}=${pythonLiteral(value)}`).join(", ");
  if (calls.kind === "json" || calls.arguments === "json") return pythonJson(given);
  const { key: before, value: between, end } = calls.arguments;
  const plain = (value: unknown) => (typeof value === "string" ? value : pythonJson(value));
  return entries.map(([key, value]) => before + key + between + plain(value) + end).join("\n");
}

/** An id of nine letters and digits, the same for the same one: FNV-1a of 32 bits, and multiplied on. */
function nineLetters(id: string): string {
  if (/^[a-zA-Z0-9]{9}$/.test(id)) return id;
  let hash = 0x811c9dc5;
  for (const c of id) hash = Math.imul(hash ^ (c.codePointAt(0) as number), 0x01000193) >>> 0;
  let text = "";
  while (text.length < 9) {
    text += (hash % 36).toString(36);
    hash = (Math.imul(hash, 0x5bd1e995) ^ (hash >>> 15)) >>> 0;
  }
  return text;
}

/** JSON as templates print it, like Python: with spaces. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${pythonJson(v)}`);
    return `{${members.join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** JSON values as Python writes them. */
function pythonLiteral(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value as object).map(
    ([k, v]) => `${JSON.stringify(k)}: ${pythonLiteral(v)}`,
  );
  return `{${members.join(", ")}}`;
}
