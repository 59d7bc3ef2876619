/** Objects of JSON Schema: properties in order, and what else they may have. */
import {
  choice,
  complement,
  EMPTY,
  type Expression,
  intersect,
  NOTHING,
  oneOf,
  type Rules,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.js";
import {
  ANY_VALUE,
  COMMA,
  characters,
  list,
  member,
  PLAIN,
  quoted,
  STRING,
  WS,
} from "./json_rules.js";
import { compiled } from "./regex.js";
import { type Keywords, refuse, type Schema, step } from "./schema_merge.js";
import { patternExpression } from "./schema_strings.js";

interface Compiler {
  rules: Rules;
  value(schema: Schema, at: string): Expression;
  bounds(keywords: Keywords, low: string, high: string, at: string): [number, number];
}

interface Property {
  entry: Expression;
  required: boolean;
}

const MAX_RULES = 5000;

export function objectExpression(keywords: Keywords, at: string, compiler: Compiler): Expression {
  const named = new Map(Object.entries((keywords["properties"] ?? {}) as Record<string, Schema>));
  const [required, additional, names] = read(keywords, named, at);
  if (names !== undefined && named.size > 0 && additional !== false)
    throw refuse(at, "propertyNames", "together with properties can't be held to");
  let other = otherEntry(keywords, [...named.keys()], additional, names, at, compiler);
  for (const name of required) {
    if (named.has(name)) continue;
    if (keywords["patternProperties"] !== undefined || names !== undefined)
      throw refuse(
        at,
        "required",
        `names ${JSON.stringify(name)}, which properties must have then`,
      );
    named.set(name, additional ?? true);
  }
  const properties = [...named].map(([name, schema]): Property => {
    const value = compiler.value(schema, step(step(at, "properties"), name));
    return { entry: member(text(JSON.stringify(name)), value), required: required.has(name) };
  });
  const [min, max] = compiler.bounds(keywords, "minProperties", "maxProperties", at);
  if (min > Math.max(1, required.size) && other) {
    // Further properties might repeat each other, and would count as one.
    if (min > properties.length)
      throw refuse(at, "minProperties", "of more than 1 can be held to for named properties only");
    other = undefined;
  }
  return braces(properties, other, min, max, at, compiler.rules);
}

/** Which names are required, the schema of names that aren't listed, and what names must be. */
function read(
  keywords: Keywords,
  named: Map<string, Schema>,
  at: string,
): [Set<string>, Schema | undefined, Keywords | undefined] {
  const required = keywords["required"] ?? [];
  if (!Array.isArray(required) || required.some((name) => typeof name !== "string"))
    throw refuse(at, "required", "must be a list of strings");
  for (const keyword of ["properties", "patternProperties", "propertyNames"]) {
    const value = keywords[keyword];
    if (
      value !== undefined &&
      (typeof value !== "object" || value === null || Array.isArray(value))
    )
      throw refuse(at, keyword, "must be an object");
  }
  const additional = (keywords["additionalProperties"] ?? keywords["unevaluatedProperties"]) as
    | Schema
    | undefined;
  const names = keywords["propertyNames"] as Keywords | undefined;
  const allowed =
    names?.["enum"] ?? (names?.["const"] === undefined ? undefined : [names["const"]]);
  if (names && Array.isArray(allowed) && named.size === 0) {
    for (const name of allowed) named.set(String(name), additional ?? true);
    return [new Set(required as string[]), false, undefined];
  }
  return [new Set(required as string[]), additional, names];
}

/** One property that isn't listed; undefined if there are none. */
function otherEntry(
  keywords: Keywords,
  named: string[],
  additional: Schema | undefined,
  names: Keywords | undefined,
  at: string,
  compiler: Compiler,
): Expression | undefined {
  const patterns = Object.entries((keywords["patternProperties"] ?? {}) as Record<string, Schema>);
  if (patterns.length > 0) {
    const [[pattern, schema] = ["", true]] = patterns;
    if (patterns.length > 1 || names !== undefined)
      throw refuse(
        at,
        "patternProperties",
        "can be held to with one pattern, and without propertyNames",
      );
    const key = patternExpression(pattern, step(at, "patternProperties"), pattern);
    const taken = named.find((name) => compiled(pattern).test(name));
    if (taken !== undefined)
      throw refuse(
        at,
        "patternProperties",
        `matches the property ${JSON.stringify(taken)} too, which can't be held to`,
      );
    if (additional !== undefined && additional !== false)
      throw refuse(
        at,
        "additionalProperties",
        "beside patternProperties can be held to if it is false",
      );
    return member(
      quoted(key),
      compiler.value(schema, step(step(at, "patternProperties"), pattern)),
    );
  }
  // With properties listed, others are left out unless somebody asked for them.
  if (additional === false || (additional === undefined && named.length > 0 && names === undefined))
    return undefined;
  const value =
    additional === undefined
      ? ANY_VALUE
      : compiler.value(additional, step(at, "additionalProperties"));
  return member(names ? nameExpression(names, at, compiler) : keyExcept(named), value);
}

function nameExpression(names: Keywords, at: string, compiler: Compiler): Expression {
  const where = step(at, "propertyNames");
  const known = new Set([
    "type",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "description",
    "title",
  ]);
  const unknown = Object.keys(names).find((keyword) => !known.has(keyword));
  if (unknown !== undefined) throw refuse(where, unknown, "can't be held to");
  if (names["pattern"] === undefined && names["format"] === undefined) {
    const [min, max] = compiler.bounds(names, "minLength", "maxLength", where);
    return quoted(characters(min, max, compiler.rules));
  }
  return compiler.value({ ...names, type: "string" }, where);
}

/** A key that is none of `names`. It has no escapes, by which it could be one of them nevertheless. */
function keyExcept(names: string[]): Expression {
  if (names.length === 0) return STRING;
  const rest = (suffixes: string[][]): Expression => {
    const heads = new Map<number, string[][]>();
    let ended = false;
    for (const [head, ...tail] of suffixes) {
      if (head === undefined) ended = true;
      else {
        const code = head.codePointAt(0) as number;
        heads.set(code, [...(heads.get(code) ?? []), tail]);
      }
    }
    const others = intersect(
      PLAIN,
      complement([...heads.keys()].map((c): [number, number] => [c, c])),
    );
    return choice(
      ended ? NOTHING : EMPTY,
      sequence(oneOf(others), repeat(oneOf(PLAIN), 0)),
      ...[...heads].map(([code, tails]) =>
        sequence(oneOf(intersect([[code, code]], PLAIN)), rest(tails)),
      ),
    );
  };
  return quoted(rest(names.map((name) => [...name])));
}

/** Entries in order: the listed ones, of which optional ones may be left out, then others. */
function braces(
  properties: Property[],
  other: Expression | undefined,
  min: number,
  max: number,
  at: string,
  rules: Rules,
): Expression {
  const count = properties.length;
  const counts =
    min > properties.filter((p) => p.required).length ||
    max < count ||
    (other && max < Number.POSITIVE_INFINITY);
  if (counts && (count + 1) * (Math.min(max, count) + 1) > MAX_RULES)
    throw refuse(
      at,
      min > 0 ? "minProperties" : "maxProperties",
      "of so many properties can't be held to",
    );
  const prefix = `o${rules.size}`;
  const made = new Map<string, Expression>();

  /** What follows when those before `next` are done with, `written` of which stand there (only 0 or 1 if nobody counts). */
  const follow = (next: number, written: number): Expression => {
    const key = `${prefix}-${next}-${written}`;
    const known = made.get(key);
    if (known) return known;
    const reference = rule(key);
    made.set(key, reference);
    rules.set(key, options(next, written));
    return reference;
  };
  const options = (next: number, written: number): Expression => {
    const lead = written > 0 ? COMMA : EMPTY;
    const property = properties[next];
    if (property) {
      const taken =
        written < max
          ? sequence(lead, property.entry, follow(next + 1, counts ? written + 1 : 1))
          : NOTHING;
      return property.required ? taken : choice(taken, follow(next + 1, written));
    }
    if (!other) return !counts || written >= min ? EMPTY : NOTHING;
    const least = counts ? Math.max(0, min - written) : Math.max(0, min - (written > 0 ? min : 0));
    const most = max - (counts ? written : 0);
    if (most <= 0) return least > 0 ? NOTHING : EMPTY;
    return list(other, least, most, rules, lead);
  };
  return sequence(text("{"), WS, follow(0, 0), WS, text("}"));
}
