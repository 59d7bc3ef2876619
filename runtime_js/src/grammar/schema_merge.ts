/** A JSON Schema with its `allOf`, and what stands beside a `$ref`, merged into one set of keywords. */
import { GrammarError } from "../errors.js";
import { SchemaNames } from "./schema_names.js";

export type Schema = boolean | Keywords;
export type Keywords = Record<string, unknown>;

/** Keywords without `$ref` and `allOf`, and the alternatives that must hold besides. */
export interface Node {
  keywords: Keywords;
  choices: { keyword: "anyOf" | "oneOf"; options: Schema[]; at: string }[];
}

/** What says nothing about which values are valid; OpenAPI's `discriminator` says again what a `oneOf` does. */
const ANNOTATIONS = new Set(
  (
    "title description default examples example deprecated readOnly writeOnly $comment $schema $id $anchor $defs definitions " +
    "contentMediaType contentEncoding contentSchema discriminator"
  ).split(" "),
);
const OBJECT =
  "properties required additionalProperties unevaluatedProperties patternProperties propertyNames minProperties maxProperties";
const ARRAY = "items prefixItems additionalItems unevaluatedItems minItems maxItems uniqueItems";
const STRING = "minLength maxLength pattern format";
const NUMBER = "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf";
/** Types by the keywords that are about them alone. */
export const TYPE_OF: ReadonlyMap<string, string> = new Map(
  [
    [OBJECT, "object"],
    [ARRAY, "array"],
    [STRING, "string"],
    [NUMBER, "number"],
  ].flatMap(([keywords, type]) =>
    (keywords as string).split(" ").map((keyword): [string, string] => [keyword, type as string]),
  ),
);
const KNOWN = new Set([
  ...TYPE_OF.keys(),
  "type",
  "enum",
  "const",
  "allOf",
  "anyOf",
  "oneOf",
  "$ref",
]);
const MAX_DEPTH = 60;

export function refuse(at: string, keyword: string, why: string): GrammarError {
  const where = at === "" ? "at its root" : `at ${at}`;
  return new GrammarError(`the schema's ${keyword} (${where}) ${why}`, {
    kind: "json_schema",
    keyword,
    pointer: `${at}/${keyword}`,
  });
}

export const step = (at: string, key: string | number): string =>
  `${at}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;

/** The schema that `a` and `b` both hold for. */
export function both(a: Schema | undefined, b: Schema | undefined): Schema {
  if (a === undefined || a === true) return b ?? true;
  if (b === undefined || b === true || same(a, b)) return a;
  return a === false || b === false ? false : { allOf: [a, b] };
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export class SchemaMerger {
  readonly #names: SchemaNames;

  constructor(root: unknown) {
    this.#names = new SchemaNames(root);
  }

  /**
   * What a `$ref` names.
   * @throws GrammarError
   */
  resolve(ref: unknown, at: string): { schema: Schema; at: string } {
    const named = typeof ref === "string" ? this.#names.find(ref) : undefined;
    if (!named)
      throw refuse(
        at,
        "$ref",
        `is ${JSON.stringify(ref)}: only references within the schema, "#/…", an "$id" or an "$anchor" of it, can be followed`,
      );
    let { schema: found } = named;
    const path = named.pointer.split("/").slice(1);
    for (const part of path) {
      let key = part;
      try {
        key = decodeURIComponent(part);
      } catch {} // a percent sign of its own
      key = key.replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof found !== "object" || found === null || !Object.hasOwn(found, key))
        throw refuse(at, "$ref", `names ${ref}, which the schema doesn't have`);
      found = (found as Keywords)[key];
    }
    return { schema: found as Schema, at: named.at + named.pointer };
  }

  /** @returns `false` if nothing is valid */
  flatten(schema: Schema, at: string, depth = 0): Node | false {
    if (depth > MAX_DEPTH)
      throw refuse(at, "$ref", "leads back to itself, or nests too deep, without a value between");
    if (schema === false) return false;
    if (schema === true) return { keywords: {}, choices: [] };
    if (typeof schema !== "object" || schema === null || Array.isArray(schema))
      throw new GrammarError(
        `a schema is an object or a boolean, not ${JSON.stringify(schema)} (at ${at || "its root"})`,
        {
          kind: "json_schema",
          pointer: at,
        },
      );
    const own: Keywords = {};
    const members: (Node | false)[] = [];
    const choices: Node["choices"] = [];
    for (const [keyword, value] of Object.entries(schema)) {
      if (value === undefined || ANNOTATIONS.has(keyword) || keyword.startsWith("x-")) continue;
      if (keyword === "uniqueItems" && (value === false || Number(schema["maxItems"] ?? 2) < 2))
        continue;
      if (keyword === "not" && value === false) continue;
      if (keyword === "nullable" && (value === false || schema["type"] !== undefined)) continue;
      if (keyword === "not" && (value === true || same(value, {}))) return false; // how zod writes `never`
      if (!KNOWN.has(keyword)) throw refuse(at, keyword, "can't be held to");
      if (keyword === "$ref") {
        const target = this.resolve(value, at);
        members.push(this.flatten(target.schema, target.at, depth + 1));
      } else if (keyword === "allOf") {
        for (const [i, each] of list(value, at, keyword).entries()) {
          members.push(this.flatten(each as Schema, step(step(at, keyword), i), depth + 1));
        }
      } else if (keyword === "anyOf" || keyword === "oneOf") {
        const options = list(value, at, keyword) as Schema[];
        choices.push({ keyword, options, at: step(at, keyword) });
      } else if (keyword === "pattern" && typeof value !== "string") {
        throw refuse(at, keyword, "must be a string");
      } else if (keyword === "const") {
        members.push({ keywords: { enum: [value] }, choices: [] });
      } else {
        own[keyword] = value;
      }
    }
    if (typeof own["type"] === "string") own["type"] = [own["type"]];
    if (own["type"] !== undefined && !Array.isArray(own["type"]))
      throw refuse(at, "type", "must be a string or a list of strings");
    // OpenAPI 3.0 has it, where it says something about `type` alone.
    if (schema["nullable"] === true)
      own["type"] = [...new Set([...(own["type"] as string[]), "null"])];
    return members.reduce<Node | false>((a, b) => this.merge(a, b, at), { keywords: own, choices });
  }

  merge(a: Node | false, b: Node | false, at: string): Node | false {
    if (a === false || b === false) return false;
    const keywords: Keywords = { ...a.keywords };
    mergeObjects(keywords, b.keywords, at);
    mergeArrays(keywords, b.keywords, at);
    for (const [keyword, value] of Object.entries(b.keywords)) {
      const mine = keywords[keyword];
      if (MERGED_TOGETHER.has(keyword)) continue;
      keywords[keyword] = mine === undefined ? value : mergeOne(keyword, mine, value, at);
    }
    return { keywords, choices: [...a.choices, ...b.choices] };
  }
}

export function list(value: unknown, at: string, keyword: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0)
    throw refuse(at, keyword, "must be a list that isn't empty");
  return value;
}

const MERGED_TOGETHER = new Set(["properties", "additionalProperties", "items", "prefixItems"]);

function mergeOne(keyword: string, a: unknown, b: unknown, at: string): unknown {
  if (same(a, b)) return a;
  switch (keyword) {
    case "type":
      return (a as string[]).flatMap((t) => {
        const others = b as string[];
        if (others.includes(t)) return [t];
        if (t === "integer" && others.includes("number")) return ["integer"];
        return t === "number" && others.includes("integer") ? ["integer"] : [];
      });
    case "enum":
      return (a as unknown[]).filter((v) => (b as unknown[]).some((w) => same(v, w)));
    case "uniqueItems":
      return true; // false is left out
    case "required":
      return [...new Set([...(a as string[]), ...(b as string[])])];
    case "minimum":
    case "exclusiveMinimum":
    case "minLength":
    case "minItems":
    case "minProperties":
      return Math.max(a as number, b as number);
    case "maximum":
    case "exclusiveMaximum":
    case "maxLength":
    case "maxItems":
    case "maxProperties":
      return Math.min(a as number, b as number);
    case "pattern":
      return [...new Set([a, b].flat())]; // strings, which flatten() has seen to
    default:
      throw refuse(
        at,
        keyword,
        "stands here twice, by allOf, $ref or anyOf, which can't be held to together",
      );
  }
}

function mergeObjects(a: Keywords, b: Keywords, at: string): void {
  const [mine, other] = [a["properties"], b["properties"]] as (
    | Record<string, Schema>
    | undefined
  )[];
  const [restA, restB] = [a["additionalProperties"], b["additionalProperties"]] as (
    | Schema
    | undefined
  )[];
  const patterns = a["patternProperties"] ?? b["patternProperties"];
  if (patterns !== undefined && (mine ?? restA) !== undefined && (other ?? restB) !== undefined)
    throw refuse(at, "patternProperties", "can't be held to together with allOf, $ref or anyOf");
  if (mine || other) {
    const merged: Record<string, Schema> = {};
    for (const name of new Set([...Object.keys(mine ?? {}), ...Object.keys(other ?? {})])) {
      const of = (props: Record<string, Schema> | undefined, rest: Schema | undefined) =>
        props && Object.hasOwn(props, name) ? props[name] : rest;
      Object.defineProperty(merged, name, {
        value: both(of(mine, restA), of(other, restB)),
        enumerable: true,
      });
    }
    a["properties"] = merged;
  }
  if (restA !== undefined || restB !== undefined) a["additionalProperties"] = both(restA, restB);
}

function mergeArrays(a: Keywords, b: Keywords, at: string): void {
  for (const side of [a, b]) {
    if (Array.isArray(side["items"])) legacyItems(side);
    if (side["additionalItems"] !== undefined)
      throw refuse(at, "additionalItems", "needs a list of items");
  }
  const [mine, other] = [a["prefixItems"], b["prefixItems"]] as (Schema[] | undefined)[];
  const [restA, restB] = [a["items"], b["items"]] as (Schema | undefined)[];
  if (mine || other) {
    const length = Math.max(mine?.length ?? 0, other?.length ?? 0);
    a["prefixItems"] = Array.from({ length }, (_, i) =>
      both(mine?.[i] ?? restA, other?.[i] ?? restB),
    );
  }
  if (restA !== undefined || restB !== undefined) a["items"] = both(restA, restB);
}

/** Until draft 2019-09 a list of `items` was what `prefixItems` is now. */
export function legacyItems(keywords: Keywords): void {
  keywords["prefixItems"] = keywords["items"];
  delete keywords["items"];
  if (keywords["additionalItems"] !== undefined) keywords["items"] = keywords["additionalItems"];
  delete keywords["additionalItems"];
}
