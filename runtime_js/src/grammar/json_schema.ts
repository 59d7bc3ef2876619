/**
 * JSON Schema as a grammar. Whatever the grammar lets through is valid for the schema; what can't be held to is refused by name.
 * The grammar may be narrower than the schema: properties come in the schema's order; an object with `properties` has no others
 * unless `additionalProperties` says so; a pattern is the whole text.
 */
import { GrammarError } from "../errors.js";
import {
  choice,
  EMPTY,
  type Expression,
  NOTHING,
  optional,
  prune,
  type Rules,
  rule,
  sequence,
  text,
} from "./expression.js";
import { ANY_VALUE, COMMA, jsonRules, list, WS } from "./json_rules.js";
import { type Bound, FRACTION_DIGITS, integers, multiples, numbers } from "./numbers.js";
import { disjoint } from "./schema_disjoint.js";
import {
  type Keywords,
  legacyItems,
  type Node,
  refuse,
  type Schema,
  SchemaMerger,
  step,
  TYPE_OF,
} from "./schema_merge.js";
import { objectExpression } from "./schema_objects.js";
import { matchesAll, stringExpression } from "./schema_strings.js";

const TYPES = ["object", "array", "string", "number", "boolean", "null"];
const MAX_MULTIPLES = 1000;
/** Values of items that differ from each other: a rule for each choice of some of them. */
const MAX_UNIQUE = 8;
const MAX_STEP = 50;
/** No answer is longer; a greater bound is none. */
const MAX_COUNT = 100_000;

/**
 * @param source JSON text of the schema
 * @returns rules, the start is `root`
 * @throws GrammarError
 */
export function schemaRules(source: string): Rules {
  let root: Schema;
  try {
    root = JSON.parse(source) as Schema;
  } catch (cause) {
    throw new GrammarError(`the schema is not JSON: ${(cause as Error).message}`, {
      kind: "json_schema",
      pointer: "",
    });
  }
  const compiler = new SchemaCompiler(root);
  compiler.rules.set("root", compiler.value(root, ""));
  const rules = prune(compiler.rules, "root");
  if (!rules)
    throw new GrammarError("no JSON that ever ends is valid for the schema", {
      kind: "json_schema",
      pointer: "",
    });
  return rules;
}

export class SchemaCompiler {
  readonly rules = jsonRules();
  readonly #merger: SchemaMerger;
  readonly #names = new Map<string, string>();

  constructor(root: Schema) {
    this.#merger = new SchemaMerger(root);
  }

  /** The expression of values that are valid for `schema`, which stands at the JSON pointer `at`. */
  value(schema: Schema, at: string): Expression {
    if (schema === true) return ANY_VALUE;
    if (schema === false) return NOTHING;
    return this.#named(JSON.stringify(schema), () =>
      this.#node(this.#merger.flatten(schema, at), at),
    );
  }

  /** A rule for what has this key, so that what refers to itself comes to an end. */
  #named(key: string, body: () => Expression): Expression {
    let name = this.#names.get(key);
    if (name === undefined) {
      name = `r${this.#names.size}`;
      this.#names.set(key, name);
      this.rules.set(name, body());
    }
    return rule(name);
  }

  #node(node: Node | false, at: string): Expression {
    if (node === false) return NOTHING;
    const [group, ...others] = node.choices;
    if (!group) return this.#plain(node.keywords, at);
    const rest: Node = { keywords: node.keywords, choices: others };
    const alone = others.length === 0 && Object.keys(node.keywords).length === 0;
    if (group.keyword === "oneOf") {
      const nodes = group.options.map((option, i) => {
        const flat = this.#merger.flatten(option, step(group.at, i));
        return flat === false ? false : this.#merger.merge(rest, flat, at);
      });
      const pair = disjoint(nodes, this.#merger);
      if (pair)
        throw refuse(
          group.at.slice(0, -"/oneOf".length),
          "oneOf",
          `has branches ${pair[0]} and ${pair[1]} that may both match; let a property with another const in each tell them apart, or write anyOf`,
        );
    }
    return choice(
      ...group.options.map((option, i) => {
        const where = step(group.at, i);
        if (alone) return this.value(option, where);
        return this.#node(this.#merger.merge(rest, this.#merger.flatten(option, where), at), where);
      }),
    );
  }

  #plain(keywords: Keywords, at: string): Expression {
    if (keywords["enum"] !== undefined) return this.#enum(keywords, at);
    let types = keywords["type"] as string[] | undefined;
    if (!types) {
      const inferred = new Set(Object.keys(keywords).map((keyword) => TYPE_OF.get(keyword)));
      inferred.delete(undefined);
      if (inferred.size === 0) return ANY_VALUE;
      types = [...inferred] as string[];
    }
    return choice(...types.map((type) => this.#typed(type, keywords, at)));
  }

  #typed(type: string, keywords: Keywords, at: string): Expression {
    switch (type) {
      case "object":
        return objectExpression(keywords, at, this);
      case "array":
        return this.#array(keywords, at);
      case "string":
        return this.#string(keywords, at);
      case "number":
      case "integer":
        return this.#number(type, keywords, at);
      case "boolean":
        return choice(text("true"), text("false"));
      case "null":
        return text("null");
      default:
        throw refuse(
          at,
          "type",
          `is ${JSON.stringify(type)}; it can be ${TYPES.join(", ")} or integer`,
        );
    }
  }

  #enum(keywords: Keywords, at: string): Expression {
    return choice(...this.#listed(keywords, at).map((value) => text(value)));
  }

  /** JSON texts of the values of an `enum` that what is beside it leaves. */
  #listed(keywords: Keywords, at: string): string[] {
    const values = keywords["enum"];
    if (!Array.isArray(values) || values.length === 0)
      throw refuse(at, "enum", "must be a list that isn't empty");
    const types = keywords["type"] as string[] | undefined;
    const kept = values.filter((value) => {
      const type = typeOf(value);
      if (types && !types.includes(type) && !(type === "integer" && types.includes("number")))
        return false;
      return this.#admits(keywords, value, type === "integer" ? "number" : type, at);
    });
    return kept.map((value) => JSON.stringify(value));
  }

  /** Whether the keywords beside an `enum` leave one of its values. */
  #admits(keywords: Keywords, value: unknown, type: string, at: string): boolean {
    return Object.entries(keywords).every(([keyword, says]) => {
      if (TYPE_OF.get(keyword) !== type) return true;
      if (keyword === "minimum") return (value as number) >= (says as number);
      if (keyword === "maximum") return (value as number) <= (says as number);
      if (keyword === "exclusiveMinimum") return (value as number) > (says as number);
      if (keyword === "exclusiveMaximum") return (value as number) < (says as number);
      if (keyword === "minLength") return [...(value as string)].length >= (says as number);
      if (keyword === "maxLength") return [...(value as string)].length <= (says as number);
      if (keyword === "multipleOf") return isMultiple(value as number, says as number);
      if (keyword === "pattern") return matchesAll(value as string, says, at);
      throw refuse(at, keyword, "beside enum or const can't be held to; list what is meant");
    });
  }

  #string(keywords: Keywords, at: string): Expression {
    const bounds = this.bounds(keywords, "minLength", "maxLength", at);
    return stringExpression(keywords, bounds, at, this.rules);
  }

  /** Two bounds on a count. */
  bounds(keywords: Keywords, low: string, high: string, at: string): [number, number] {
    for (const keyword of [low, high]) {
      const value = keywords[keyword];
      if (value !== undefined && !(Number.isInteger(value) && (value as number) >= 0))
        throw refuse(at, keyword, "must be a natural number");
    }
    const min = (keywords[low] as number | undefined) ?? 0;
    const max = (keywords[high] as number | undefined) ?? Number.POSITIVE_INFINITY;
    if (min > MAX_COUNT) throw refuse(at, low, `is more than ${MAX_COUNT}`);
    if (min > max) throw refuse(at, low, `is more than ${high}`);
    return [min, max > MAX_COUNT ? Number.POSITIVE_INFINITY : max];
  }

  #number(type: "integer" | "number", keywords: Keywords, at: string): Expression {
    for (const keyword of [
      "minimum",
      "maximum",
      "exclusiveMinimum",
      "exclusiveMaximum",
      "multipleOf",
    ]) {
      if (keywords[keyword] !== undefined && typeof keywords[keyword] !== "number")
        throw refuse(at, keyword, "must be a number");
    }
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = keywords as Record<
      string,
      number
    >;
    const lower = [bound(minimum, false), bound(exclusiveMinimum, true)].filter(
      (b) => b !== undefined,
    );
    const upper = [bound(maximum, false), bound(exclusiveMaximum, true)].filter(
      (b) => b !== undefined,
    );
    // The stricter bound; of equal ones the exclusive.
    lower.sort((a, b) => b.value - a.value || Number(b.exclusive) - Number(a.exclusive));
    upper.sort((a, b) => a.value - b.value || Number(b.exclusive) - Number(a.exclusive));
    const stepped = multipleOf as number | undefined;
    const { by, decimals } = stepOf(stepped ?? 1, type, at);
    if (type === "integer" || (stepped !== undefined && (by > 1 || decimals === 0))) {
      const [least, most] = within(lower[0], upper[0], decimals);
      for (const [keyword, bound] of [
        ["minimum", least],
        ["maximum", most],
      ] as const) {
        if (Number.isFinite(bound) && !Number.isSafeInteger(bound))
          throw refuse(at, keyword, "is no safe integer");
      }
      return by === 1 ? integers(least, most) : this.#multiples(by, decimals, least, most, at);
    }
    const found = numbers(lower[0], upper[0], decimals || undefined);
    if (!found)
      throw refuse(
        at,
        lower.length > 0 ? "minimum" : "maximum",
        "(or another bound) has more than 15 digits before the point or 6 after it",
      );
    return found;
  }

  /** by, least, most: in units of the last of so many decimals. */
  #multiples(by: number, decimals: number, least: number, most: number, at: string): Expression {
    if (Number.isFinite(least) && Number.isFinite(most)) {
      if ((most - least) / by > MAX_MULTIPLES)
        throw refuse(at, "multipleOf", `has more than ${MAX_MULTIPLES} values within its bounds`);
      const values: Expression[] = [];
      for (let n = Math.ceil(least / by) * by; n <= most; n += by)
        values.push(text(String(Number((n / 10 ** decimals).toFixed(decimals)) + 0)));
      return choice(...values);
    }
    if (by > MAX_STEP)
      throw refuse(at, "multipleOf", `without bounds can be up to ${MAX_STEP / 10 ** decimals}`);
    const positive = least > 0 && least <= by;
    if (most !== Number.POSITIVE_INFINITY || (least !== 0 && !positive && Number.isFinite(least)))
      throw refuse(
        at,
        "multipleOf",
        "can be held to between two bounds, from 0 on, or without bounds",
      );
    const which = positive ? "positive" : least === 0 ? "natural" : "all";
    return multiples(by, decimals, which, this.rules);
  }

  #array(keywords: Keywords, at: string): Expression {
    if (Array.isArray(keywords["items"])) legacyItems(keywords);
    const [min, max] = this.bounds(keywords, "minItems", "maxItems", at);
    const prefix = (keywords["prefixItems"] ?? []) as Schema[];
    if (!Array.isArray(prefix)) throw refuse(at, "prefixItems", "must be a list");
    const more = (keywords["items"] ?? keywords["unevaluatedItems"]) as Schema | undefined;
    if (keywords["uniqueItems"] !== undefined) {
      const values = keywords["uniqueItems"] === true && prefix.length === 0 && more !== undefined;
      const listed = values && this.#listedAlone(more, step(at, "items"));
      if (!listed || listed.length > MAX_UNIQUE)
        throw refuse(
          at,
          "uniqueItems",
          `can be held to for items that are an enum of up to ${MAX_UNIQUE} values`,
        );
      return sequence(text("["), WS, this.#unique(listed, min, max), WS, text("]"));
    }
    const item = this.value(more ?? true, step(at, "items"));
    // Where nothing is said about items beyond the listed ones there are none, unless there must be.
    const open = more !== undefined || prefix.length === 0 || min > prefix.length;
    /** What may follow when `count` items are written. */
    const items = (count: number): Expression => {
      if (count < prefix.length) {
        if (count >= max) return EMPTY;
        const where = step(step(at, "prefixItems"), count);
        const listed = this.value(prefix[count] as Schema, where);
        const rest = sequence(count === 0 ? EMPTY : COMMA, listed, items(count + 1));
        return count < min ? rest : optional(rest);
      }
      const least = Math.max(0, min - count);
      if (!open || max <= count) return least > 0 ? NOTHING : EMPTY;
      return list(item, least, max - count, this.rules, count > 0 ? COMMA : EMPTY);
    };
    return sequence(text("["), WS, items(0), WS, text("]"));
  }

  /** JSON texts of the values of a schema that is an `enum`, each once. */
  #listedAlone(schema: Schema, at: string): string[] | undefined {
    const node = this.#merger.flatten(schema, at);
    if (node === false || node.choices.length > 0 || node.keywords["enum"] === undefined)
      return undefined;
    return [...new Set(this.#listed(node.keywords, at))];
  }

  /** From `min` to `max` of these texts in any order, with commas between them: a rule for each choice of those that were written. */
  #unique(texts: readonly string[], min: number, max: number): Expression {
    const name = (written: number) => `u${first}-${written}`;
    const first = this.rules.size;
    for (let written = 0; written < 2 ** texts.length; written++) {
      const count = texts.filter((_, i) => written & (1 << i)).length;
      const more = texts.flatMap((one, i) =>
        count < max && !(written & (1 << i))
          ? [sequence(count > 0 ? COMMA : EMPTY, text(one), rule(name(written | (1 << i))))]
          : [],
      );
      this.rules.set(name(written), choice(count >= min ? EMPTY : NOTHING, ...more));
    }
    return rule(name(0));
  }
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** A `multipleOf` in units of its last decimal. Of whole numbers, those that are multiples of it. */
function stepOf(step: number, type: string, at: string): { by: number; decimals: number } {
  const decimals = String(step).split(".")[1]?.length ?? 0;
  const by = Math.round(step * 10 ** decimals);
  if (!(by > 0 && Number.isSafeInteger(by)) || decimals > FRACTION_DIGITS || /e/.test(String(step)))
    throw refuse(
      at,
      "multipleOf",
      `must be greater than 0, with up to ${FRACTION_DIGITS} decimals`,
    );
  if (type === "number") return { by, decimals };
  return { by: by / greatestDivisor(by, 10 ** decimals), decimals: 0 };
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

function isMultiple(value: number, step: number): boolean {
  const times = value / step;
  return Math.abs(times - Math.round(times)) <= 1e-9 * Math.max(1, Math.abs(times));
}

/** The least and the most, in units of the last of so many decimals. */
function within(
  lower: Bound | undefined,
  upper: Bound | undefined,
  decimals: number,
): [number, number] {
  // 0.29 * 100 is 28.999999999999996.
  const units = (value: number) =>
    decimals === 0 ? value : Number((value * 10 ** decimals).toPrecision(15));
  const [low, high] = [lower && units(lower.value), upper && units(upper.value)];
  const least = low === undefined ? Number.NEGATIVE_INFINITY : Math.ceil(low);
  const most = high === undefined ? Number.POSITIVE_INFINITY : Math.floor(high);
  return [
    lower?.exclusive && least === low ? least + 1 : least,
    upper?.exclusive && most === high ? most - 1 : most,
  ];
}

function bound(value: number | undefined, exclusive: boolean) {
  return value === undefined ? undefined : { value, exclusive };
}
