/**
 * A generated text, piece by piece, to content, thinking and tool calls. However it is cut into pieces, the result is the same:
 * characters are read one at a time, by generators that wait for the next one.
 *
 * Nothing of a mark becomes content; text that may be the beginning of one is held back. A call is told as soon as its function is
 * known, then its arguments as they come, as the model wrote them. What begins like a call and is none, because it
 * can't be read or no function of the request has that name, is content, as it was written.
 */
import { Characters, END, NoCall, type Reader } from "./characters.js";
import { readArgument, Unfinished } from "./python_literal.js";
import type { ReasoningFormat } from "./reasoning.js";
import { jsonOf, propertiesOf } from "./schema_values.js";
import type { ArgumentTags, Messages, NamedCalls, ToolFormat } from "./tool_formats.js";
import { callId, type ToolCallDelta, type ToolSpec } from "./tools.js";
import { isSpace, Trimmed } from "./trimmed.js";

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

const NAME_KEYS = ["name", "tool_name"];
const ARGUMENT_KEYS = ["arguments", "parameters"];
const OTHER_KEYS = ["id", "type", "tool_call_id", "index"];
const LONGEST_NAME = 200;

export class AnswerParser extends Characters {
  readonly #parts: AnswerParts;
  readonly #machine: Reader;
  readonly #content = new Trimmed();
  readonly #reasoning = new Trimmed();
  #calls: ToolCallDelta[] = [];
  #count = 0;
  /** The function that is being called, once it is known. */
  #told: ToolSpec | undefined;
  /** Whether its arguments have begun. */
  #argued = false;
  /** Whether the text stands within thinking. */
  thinking = false;

  constructor(parts: AnswerParts) {
    super();
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

  // --- parts

  *#answer(): Reader {
    const { tools, thinking } = this.#parts;
    const opens = tools ? opensOf(tools.format) : [];
    const { messages } = tools?.format ?? {};
    if (tools && messages) yield* this.#messages(tools.format, messages);
    const marks = thinking ? [...opens, thinking.format.begin] : opens;
    if (thinking?.opened) yield* this.#think(thinking.format);
    for (;;) {
      if (tools?.format.open === "" && this.#content.empty) {
        while (isSpace(yield* this.peek())) this.#content.push(yield* this.read());
        const c = yield* this.peek();
        if (c === "{" || c === "[") {
          yield* this.#group(tools.format, "");
          continue;
        }
      }
      const mark = yield* this.until(marks, (c) => this.#content.push(c));
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
    yield* this.until([end], (c) => this.#reasoning.push(c));
    this.thinking = false;
  }

  /** An answer in messages. What has no header that is known is content, as it was written. */
  *#messages({ open, calls }: ToolFormat, { body, ends, content, reasoning }: Messages): Reader {
    const { begin, also = [begin] } = calls as NamedCalls;
    const heads = (this.#parts.tools?.specs ?? []).flatMap(({ function: { name } }) =>
      [begin, also[0]].map((before) => ({ start: before + name, name })),
    );
    const starts = [open, ...content, reasoning ?? open, ...heads.map(({ start }) => start)];
    const marks = [...ends, open];
    let mark = "";
    do {
      this.taken = mark === open ? open : "";
      let header = "";
      let text = this.#content;
      let called: string | undefined;
      try {
        const found = yield* this.until([body], (c) => {
          header += c;
          if (header === open) header = "";
          const known = starts.some((s) => s.startsWith(header) || header.startsWith(s));
          if (!known || header.length > LONGEST_NAME) throw new NoCall();
        });
        if (found === END) return;
        const isCall = ({ start }: (typeof heads)[number]) =>
          header.startsWith(start) && !/^[\w.-]/.test(header.slice(start.length));
        called = heads.find(isCall)?.name;
        this.thinking = !called && reasoning !== undefined && header.startsWith(reasoning);
        if (called) this.#tell(called);
        else if (this.thinking) text = this.#reasoning;
        else if (!content.includes(header)) throw new NoCall();
        if (!called && !text.empty) for (const c of "\n\n") text.push(c);
      } catch (error) {
        if (!(error instanceof NoCall)) throw error;
        this.#spill();
      }
      this.#argued = false;
      if (called) yield* this.skipSpace();
      const json = called && (yield* this.peek()) === "{";
      if (json) yield* this.#balanced((c) => this.#argue(c));
      mark = yield* this.until(marks, (c) => {
        if (!called) text.push(c);
        else if (!json) this.#argue(c); // whatever it is
      });
      if (called && mark !== END) this.#endCall();
      this.thinking = false;
    } while (mark !== END);
  }

  /** What `open` may have opened: calls, or else content. What ends before its function is named is left out, mark and all. */
  *#group(format: ToolFormat, open: string): Reader {
    this.taken = open;
    try {
      yield* this.#members(format);
    } catch (error) {
      if (!(error instanceof NoCall)) throw error;
      if (open === "" || (yield* this.peek()) !== END) this.#spill();
    }
    this.taken = undefined;
  }

  #spill(): void {
    for (const c of this.taken ?? "") this.#content.push(c);
    this.taken = "";
  }

  *#members(format: ToolFormat): Reader {
    const { open, close, calls } = format;
    yield* this.skipSpace();
    const listed = calls.kind !== "named" && (yield* this.peek()) === "[";
    if (listed) yield* this.read();
    for (;;) {
      this.#told = undefined;
      this.#argued = false;
      if (calls.kind === "named") {
        const more = yield* this.#named(calls, close);
        this.taken = "";
        if (!more) return;
        if (calls.begin === "") break;
        continue;
      }
      yield* this.skipSpace();
      const python = calls.kind === "python" && (yield* this.peek()) !== "{";
      yield* python ? this.#python() : this.#object();
      this.taken = "";
      yield* this.skipSpace();
      const c = yield* this.peek();
      if (python && !listed && /[A-Za-z_]/.test(c)) continue;
      if (listed ? c !== "," : open !== "" || (c !== ";" && c !== ",")) break;
      yield* this.read();
    }
    if (listed && (yield* this.peek()) === "]") {
      yield* this.read();
      this.taken = "";
    }
    yield* this.#close(format);
  }

  /** What is left before `close`, or before the next call, is wrong and left out; but it is content if neither comes. */
  *#close(format: ToolFormat): Reader {
    const { close } = format;
    if (close === "") return;
    const mark = yield* this.until([close, ...opensOf(format)], () => {});
    if (mark === END) {
      const left = (this.taken ?? "").trim();
      if (!close.startsWith(left)) this.#spill();
    } else if (mark !== close) {
      this.taken = mark;
      yield* this.#members(format);
    }
  }

  // --- calls

  #tell(name: string): void {
    const spec = this.#parts.tools?.specs.find((tool) => tool.function.name === name);
    if (!spec) throw new NoCall();
    this.#told = spec;
    this.taken = "";
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
    yield* this.skipSpace();
    const early = yield* this.#objectMembers(undefined);
    if (!this.#told) throw new NoCall();
    if (early !== undefined) this.#argue(early);
    this.#endCall();
  }

  /** @param early arguments that came before the name @returns those, unless they were told */
  *#objectMembers(early: string | undefined): Reader<string | undefined> {
    let before = early;
    yield* this.expect("{");
    for (;;) {
      yield* this.skipSpace();
      const key = yield* this.string();
      yield* this.skipSpace();
      yield* this.expect(":");
      yield* this.skipSpace();
      const c = yield* this.peek();
      if (NAME_KEYS.includes(key)) this.#tell(yield* this.string());
      else if (ARGUMENT_KEYS.includes(key)) before = yield* this.#objectArguments();
      else if (key === "function" && c === "{") before = yield* this.#objectMembers(before);
      else if (OTHER_KEYS.includes(key)) yield* c === '"' ? this.string() : this.scalar();
      else throw new NoCall();
      if (this.#told && before !== undefined) {
        this.#argue(before);
        before = undefined;
      }
      yield* this.skipSpace();
      const next = yield* this.read();
      if (next === "}") return before;
      if (next !== ",") throw new NoCall();
    }
  }

  /** An object, an object as JSON in a string, or nothing. @returns it, unless it was told as it came */
  *#objectArguments(): Reader<string | undefined> {
    const c = yield* this.peek();
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
      if ((yield* this.scalar()) !== "null") throw new NoCall();
      return "{}";
    }
    const text = yield* this.string();
    if (!text.trim().startsWith("{")) throw new NoCall();
    return text;
  }

  /** A call as Python code. Values without a key are those of the schema's properties, in order. */
  *#python(): Reader {
    let name = "";
    for (let c = yield* this.read(); c !== "("; c = yield* this.read()) {
      if (!/[\w.-]/.test(c) || name.length > LONGEST_NAME) throw new NoCall();
      name += c;
    }
    this.#tell(name.slice(name.lastIndexOf(".") + 1));
    const properties = propertiesOf(this.#told);
    const chars = { peek: () => this.peek(), read: () => this.read() };
    try {
      for (let i = 0; ; i++) {
        yield* this.skipSpace();
        const c = yield* this.peek();
        if (c === END) return;
        if (c === ")") break;
        const { key = Object.keys(properties)[i] ?? `${i}`, json } = yield* readArgument(chars);
        const bare = properties[key]?.type === "string" && !/^("|null$)/.test(json);
        const value = bare ? JSON.stringify(json) : json;
        this.#argue(`${this.#argued ? ", " : "{"}${JSON.stringify(key)}: ${value}`);
        yield* this.skipSpace();
        if ((yield* this.peek()) !== ")") yield* this.read(); // a comma
      }
    } catch (error) {
      if (error instanceof Unfinished) return;
      throw error;
    }
    yield* this.read();
    this.#argue(this.#argued ? "}" : "{}");
  }

  /** A call by its function's name. @returns whether the group goes on after it */
  *#named({ begin, after, arguments: args, end }: NamedCalls, close: string): Reader<boolean> {
    const first = begin.trim();
    if (first !== "") {
      const mark = yield* this.until([first, close], (c) => {
        if (!isSpace(c) && this.taken !== "") throw new NoCall();
      });
      if (mark === close && this.#count === 0) throw new NoCall();
      if (mark !== first) return false;
    }
    const tags = args === "json" ? undefined : args;
    const ends = end.trim() || close;
    const behind = after.trim();
    let name = "";
    const marks = behind !== "" ? [behind] : [tags?.key ?? "{", ends];
    const found = yield* this.until(marks, (c) => {
      name += c;
      if (name.length > LONGEST_NAME) throw new NoCall();
    });
    if (found === END) throw new NoCall();
    this.#tell(/^\s*(?:functions\.)?([^\s:[]*)/.exec(name)?.[1] ?? "");
    let ended = found;
    if (tags) {
      ended = yield* this.#tagged(tags, ends, found);
    } else {
      yield* this.skipSpace();
      if ((yield* this.peek()) === "{") {
        yield* this.#balanced((c) => this.#argue(c));
        ended = end.trim() === "" ? "" : yield* this.until([ends], () => {});
      } else if (ends !== "") {
        ended = yield* this.until([ends], (c) => this.#argue(c)); // whatever it is
      }
    }
    return ended !== close || close === "";
  }

  /** Arguments as tags. @param found the mark before them @returns the mark after them */
  *#tagged(tags: ArgumentTags, ends: string, found: string): Reader<string> {
    const [afterKey = "", ...others] = tags.value.trim().split(/\s+/);
    const isKey = (mark: string) => mark === tags.key;
    let mark = found;
    if (!isKey(mark) && mark !== ends) mark = yield* this.until([tags.key, ends], () => {});
    while (isKey(mark)) {
      let key = "";
      let value = "";
      yield* this.until([afterKey], (c) => {
        key += c;
      });
      for (const other of others) yield* this.until([other], () => {});
      const end = yield* this.until([tags.end.trim()], (c) => {
        value += c;
      });
      if (end === END) return END;
      const json = jsonOf(key.trim(), value, this.#told);
      this.#argue(`${this.#argued ? ", " : "{"}${JSON.stringify(key.trim())}: ${json}`);
      mark = yield* this.until([tags.key, ends], () => {});
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
      const c = yield* this.read();
      if (c === END) return;
      sink(c);
      if (quoted) {
        if (c === '"') quoted = false;
        else if (c === "\\") sink(yield* this.read());
      } else if (c === '"') quoted = true;
      else if (c === "{" || c === "[") depth++;
      else if (c === "}" || c === "]") depth--;
    } while (depth > 0);
    if (this.#told) this.taken = "";
  }
}

const opensOf = ({ open, also = [] }: ToolFormat) => [open, ...also].filter((mark) => mark !== "");
