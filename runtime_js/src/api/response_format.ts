/** What an answer must look like: OpenAI's `response_format`, and forms of our own, as a grammar. */
import type { GrammarSpec, PackedGrammar } from "../grammar/spec.js";
import { invalid, isRecord, json, namesIn, show } from "./fields.js";

/** Of each form: its fields beside `type`, and the grammar they say; none: any text. */
const FORMS: Record<
  string,
  (value: Record<string, unknown>, at: string) => GrammarSpec | PackedGrammar | undefined
> = {
  text: (value, at) => {
    only(value, at, []);
    return undefined;
  },
  json_object: (value, at) => {
    only(value, at, []);
    const schema = { type: "object", additionalProperties: true };
    return { kind: "json_schema", schema: JSON.stringify(schema) };
  },
  json_schema: (value, at) => {
    only(value, at, ["json_schema"]);
    return parseSchema(value["json_schema"], `${at}.json_schema`);
  },
  regex: (value, at) => {
    only(value, at, ["pattern"]);
    return { kind: "regex", pattern: text(value["pattern"], `${at}.pattern`) };
  },
  grammar: (value, at) => {
    only(value, at, ["grammar"]);
    return { kind: "ebnf", grammar: text(value["grammar"], `${at}.grammar`) };
  },
  structural_tag: (value, at) => {
    only(value, at, ["format"]);
    if (!isRecord(value["format"])) throw invalid(`${at}.format`, "must be an object");
    return { kind: "structural_tag", tag: json(value, at) };
  },
  packed: (value, at) => {
    only(value, at, ["name"]);
    return { kind: "packed", name: text(value["name"], `${at}.name`) };
  },
};

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/**
 * @param at the parameter's name, for errors
 * @returns nothing for text of any form
 * @throws InvalidRequestError naming the field
 */
export function parseResponseFormat(
  value: unknown,
  at = "response_format",
): { grammar?: GrammarSpec | PackedGrammar } {
  if (value === undefined || value === null) return {};
  const type = isRecord(value) ? value["type"] : undefined;
  const form = typeof type === "string" && Object.hasOwn(FORMS, type) ? FORMS[type] : undefined;
  if (!form) {
    const names = Object.keys(FORMS).join(", ");
    throw invalid(at, `must be an object whose type is one of ${names}`);
  }
  const grammar = form(value as Record<string, unknown>, at);
  return grammar ? { grammar } : {};
}

/** `{name, schema, strict, description}`; without a schema it is any JSON. Answers match it whether `strict` or not. */
function parseSchema(value: unknown, at: string): GrammarSpec {
  if (!isRecord(value)) throw invalid(at, "must be {name, schema}");
  for (const key of namesIn(value)) {
    if (!["name", "description", "schema", "strict"].includes(key))
      throw invalid(`${at}.${key}`, "is not a parameter of this engine");
  }
  const { name, description, schema, strict } = value;
  if (typeof name !== "string" || !NAME.test(name)) {
    throw invalid(
      `${at}.name`,
      `must be 1 to 64 letters, digits, underscores and dashes, not ${show(name)}`,
    );
  }
  if (description !== undefined && description !== null && typeof description !== "string")
    throw invalid(`${at}.description`, "must be a string");
  if (strict !== undefined && strict !== null && typeof strict !== "boolean")
    throw invalid(`${at}.strict`, "must be true or false");
  if (schema === undefined || schema === null) return { kind: "json" };
  if (!isRecord(schema)) throw invalid(`${at}.schema`, "must be a JSON Schema, an object");
  return { kind: "json_schema", schema: json(schema, `${at}.schema`) };
}

function only(value: Record<string, unknown>, at: string, fields: readonly string[]): void {
  for (const key of namesIn(value)) {
    if (key !== "type" && !fields.includes(key))
      throw invalid(`${at}.${key}`, `is no field of type ${show(value["type"])}`);
  }
}

function text(value: unknown, at: string): string {
  if (typeof value !== "string" || value === "") throw invalid(at, "must be a non-empty string");
  return value;
}
