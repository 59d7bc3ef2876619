/** Strings of JSON Schema: patterns, formats and lengths, together as far as that can be held to. */
import { type Condition, together } from "./automaton.js";
import {
  choice,
  type Expression,
  NOTHING,
  type Ranges,
  type Rules,
  repeat,
  sequence,
} from "./expression.js";
import { FORMATS } from "./formats.js";
import { characters, quoted, STRING, stringCharacter } from "./json_rules.js";
import { compiled, conditionsOf, lengths, PatternProblem, regex } from "./regex.js";
import { type Keywords, refuse } from "./schema_merge.js";

/** What several parts have between them is shared if this many are left for each: fewer would cut words short that are allowed. */
const LEAST_SHARE = 100;
/** Texts of a format that a pattern beside it is tried on. */
const TRIED = 50;

/** @param bounds of the length */
export function stringExpression(
  keywords: Keywords,
  [min, max]: [number, number],
  at: string,
  rules: Rules,
): Expression {
  const { pattern, format } = keywords;
  if (pattern === undefined && format === undefined) {
    if (min === 0 && max === Number.POSITIVE_INFINITY) return STRING;
    return quoted(characters(min, max, rules));
  }
  const known =
    typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  /** Of several patterns each may match anywhere; of one alone it is the whole text. */
  const held = (patterns: readonly string[], keyword: string) => {
    const conditions = patterns.flatMap((each) =>
      reading(each, at, keyword, () => conditionsOf(each, patterns.length > 1)),
    );
    const [{ expression }, ...others] = conditions as [Condition, ...Condition[]];
    const within = others.length === 0 && bounded(expression, min, max);
    if (within) return quoted(escaped(within));
    if (others.length > 0 && known !== undefined)
      conditions.push({ expression: regex(known, ofClass), negated: false });
    const all = together([...conditions, ...ofLength(min, max)], stringCharacter, rules);
    if (all) return quoted(all);
    throw refuse(
      at,
      others.length > 0 ? keyword : lengths(expression)[0] < min ? "minLength" : "maxLength",
      others.length > 0
        ? "says too much at once to be held to: several patterns, lookaheads, or a length beside them"
        : `together with ${keyword} can't be held to, as several of its parts are of any length; say it in a pattern`,
    );
  };
  if (pattern === undefined) {
    if (known !== undefined) return held([known], "format");
    const all = Object.keys(FORMATS).join(", ");
    throw refuse(at, "format", `${JSON.stringify(format)} isn't known; these are: ${all}`);
  }
  // Of both the pattern is the stricter one, as validators write it: the format is its name, or what is held to where the pattern can't be.
  const patterns = [pattern].flat() as string[];
  try {
    return held(patterns, "pattern");
  } catch (refusal) {
    if (known === undefined || !allMatch(regex(known, ofClass), patterns)) throw refusal;
    try {
      return held([known], "format");
    } catch {
      throw refusal;
    }
  }
}

/** The texts of a pattern within a JSON string. */
export function patternExpression(pattern: string, at: string, keyword: string): Expression {
  return escaped(reading(pattern, at, keyword, () => regex(pattern, ofClass)));
}

/** Whether a text has what all patterns look for. @throws GrammarError about a pattern that is none */
export function matchesAll(text: string, patterns: unknown, at: string): boolean {
  return ([patterns].flat() as string[]).every((pattern) =>
    reading(pattern, at, "pattern", () => compiled(pattern)).test(text),
  );
}

const ofClass = (ranges: Ranges): Expression => ({ kind: "class", ranges });

function ofLength(min: number, max: number): Condition[] {
  if (min === 0 && max === Number.POSITIVE_INFINITY) return [];
  return [{ expression: repeat(ofClass([[0, 0x10ffff]]), min, max), negated: false }];
}

/** Names the pattern that can't be read. @throws GrammarError */
function reading<T>(pattern: string, at: string, keyword: string, read: () => T): T {
  try {
    return read();
  } catch (problem) {
    if (!(problem instanceof PatternProblem)) throw problem;
    throw refuse(at, keyword, `is ${JSON.stringify(pattern)}: ${problem.message}`);
  }
}

/** Whether patterns that can't be held to here say no more than a format does, as far as trying tells. */
function allMatch(texts: Expression, patterns: readonly string[]): boolean {
  let matching: RegExp[];
  try {
    matching = patterns.map(compiled);
  } catch {
    return false;
  }
  let seed = 1;
  const pick = (count: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * count);
  };
  return Array.from({ length: TRIED }, () => drawn(texts, pick)).every((text) =>
    matching.every((each) => each.test(text)),
  );
}

function drawn(e: Expression, pick: (count: number) => number): string {
  switch (e.kind) {
    case "class": {
      const [low, high] = e.ranges[pick(e.ranges.length)] as readonly [number, number];
      return String.fromCodePoint(low + pick(high - low + 1));
    }
    case "sequence":
      return e.parts.map((part) => drawn(part, pick)).join("");
    case "choice":
      return drawn(e.options[pick(e.options.length)] as Expression, pick);
    case "repeat": {
      const count = e.min + pick(Math.min(e.max - e.min, 3) + 1);
      return Array.from({ length: count }, () => drawn(e.body, pick)).join("");
    }
    default:
      return "";
  }
}

/** Texts of `e` that have from `min` to `max` characters, all of them or nearly; undefined where lengths of several parts would have to be told apart. */
function bounded(e: Expression, min: number, max: number): Expression | undefined {
  const [shortest, longest] = lengths(e);
  if (shortest >= min && longest <= max) return e;
  if (longest < min || shortest > max) return NOTHING;
  switch (e.kind) {
    case "choice": {
      const options = e.options.map((option) => bounded(option, min, max));
      return options.includes(undefined) ? undefined : choice(...(options as Expression[]));
    }
    case "sequence": {
      const open = e.parts.filter((part) => lengths(part)[0] !== lengths(part)[1]);
      const [part] = open;
      if (!part) return undefined;
      if (open.length > 1) return min > shortest ? undefined : shared(e.parts, max - shortest);
      const others = shortest - lengths(part)[0];
      const within = bounded(part, min - others, max - others);
      return within && sequence(...e.parts.map((each) => (each === part ? within : each)));
    }
    case "repeat": {
      if (e.max === 1) {
        const within = bounded(e.body, min, max);
        return within && min === 0 ? repeat(within, e.min, 1) : within;
      }
      const [size, most] = lengths(e.body);
      if (size !== most && !(size > 0 && max / most >= LEAST_SHARE)) return undefined;
      const [least, last] = [Math.ceil(min / size), Math.floor(max / most)];
      if (least > last) return NOTHING;
      return repeat(e.body, Math.max(e.min, least), Math.min(e.max, last));
    }
    default:
      return undefined;
  }
}

/** The parts in a row, with so many characters more than they need between them: those that can't take an equal share leave it to others. */
function shared(parts: readonly Expression[], spare: number): Expression | undefined {
  const room = (part: Expression) => lengths(part)[1] - lengths(part)[0];
  let left = spare;
  let share = 0;
  const open = parts.filter((part) => room(part) > 0).sort((a, b) => room(a) - room(b));
  for (const [i, part] of open.entries()) {
    share = Math.floor(left / (open.length - i));
    if (room(part) > share) break;
    left -= room(part);
  }
  if (share < LEAST_SHARE) return undefined;
  const within = parts.map((part) => bounded(part, 0, lengths(part)[0] + share));
  return within.includes(undefined) ? undefined : sequence(...(within as Expression[]));
}

/** The texts of `e` as they stand in a JSON string. */
function escaped(e: Expression): Expression {
  switch (e.kind) {
    case "class":
      return stringCharacter(e.ranges);
    case "sequence":
      return sequence(...e.parts.map(escaped));
    case "choice":
      return choice(...e.options.map(escaped));
    case "repeat":
      return repeat(escaped(e.body), e.min, e.max);
    default:
      return e; // no pattern has others
  }
}
