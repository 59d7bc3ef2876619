/**
 * ECMAScript regular expressions as grammar expressions. The whole text is matched: a pattern that JSON Schema would look for
 * anywhere in a text gives texts that consist of it alone, which are valid too.
 */
import type { Condition } from "./automaton.js";
import {
  choice,
  complement,
  type Expression,
  normalise,
  type Ranges,
  repeat,
  sequence,
} from "./expression.js";

/** What can't be held to, or is no regular expression. */
export class PatternProblem extends Error {}

const DIGIT: Ranges = [[0x30, 0x39]];
const WORD: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACE: Ranges = normalise([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);
const ANY: Ranges = complement([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const ANYTHING = repeat({ kind: "class", ranges: [[0, 0x10ffff]] }, 0);
const CONTROL: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };
const CLASSES: Record<string, Ranges> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const MAX_REPEAT = 10_000;
const MAX_DEPTH = 100;

/**
 * @param character turns a set of code points into the expression of one character of it
 * @throws PatternProblem
 */
export function regex(pattern: string, character: (ranges: Ranges) => Expression): Expression {
  const parser = parserOf(pattern, character);
  const { expression } = parser.parse();
  if (parser.ahead.length > 0) throw new PatternProblem("lookahead can't be held to");
  return expression;
}

/**
 * The same as conditions that all must hold, with a class for each character. Lookaheads at its beginning are conditions of their own;
 * beside them there may be more behind the pattern, where it has no `$`.
 *
 * @param anywhere there may be more before it and behind it, where it has no `^` and `$`
 * @throws PatternProblem
 */
export function conditionsOf(pattern: string, anywhere: boolean): Condition[] {
  const parser = parserOf(pattern, (ranges) => ({ kind: "class", ranges }));
  const { expression, begun, ended } = parser.parse();
  const looks = parser.ahead.length > 0;
  const before = anywhere && !begun && !looks ? [ANYTHING] : [];
  const behind = (anywhere || looks) && !ended ? [ANYTHING] : [];
  const more = before.length + behind.length > 0;
  const whole = more ? sequence(...before, expression, ...behind) : expression;
  return [{ expression: whole, negated: false }, ...parser.ahead];
}

function parserOf(pattern: string, character: (ranges: Ranges) => Expression): Parser {
  return new Parser(pattern, character, compiled(pattern).unicode);
}

/** @throws PatternProblem */
export function compiled(pattern: string): RegExp {
  try {
    return new RegExp(pattern, "u");
  } catch {
    try {
      return new RegExp(pattern); // what only the older syntax allows, such as \- outside of a class
    } catch (error) {
      throw new PatternProblem((error as Error).message);
    }
  }
}

/** How many characters (of `regex` with one class a character) an expression has. */
export function lengths(e: Expression): [number, number] {
  switch (e.kind) {
    case "text":
    case "class":
      return e.kind === "text" ? [[...e.text].length, [...e.text].length] : [1, 1];
    case "sequence": {
      const all = e.parts.map(lengths);
      return [all.reduce((n, [min]) => n + min, 0), all.reduce((n, [, max]) => n + max, 0)];
    }
    case "choice": {
      const all = e.options.map(lengths);
      return [Math.min(...all.map(([min]) => min)), Math.max(...all.map(([, max]) => max))];
    }
    case "repeat": {
      const [min, max] = lengths(e.body);
      return [min * e.min, e.max === 0 || max === 0 ? 0 : max * e.max];
    }
    case "rule":
    case "limit":
      return [0, Number.POSITIVE_INFINITY];
  }
}

/** `begun`: a `^` was at its beginning; `ended`: a `$` at its end, of one of its options at least; `mixed`: not of all of them. */
interface Part {
  expression: Expression;
  begun: boolean;
  ended: boolean;
  mixed: boolean;
}

class Parser {
  /** Lookaheads at the beginning. */
  readonly ahead: Condition[] = [];
  readonly #chars: string[];
  #at = 0;
  #depth = 0;

  constructor(
    pattern: string,
    private readonly character: (ranges: Ranges) => Expression,
    /** Whether it is of the syntax that knows `\p{…}`. */
    private readonly unicode: boolean,
  ) {
    this.#chars = [...pattern];
  }

  parse(): Part {
    const part = this.#choice(true);
    if (this.#at < this.#chars.length) throw new PatternProblem("unmatched )");
    return part;
  }

  /** @param start whether nothing can come before it, so that `^` is true */
  #choice(start: boolean): Part {
    if (++this.#depth > MAX_DEPTH) throw new PatternProblem(`groups nest deeper than ${MAX_DEPTH}`);
    const options: Part[] = [];
    do options.push(this.#sequence(start));
    while (this.#take("|"));
    this.#depth--;
    const [only, ...others] = options as [Part, ...Part[]];
    if (others.length === 0) return only;
    if (this.#depth === 0 && this.ahead.length > 0)
      throw new PatternProblem("lookahead in one of several options can't be held to");
    const ended = options.some((option) => option.ended);
    return {
      expression: choice(...options.map(({ expression }) => expression)),
      begun: options.some((option) => option.begun),
      ended,
      mixed: ended && options.some((option) => option.mixed || !option.ended),
    };
  }

  #sequence(start: boolean): Part {
    const parts: Expression[] = [];
    let [begun, ended, mixed] = [false, false, false];
    while (this.#at < this.#chars.length && !this.#next("|") && !this.#next(")")) {
      if (ended && !this.#next("$")) throw new PatternProblem("$ before the end can't be held to");
      if (this.#take("^")) {
        if (!start || parts.length > 0)
          throw new PatternProblem("^ after the beginning can't be held to");
        begun = true;
        continue;
      }
      if (this.#take("$")) {
        ended = true;
        continue;
      }
      if (start && parts.length === 0 && this.#depth === 1 && this.#lookahead()) continue;
      const atom = this.#atom(start && parts.length === 0);
      const [min, max] = this.#quantifier();
      if ((min !== 1 || max !== 1) && (atom.begun || atom.ended))
        throw new PatternProblem("^ or $ in a group that repeats can't be held to");
      begun ||= atom.begun;
      ended = atom.ended;
      mixed ||= atom.mixed;
      parts.push(min === 1 && max === 1 ? atom.expression : repeat(atom.expression, min, max));
    }
    const expression = parts.length === 1 ? (parts[0] as Expression) : sequence(...parts);
    return { expression, begun, ended, mixed };
  }

  /** Whether there was one. */
  #lookahead(): boolean {
    const opened = this.#chars.slice(this.#at, this.#at + 3).join("");
    if (opened !== "(?=" && opened !== "(?!") return false;
    this.#at += 3;
    const { expression, ended, mixed } = this.#choice(true);
    if (!this.#take(")")) throw new PatternProblem("unmatched (");
    if (mixed) throw new PatternProblem("$ in one option of a lookahead can't be held to");
    const whole = ended ? expression : sequence(expression, ANYTHING);
    this.ahead.push({ expression: whole, negated: opened === "(?!" });
    return true;
  }

  #atom(first: boolean): Part {
    const c = this.#chars[this.#at++] as string;
    const set = (ranges: Ranges): Part => ({
      expression: this.character(ranges),
      begun: false,
      ended: false,
      mixed: false,
    });
    if (c === "(") {
      if (this.#take("?")) {
        if (this.#take("<")) {
          if (this.#next("=") || this.#next("!"))
            throw new PatternProblem("lookbehind can't be held to");
          while (!this.#take(">")) this.#at++;
        } else if (!this.#take(":")) {
          const what = this.#next("=") || this.#next("!") ? "lookahead" : "a group with flags";
          throw new PatternProblem(`${what} can't be held to`);
        }
      }
      const inner = this.#choice(first);
      if (!this.#take(")")) throw new PatternProblem("unmatched (");
      return inner;
    }
    if (c === ".") return set(ANY);
    if (c === "[") return set(this.#class());
    if (c === "\\") return set(this.#escape(false));
    if (c === "*" || c === "+" || c === "?") throw new PatternProblem(`nothing to repeat by ${c}`);
    return set(single(c.codePointAt(0) as number));
  }

  #class(): Ranges {
    const negated = this.#take("^");
    const ranges: [number, number][] = [];
    while (!this.#take("]")) {
      const from = this.#member();
      if (this.#next("-") && this.#chars[this.#at + 1] !== "]") {
        this.#at++;
        const to = this.#member();
        const [low, high] = [from[0]?.[0] ?? 0, to[0]?.[1] ?? 0];
        if (from.length !== 1 || from[0]?.[1] !== low || to.length !== 1 || to[0]?.[0] !== high)
          throw new PatternProblem("a range between classes can't be held to");
        if (high < low) throw new PatternProblem("range out of order in a class");
        ranges.push([low, high]);
      } else {
        ranges.push(...from.map(([low, high]): [number, number] => [low, high]));
      }
    }
    return negated ? complement(ranges) : normalise(ranges);
  }

  #member(): Ranges {
    const c = this.#chars[this.#at++];
    if (c === undefined) throw new PatternProblem("unmatched [");
    return c === "\\" ? this.#escape(true) : single(c.codePointAt(0) as number);
  }

  #escape(inClass: boolean): Ranges {
    const c = this.#chars[this.#at++];
    if (c === undefined) throw new PatternProblem("\\ at the end");
    const known = CLASSES[c];
    if (known) return known;
    if (c === "b" && inClass) return single(8);
    if (c === "b" || c === "B") throw new PatternProblem(`\\${c} can't be held to`);
    if (c === "p" || c === "P") {
      if (!this.unicode)
        throw new PatternProblem("\\p{…} is for patterns that are valid with the flag u");
      const end = this.#chars.indexOf("}", this.#at);
      const name = this.#chars.slice(this.#at + 1, end).join("");
      this.#at = end + 1;
      return c === "p" ? property(name) : complement(property(name));
    }
    if ((c >= "1" && c <= "9") || c === "k")
      throw new PatternProblem("a back reference can't be held to");
    const control = CONTROL[c];
    if (control !== undefined) return single(control);
    if (c === "c") return single(((this.#chars[this.#at++] as string).codePointAt(0) ?? 0) % 32);
    if (c === "x") return single(this.#hex(2));
    if (c === "u") {
      if (this.#take("{")) {
        const end = this.#chars.indexOf("}", this.#at);
        return single(this.#hex(end - this.#at, 1));
      }
      const high = this.#hex(4);
      const low = this.#chars.slice(this.#at, this.#at + 6).join("");
      if (high >= 0xd800 && high < 0xdc00 && /^\\u[dD][c-fC-F]/.test(low)) {
        this.#at += 2;
        return single(0x10000 + ((high - 0xd800) << 10) + (this.#hex(4) - 0xdc00));
      }
      return single(high);
    }
    return single(c.codePointAt(0) as number);
  }

  #hex(digits: number, skip = 0): number {
    const hex = this.#chars.slice(this.#at, this.#at + digits).join("");
    if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== digits)
      throw new PatternProblem(`${hex} is no code point`);
    this.#at += digits + skip;
    return Number.parseInt(hex, 16);
  }

  #quantifier(): [number, number] {
    const bounds = this.#bounds();
    if (!bounds) return [1, 1];
    this.#take("?"); // lazy: the same texts
    const [min, max] = bounds;
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY))
      throw new PatternProblem(`more than ${MAX_REPEAT} repetitions can't be held to`);
    return bounds;
  }

  #bounds(): [number, number] | undefined {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    const found = /^\{(\d+)(,?)(\d*)\}/.exec(this.#chars.slice(this.#at, this.#at + 24).join(""));
    if (!found) return undefined;
    this.#at += found[0].length;
    const min = Number(found[1]);
    if (!found[2]) return [min, min];
    return [min, found[3] ? Number(found[3]) : Number.POSITIVE_INFINITY];
  }

  #next(c: string): boolean {
    return this.#chars[this.#at] === c;
  }

  #take(c: string): boolean {
    if (!this.#next(c)) return false;
    this.#at++;
    return true;
  }
}

const CODE_POINTS = 0x110000;
const AT_ONCE = 0x1000;
const properties = new Map<string, Ranges>();

/** Who has a property of Unicode, as this JavaScript engine knows it. @param name as in `\p{…}`, one that it knows */
function property(name: string): Ranges {
  const known = properties.get(name);
  if (known) return known;
  const run = new RegExp(`\\p{${name}}+`, "gu");
  const found: [number, number][] = [];
  for (let from = 0; from < CODE_POINTS; from += AT_ONCE) {
    const codes = Array.from({ length: AT_ONCE }, (_, i) => from + i);
    const text = String.fromCodePoint(...codes.filter((code) => code < 0xd800 || code > 0xdfff));
    for (const [characters] of text.matchAll(run)) {
      const first = characters.codePointAt(0) as number;
      found.push([first, first + [...characters].length - 1]);
    }
  }
  const ranges = normalise(found);
  properties.set(name, ranges);
  return ranges;
}

const single = (code: number): Ranges => [[code, code]];
