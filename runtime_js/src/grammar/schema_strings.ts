/** Strings of JSON Schema: patterns, formats and lengths, together as far as that can be held to. */
import { choice, type Expression, NOTHING, type Rules, repeat, sequence } from "./expression.js";
import { FORMATS } from "./formats.js";
import { characters, quoted, STRING, stringCharacter } from "./json_rules.js";
import { lengths, PatternProblem, regex } from "./regex.js";
import { type Keywords, refuse } from "./schema_merge.js";

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
  const held = (source: unknown, keyword: string) => {
    const texts = parsed(source, at, keyword);
    const within = bounded(texts, min, max);
    if (within) return quoted(escaped(within));
    throw refuse(
      at,
      lengths(texts)[0] < min ? "minLength" : "maxLength",
      `together with ${keyword} can't be held to, as several of its parts are of any length; say it in a pattern`,
    );
  };
  const known =
    typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (pattern === undefined) {
    if (known !== undefined) return held(known, "format");
    const all = Object.keys(FORMATS).join(", ");
    throw refuse(at, "format", `${JSON.stringify(format)} isn't known; these are: ${all}`);
  }
  // Of both the pattern is the stricter one, as validators write it: the format is its name, or what is held to where the pattern can't be.
  try {
    return held(pattern, "pattern");
  } catch (refusal) {
    if (known === undefined || !allMatch(parsed(known, at, "format"), pattern)) throw refusal;
    try {
      return held(known, "format");
    } catch {
      throw refusal;
    }
  }
}

/** The texts of a pattern within a JSON string. */
export function patternExpression(pattern: unknown, at: string, keyword: string): Expression {
  return escaped(parsed(pattern, at, keyword));
}

/** The texts of a pattern, with a class for each character. */
function parsed(pattern: unknown, at: string, keyword: string): Expression {
  if (typeof pattern !== "string") throw refuse(at, keyword, "must be a string");
  try {
    return regex(pattern, (ranges) => ({ kind: "class", ranges }));
  } catch (problem) {
    if (!(problem instanceof PatternProblem)) throw problem;
    throw refuse(at, keyword, `is ${JSON.stringify(pattern)}: ${problem.message}`);
  }
}

/** Whether a pattern that can't be read here says no more than a format does, as far as trying tells. */
function allMatch(texts: Expression, pattern: unknown): boolean {
  let matching: RegExp;
  try {
    matching = new RegExp(pattern as string, "u");
  } catch {
    return false;
  }
  let seed = 1;
  const pick = (count: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * count);
  };
  return Array.from({ length: TRIED }, () => drawn(texts, pick)).every((t) => matching.test(t));
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

/** What of `e` has from `min` to `max` characters; undefined where lengths of several parts would have to be told apart. */
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
      if (!part || open.length > 1) return undefined;
      const others = shortest - lengths(part)[0];
      const within = bounded(part, min - others, max - others);
      return within && sequence(...e.parts.map((each) => (each === part ? within : each)));
    }
    case "repeat": {
      const [size, most] = lengths(e.body);
      if (size !== most) return undefined;
      const [least, last] = [Math.ceil(min / size), Math.floor(max / size)];
      if (least > last) return NOTHING;
      return repeat(e.body, Math.max(e.min, least), Math.min(e.max, last));
    }
    default:
      return undefined;
  }
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
