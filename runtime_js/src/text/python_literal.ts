/** Python literals, read a character at a time, as JSON. */

/** Waits for the characters it needs; gives what it has read. */
type Reader<T> = Generator<undefined, T, string>;

/** Where characters come from; "" is the end. */
export interface Characters {
  /** The next one, which stays. */
  peek(): Reader<string>;
  read(): Reader<string>;
}

/** The text ended within a literal. */
export class Unfinished extends Error {}

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", f: "\f", "\n": "" };
const HEX_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 };
const WORDS: Record<string, string> = { True: "true", False: "false", None: "null" };

/** An argument of a call: `key=value`, or a value alone. */
export function* readArgument(
  chars: Characters,
): Reader<{ key: string | undefined; json: string }> {
  yield* skipSpace(chars);
  let word = "";
  while (/[A-Za-z0-9_]/.test(yield* chars.peek())) word += yield* chars.read();
  yield* skipSpace(chars);
  if (word !== "" && (yield* chars.peek()) === "=") {
    yield* chars.read();
    return { key: word, json: yield* readLiteral(chars) };
  }
  return { key: undefined, json: yield* readLiteral(chars, word) };
}

/** @param begun its first characters, if they are read: a word's */
function* readLiteral(chars: Characters, begun = ""): Reader<string> {
  yield* skipSpace(chars);
  const c = yield* chars.peek();
  if (begun !== "") return yield* readWord(chars, begun);
  if (c === '"' || c === "'") return JSON.stringify(yield* readString(chars));
  if (c === "[") return `[${(yield* readItems(chars, "]")).join(", ")}]`;
  if (c === "(") return `[${(yield* readItems(chars, ")")).join(", ")}]`;
  if (c === "{") return `{${(yield* readItems(chars, "}", true)).join(", ")}}`;
  return yield* readWord(chars, "");
}

/** What stands between brackets; in pairs, `key: value`. */
function* readItems(chars: Characters, end: string, pairs = false): Reader<string[]> {
  const items: string[] = [];
  yield* chars.read();
  for (;;) {
    yield* skipSpace(chars);
    if ((yield* chars.peek()) === end) break;
    let item: string = yield* readLiteral(chars);
    yield* skipSpace(chars);
    if (pairs) {
      if ((yield* chars.peek()) === ":") yield* chars.read();
      const key = item.startsWith('"') ? item : JSON.stringify(item);
      item = `${key}: ${yield* readLiteral(chars)}`;
      yield* skipSpace(chars);
    }
    items.push(item);
    const c = yield* chars.peek();
    if (c === "") throw new Unfinished();
    if (c === ",") yield* chars.read();
    else if (c !== end) yield* chars.read(); // it is no Python, and can't be put right
  }
  yield* chars.read();
  return items;
}

/** A quote within a word is part of the text: templates show models texts between quotes as they are. */
function* readString(chars: Characters): Reader<string> {
  const quote = yield* chars.read();
  let text = "";
  let triple = false;
  if ((yield* chars.peek()) === quote) {
    yield* chars.read();
    if ((yield* chars.peek()) !== quote) return "";
    yield* chars.read();
    triple = true;
  }
  for (;;) {
    const c = yield* chars.read();
    if (c === "") throw new Unfinished();
    if (c === "\\") text += yield* readEscape(chars);
    else if (c !== quote) text += c;
    else if (!triple) {
      if (!/[\p{L}\p{N}]/u.test(yield* chars.peek())) return text;
      text += c;
    } else {
      let quotes = 1;
      while (quotes < 3 && (yield* chars.peek()) === quote) {
        yield* chars.read();
        quotes++;
      }
      if (quotes === 3) return text;
      text += quote.repeat(quotes);
    }
  }
}

function* readEscape(chars: Characters): Reader<string> {
  const c = yield* chars.read();
  const digits = HEX_DIGITS[c];
  if (digits === undefined) return ESCAPES[c] ?? (/["'\\]/.test(c) ? c : `\\${c}`);
  let hex = "";
  while (hex.length < digits && /[0-9a-fA-F]/.test(yield* chars.peek())) hex += yield* chars.read();
  const code = Number.parseInt(hex, 16);
  return hex.length === digits && code <= 0x10ffff ? String.fromCodePoint(code) : `\\${c}${hex}`;
}

/** A number, or one of Python's words; anything else is a text without its quotes. */
function* readWord(chars: Characters, begun: string): Reader<string> {
  let word = begun;
  for (let c = yield* chars.peek(); !/[,()[\]{}:\n]/.test(c); c = yield* chars.peek()) {
    if (c === "") throw new Unfinished();
    word += yield* chars.read();
  }
  word = word.trim();
  const known = WORDS[word] ?? word;
  if (/^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)$/.test(known)) return known;
  const number = Number(word.replaceAll(/(?<=\d)_(?=\d)/g, ""));
  return word !== "" && Number.isFinite(number) ? String(number) : JSON.stringify(word);
}

function* skipSpace(chars: Characters): Reader<void> {
  while (/\s/.test(yield* chars.peek())) yield* chars.read();
}
