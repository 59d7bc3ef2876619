/**
 * A generated text, piece by piece, to content, thinking and tool calls. However it is cut into pieces, the result is the same:
 * characters are read one at a time, by generators that wait for the next one.
 *
 * Nothing of a mark becomes content; text that may be the beginning of one is held back. A call is told as soon as its function is
 * known, then its arguments as they come, as the model wrote them. What begins like a call and is none, because it
 * can't be read or no function of the request has that name, is content, as it was written.
 */
import { readArgument, Unfinished } from "./python_literal.js";
import type { ReasoningFormat } from "./reasoning.js";
import type { ArgumentTags, NamedCalls, ToolFormat } from "./tool_formats.js";
import type { ToolCallDelta, ToolSpec } from "./tools.js";

/** What is in a text, besides content. */
export interface AnswerParts {
  tools?: { format: ToolFormat; specs: readonly ToolSpec[] } | undefined;
  /** `opened`: the text begins within thinking. */
  thinking?: { format: ReasoningFormat; opened: boolean } | undefined;
}

/** What became certain of an answer. */
export interface AnswerDelta {
  text: string;
  reasoning: string;
  toolCalls: ToolCallDelta[];
}

/** Waits for the characters it needs; gives what it has read. */
type Reader<T = void> = Generator<undefined, T, string>;

/** What was taken for a call is none. */
class NoCall extends Error {}

const NAME_KEYS = ["name", "tool_name"];
const ARGUMENT_KEYS = ["arguments", "parameters"];
const OTHER_KEYS = ["id", "type", "tool_call_id", "index"];
const LONGEST_NAME = 200;
const END = "";

export class AnswerParser {
  readonly #parts: AnswerParts;
  readonly #machine: Reader;
  readonly #content = new Trimmed();
  readonly #reasoning = new Trimmed();
  #calls: ToolCallDelta[] = [];
  #count = 0;
  /** The character to be read next, if it has been seen: END at the end. */
  #next: string | undefined;
  /** What was read, in a call, since all that is certain. */
  #taken: string | undefined;
  /** The function that is being called, once it is known. */
  #told: ToolSpec | undefined;
  /** Whether its arguments have begun. */
  #argued = false;
  /** Whether the text stands within thinking. */
  thinking = false;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
    this.#machine = this.#answer();
    this.#machine.next();
  }

  /** Calls told so far. */
  get calls(): number {
    return this.#count;
  }

  push(text: string): AnswerDelta {
    for (const c of text) this.#machine.next(c);
    return this.#result();
  }

  /** What was held back, at the end of the text. */
  finish(): AnswerDelta {
    this.#machine.next(END);
    return this.#result();
  }

  #result(): AnswerDelta {
    const toolCalls = this.#calls;
    this.#calls = [];
    return { text: this.#content.take(), reasoning: this.#reasoning.take(), toolCalls };
  }

  // --- characters

  *#peek(): Reader<string> {
    if (this.#next === undefined) this.#next = yield;
    return this.#next;
  }

  *#read(): Reader<string> {
    const c = yield* this.#peek();
    if (c !== END) this.#next = undefined;
    if (this.#taken !== undefined) this.#taken += c;
    return c;
  }

  *#skipSpace(): Reader {
    while (isSpace(yield* this.#peek())) yield* this.#read();
  }

  *#expect(c: string): Reader {
    if ((yield* this.#read()) !== c) throw new NoCall();
  }

  /** Reads to the end of the first mark, giving what comes before it to `sink`. @returns the mark, END if there is none */
  *#until(marks: readonly string[], sink: (c: string) => void): Reader<string> {
    let held = "";
    for (let c = yield* this.#read(); c !== END; c = yield* this.#read()) {
      held += c;
      while (held !== "" && !marks.some((mark) => mark.startsWith(held))) {
        const first = String.fromCodePoint(held.codePointAt(0) as number);
        held = held.slice(first.length);
        sink(first);
      }
      if (held !== "" && marks.includes(held)) return held;
    }
    for (const c of held) sink(c);
    return END;
  }

  // --- parts

  *#answer(): Reader {
    const { tools, thinking } = this.#parts;
    const opens = tools ? opensOf(tools.format) : [];
    const marks = thinking ? [...opens, thinking.format.begin] : opens;
    if (thinking?.opened) yield* this.#think(thinking.format);
    for (;;) {
      if (tools?.format.open === "" && this.#content.empty) {
        while (isSpace(yield* this.#peek())) this.#content.push(yield* this.#read());
        const c = yield* this.#peek();
        if (c === "{" || c === "[") {
          yield* this.#group(tools.format, "");
          continue;
        }
      }
      const mark = yield* this.#until(marks, (c) => this.#content.push(c));
      if (mark === END) break;
      if (mark === thinking?.format.begin) yield* this.#think(thinking.format);
      else if (tools) yield* this.#group(tools.format, mark);
    }
    this.#content.end();
    for (;;) yield; // there is nothing after the end
  }

  *#think({ end }: ReasoningFormat): Reader {
    this.#content.restart();
    this.#reasoning.restart();
    this.thinking = true;
    yield* this.#until([end], (c) => this.#reasoning.push(c));
    this.thinking = false;
  }

  /** What `open` may have opened: calls, or else content. What ends before its function is named is left out, mark and all. */
  *#group(format: ToolFormat, open: string): Reader {
    this.#taken = open;
    try {
      yield* this.#members(format);
    } catch (error) {
      if (!(error instanceof NoCall)) throw error;
      if (open === "" || (yield* this.#peek()) !== END) this.#spill();
    }
    this.#taken = undefined;
  }

  #spill(): void {
    for (const c of this.#taken ?? "") this.#content.push(c);
    this.#taken = "";
  }

  *#members(format: ToolFormat): Reader {
    const { open, close, calls } = format;
    yield* this.#skipSpace();
    const listed = calls.kind !== "named" && (yield* this.#peek()) === "[";
    if (listed) yield* this.#read();
    for (;;) {
      this.#told = undefined;
      this.#argued = false;
      if (calls.kind === "named") {
        const more = yield* this.#named(calls, close);
        this.#taken = "";
        if (!more) return;
        if (calls.begin === "") break;
        continue;
      }
      yield* this.#skipSpace();
      const python = calls.kind === "python" && (yield* this.#peek()) !== "{";
      yield* python ? this.#python() : this.#object();
      this.#taken = "";
      yield* this.#skipSpace();
      const c = yield* this.#peek();
      if (python && !listed && /[A-Za-z_]/.test(c)) continue;
      if (listed ? c !== "," : open !== "" || (c !== ";" && c !== ",")) break;
      yield* this.#read();
    }
    if (listed && (yield* this.#peek()) === "]") {
      yield* this.#read();
      this.#taken = "";
    }
    yield* this.#close(format);
  }

  /** What is left before `close`, or before the next call, is wrong and left out; but it is content if neither comes. */
  *#close(format: ToolFormat): Reader {
    const { close } = format;
    if (close === "") return;
    const mark = yield* this.#until([close, ...opensOf(format)], () => {});
    if (mark === END) {
      const left = (this.#taken ?? "").trim();
      if (!close.startsWith(left)) this.#spill();
    } else if (mark !== close) {
      this.#taken = mark;
      yield* this.#members(format);
    }
  }

  // --- calls

  #tell(name: string): void {
    const spec = this.#parts.tools?.specs.find((tool) => tool.function.name === name);
    if (!spec) throw new NoCall();
    this.#told = spec;
    this.#taken = "";
    this.#content.restart();
    this.#calls.push({ index: this.#count++, id: callId(), name, arguments: "" });
  }

  #argue(text: string): void {
    this.#argued = true;
    const last = this.#calls.at(-1);
    const index = this.#count - 1;
    if (last?.index === index) last.arguments += text;
    else this.#calls.push({ index, arguments: text });
  }

  /** A call that is complete. */
  #endCall(): void {
    if (!this.#argued) this.#argue("{}");
  }

  /** A call as a JSON object. */
  *#object(): Reader {
    yield* this.#skipSpace();
    const early = yield* this.#objectMembers(undefined);
    if (!this.#told) throw new NoCall();
    if (early !== undefined) this.#argue(early);
    this.#endCall();
  }

  /** @param early arguments that came before the name @returns those, unless they were told */
  *#objectMembers(early: string | undefined): Reader<string | undefined> {
    let before = early;
    yield* this.#expect("{");
    for (;;) {
      yield* this.#skipSpace();
      const key = yield* this.#string();
      yield* this.#skipSpace();
      yield* this.#expect(":");
      yield* this.#skipSpace();
      const c = yield* this.#peek();
      if (NAME_KEYS.includes(key)) this.#tell(yield* this.#string());
      else if (ARGUMENT_KEYS.includes(key)) before = yield* this.#objectArguments();
      else if (key === "function" && c === "{") before = yield* this.#objectMembers(before);
      else if (OTHER_KEYS.includes(key)) yield* c === '"' ? this.#string() : this.#scalar();
      else throw new NoCall();
      if (this.#told && before !== undefined) {
        this.#argue(before);
        before = undefined;
      }
      yield* this.#skipSpace();
      const next = yield* this.#read();
      if (next === "}") return before;
      if (next !== ",") throw new NoCall();
    }
  }

  /** An object, an object as JSON in a string, or nothing. @returns it, unless it was told as it came */
  *#objectArguments(): Reader<string | undefined> {
    const c = yield* this.#peek();
    if (c === "{") {
      let text = "";
      const told = this.#told;
      yield* this.#balanced((c) => {
        if (told) this.#argue(c);
        else text += c;
      });
      return told ? undefined : text;
    }
    if (c !== '"') {
      if ((yield* this.#scalar()) !== "null") throw new NoCall();
      return "{}";
    }
    const text = yield* this.#string();
    if (!text.trim().startsWith("{")) throw new NoCall();
    return text;
  }

  /** A call as Python code. Values without a key are those of the schema's properties, in order. */
  *#python(): Reader {
    let name = "";
    for (let c = yield* this.#read(); c !== "("; c = yield* this.#read()) {
      if (!/[\w.-]/.test(c) || name.length > LONGEST_NAME) throw new NoCall();
      name += c;
    }
    this.#tell(name.slice(name.lastIndexOf(".") + 1));
    const properties = propertiesOf(this.#told);
    const chars = { peek: () => this.#peek(), read: () => this.#read() };
    try {
      for (let i = 0; ; i++) {
        yield* this.#skipSpace();
        const c = yield* this.#peek();
        if (c === END) return;
        if (c === ")") break;
        const { key = Object.keys(properties)[i] ?? `${i}`, json } = yield* readArgument(chars);
        const bare = properties[key]?.type === "string" && !/^("|null$)/.test(json);
        const value = bare ? JSON.stringify(json) : json;
        this.#argue(`${this.#argued ? ", " : "{"}${JSON.stringify(key)}: ${value}`);
        yield* this.#skipSpace();
        if ((yield* this.#peek()) !== ")") yield* this.#read(); // a comma
      }
    } catch (error) {
      if (error instanceof Unfinished) return;
      throw error;
    }
    yield* this.#read();
    this.#argue(this.#argued ? "}" : "{}");
  }

  /** A call by its function's name. @returns whether the group goes on after it */
  *#named({ begin, after, arguments: args, end }: NamedCalls, close: string): Reader<boolean> {
    const first = begin.trim();
    if (first !== "") {
      const mark = yield* this.#until([first, close], (c) => {
        if (!isSpace(c) && this.#taken !== "") throw new NoCall();
      });
      if (mark === close && this.#count === 0) throw new NoCall();
      if (mark !== first) return false;
    }
    const tags = args === "json" ? undefined : args;
    const ends = end.trim() || close;
    const behind = after.trim();
    let name = "";
    const marks = behind !== "" ? [behind] : [tags?.key ?? "{", ends];
    const found = yield* this.#until(marks, (c) => {
      name += c;
      if (name.length > LONGEST_NAME) throw new NoCall();
    });
    if (found === END) throw new NoCall();
    this.#tell(/^\s*(?:functions\.)?([^\s:[]*)/.exec(name)?.[1] ?? "");
    let ended = found;
    if (tags) {
      ended = yield* this.#tagged(tags, ends, found);
    } else {
      yield* this.#skipSpace();
      if ((yield* this.#peek()) === "{") {
        yield* this.#balanced((c) => this.#argue(c));
        ended = end.trim() === "" ? "" : yield* this.#until([ends], () => {});
      } else if (ends !== "") {
        ended = yield* this.#until([ends], (c) => this.#argue(c)); // whatever it is
      }
    }
    return ended !== close || close === "";
  }

  /** Arguments as tags. @param found the mark before them @returns the mark after them */
  *#tagged(tags: ArgumentTags, ends: string, found: string): Reader<string> {
    const [afterKey = "", ...others] = tags.value.trim().split(/\s+/);
    const isKey = (mark: string) => mark === tags.key;
    let mark = found;
    if (!isKey(mark) && mark !== ends) mark = yield* this.#until([tags.key, ends], () => {});
    while (isKey(mark)) {
      let key = "";
      let value = "";
      yield* this.#until([afterKey], (c) => {
        key += c;
      });
      for (const other of others) yield* this.#until([other], () => {});
      const end = yield* this.#until([tags.end.trim()], (c) => {
        value += c;
      });
      if (end === END) return END;
      const json = jsonOf(key.trim(), value, this.#told);
      this.#argue(`${this.#argued ? ", " : "{"}${JSON.stringify(key.trim())}: ${json}`);
      mark = yield* this.#until([tags.key, ends], () => {});
    }
    if (mark === ends) this.#argue(this.#argued ? "}" : "{}");
    return mark;
  }

  // --- JSON

  /** An object, whatever is in it. */
  *#balanced(sink: (c: string) => void): Reader {
    let depth = 0;
    let quoted = false;
    do {
      const c = yield* this.#read();
      if (c === END) return;
      sink(c);
      if (quoted) {
        if (c === '"') quoted = false;
        else if (c === "\\") sink(yield* this.#read());
      } else if (c === '"') quoted = true;
      else if (c === "{" || c === "[") depth++;
      else if (c === "}" || c === "]") depth--;
    } while (depth > 0);
    if (this.#told) this.#taken = "";
  }

  *#string(): Reader<string> {
    yield* this.#expect('"');
    let text = '"';
    for (let c = yield* this.#read(); c !== END; c = yield* this.#read()) {
      text += c;
      if (c === "\\") text += yield* this.#read();
      else if (c === '"') return parsed(text);
    }
    throw new NoCall();
  }

  /** A number, or a word. */
  *#scalar(): Reader<string> {
    let text = "";
    while (/[\w.+-]/.test(yield* this.#peek())) text += yield* this.#read();
    return text;
  }
}

/** Text whose whitespace at either end is left out where something else is before or after it. */
class Trimmed {
  #certain = "";
  #space = "";
  #fresh = false;
  /** Nothing but whitespace so far. */
  empty = true;

  push(c: string): void {
    if (isSpace(c)) {
      if (!this.#fresh) this.#space += c;
      return;
    }
    this.#certain += this.#space + c;
    this.#space = "";
    this.#fresh = this.empty = false;
  }

  /** Something else was here. */
  restart(): void {
    this.#space = "";
    this.#fresh = true;
  }

  end(): void {
    this.#certain += this.#space;
  }

  take(): string {
    const text = this.#certain;
    this.#certain = "";
    return text;
  }
}

const isSpace = (c: string) => c === " " || c === "\n" || c === "\t" || c === "\r";

const opensOf = ({ open, also = [] }: ToolFormat) => [open, ...also].filter((mark) => mark !== "");

function parsed(json: string): string {
  try {
    return JSON.parse(json) as string;
  } catch {
    throw new NoCall();
  }
}

function propertiesOf(spec: ToolSpec | undefined) {
  const properties = spec?.function.parameters?.["properties"];
  return (properties ?? {}) as Record<string, { type?: unknown } | undefined>;
}

/** A value between tags as JSON: a string where the function's schema says so, or where it is nothing else. */
function jsonOf(key: string, text: string, spec: ToolSpec | undefined): string {
  const value = text.replace(/^\n/, "").replace(/\n$/, "");
  if (propertiesOf(spec)[key]?.type === "string") return JSON.stringify(value);
  const python: Record<string, string> = { True: "true", False: "false", None: "null" };
  const json = python[value.trim()] ?? value.trim();
  try {
    JSON.parse(json);
    return json;
  } catch {
    return JSON.stringify(value);
  }
}

/** An id as OpenAI's are. */
function callId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  const random = crypto.getRandomValues(new Uint8Array(24));
  return `call_${Array.from(random, (byte) => letters[byte % letters.length]).join("")}`;
}
