/** Expressions of a context-free grammar, what is left of one that can end, and their text in EBNF. */

/** Ranges of code points, ascending, none touching the next. */
export type Ranges = readonly (readonly [number, number])[];

/** Repetitions up to so many are written out by XGrammar, longer ones counted. */
const COUNTED = 128;

export type Expression =
  | { kind: "text"; text: string }
  | { kind: "class"; ranges: Ranges }
  | { kind: "sequence"; parts: Expression[] }
  | { kind: "choice"; options: Expression[] }
  | { kind: "repeat"; body: Expression; min: number; max: number }
  | { kind: "rule"; name: string }
  /** What ends after `characters` characters, as soon as it can; the whole body of a rule. */
  | { kind: "limit"; body: Expression; characters: number };

export type Rules = Map<string, Expression>;

export const text = (text: string): Expression => ({ kind: "text", text });
export const oneOf = (ranges: Ranges): Expression => ({ kind: "class", ranges });
export const sequence = (...parts: Expression[]): Expression => ({ kind: "sequence", parts });
export const choice = (...options: Expression[]): Expression => ({ kind: "choice", options });
export const rule = (name: string): Expression => ({ kind: "rule", name });
export const repeat = (
  body: Expression,
  min: number,
  max = Number.POSITIVE_INFINITY,
): Expression => ({
  kind: "repeat",
  body,
  min,
  max,
});
export const optional = (body: Expression): Expression => repeat(body, 0, 1);

export const limit = (body: Expression, characters: number): Expression => ({
  kind: "limit",
  body,
  characters,
});

export const EMPTY: Expression = text("");
/** Matches no text at all. */
export const NOTHING: Expression = choice();

/** Code points of both. */
export function intersect(a: Ranges, b: Ranges): Ranges {
  const both: [number, number][] = [];
  for (const [from, to] of a) {
    for (const [low, high] of b) {
      if (low <= to && high >= from) both.push([Math.max(from, low), Math.min(to, high)]);
    }
  }
  return normalise(both);
}

export function normalise(ranges: Ranges): Ranges {
  const joined: [number, number][] = [];
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

export function complement(ranges: Ranges): Ranges {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [from, to] of normalise(ranges)) {
    if (from > next) rest.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= 0x10ffff) rest.push([next, 0x10ffff]);
  return rest;
}

/**
 * The rules that `root` can reach, without alternatives that never come to an end, as `a ::= "x" a` does.
 * @returns undefined when `root` itself has no end
 */
export function prune(rules: Rules, root: string): Rules | undefined {
  const productive = new Set<string>();
  for (let before = -1; before < productive.size; ) {
    before = productive.size;
    for (const [name, body] of rules) {
      if (!productive.has(name) && ends(body, productive)) productive.add(name);
    }
  }
  if (!productive.has(root)) return undefined;
  const kept: Rules = new Map();
  const open = [root];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (kept.has(name)) continue;
    const body = trim(rules.get(name) as Expression, productive, open);
    kept.set(name, body);
  }
  return kept;
}

function ends(e: Expression, productive: Set<string>): boolean {
  switch (e.kind) {
    case "text":
      return true;
    case "class":
      return e.ranges.length > 0;
    case "sequence":
      return e.parts.every((part) => ends(part, productive));
    case "choice":
      return e.options.some((option) => ends(option, productive));
    case "repeat":
      return e.min === 0 || ends(e.body, productive);
    case "rule":
      return productive.has(e.name);
    case "limit":
      return ends(e.body, productive);
  }
}

function trim(e: Expression, productive: Set<string>, used: string[]): Expression {
  switch (e.kind) {
    case "sequence":
      return sequence(...e.parts.map((part) => trim(part, productive, used)));
    case "choice": {
      const options = e.options.filter((option) => ends(option, productive));
      return choice(...options.map((option) => trim(option, productive, used)));
    }
    case "repeat":
      if (!ends(e.body, productive)) return EMPTY;
      return repeat(trim(e.body, productive, used), e.min, e.max);
    case "rule":
      used.push(e.name);
      return e;
    default:
      return e;
  }
}

/** Rules in XGrammar's EBNF. */
export function print(rules: Rules): string {
  const lines = [...rules].map(([name, body]) => {
    const attribute = body.kind === "limit" ? `[max_chars=${body.characters}]` : "";
    return `${name}${attribute} ::= ${printed(body)}\n`;
  });
  return lines.join("");
}

function printed(e: Expression): string {
  switch (e.kind) {
    case "text":
      return `"${[...e.text].map((c) => escaped(c.codePointAt(0) as number)).join("")}"`;
    case "class":
      return `[${e.ranges.map(([from, to]) => (from === to ? escaped(from) : `${escaped(from)}-${escaped(to)}`)).join("")}]`;
    case "sequence": {
      const parts = e.parts.filter((part) => part.kind !== "text" || part.text !== "");
      return parts.length === 0 ? '""' : `(${parts.map(printed).join(" ")})`;
    }
    case "choice":
      return `(${e.options.map(printed).join(" | ")})`;
    case "repeat": {
      const { min, max } = e;
      const body = `(${printed(e.body)})`;
      if (max === 0) return '""';
      if (min === 1 && max === 1) return body;
      if (min === 0 && max === 1) return `${body}?`;
      if (max === Number.POSITIVE_INFINITY) {
        if (min <= 1) return body + (min === 0 ? "*" : "+");
        // XGrammar would put the rest that has no end before what it counts, so that any share of the text may be of either, and keep
        // track of all shares.
        return min > COUNTED ? `(${body}{${min}} ${body}*)` : `${body}{${min},}`;
      }
      return `${body}{${min},${max}}`;
    }
    case "rule":
      return e.name;
    case "limit":
      return printed(e.body);
  }
}

function escaped(code: number): string {
  const c = String.fromCodePoint(code);
  if (/^[A-Za-z0-9 _]$/.test(c)) return c;
  const hex = code.toString(16); // not \x, which takes as many digits as follow
  return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
