import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { beforeAll, describe, expect, test } from "vitest";
import { GrammarError } from "../errors.js";
import { grammarVocabulary } from "../testing/grammar_vocabulary.js";
import { random, walk } from "../testing/grammar_walk.js";
import { SCHEMAS } from "../testing/schemas.js";
import { type CompiledGrammars, openGrammars } from "./grammars.js";

const WALKS = 3;
const vocabulary = grammarVocabulary();
let grammars: CompiledGrammars;
beforeAll(async () => {
  grammars = await openGrammars(vocabulary);
});

const compile = (schema: unknown) =>
  grammars.compile({ kind: "json_schema", schema: JSON.stringify(schema) });

test(`random answers at temperature 1.5 are valid for ${SCHEMAS.length} schemas`, () => {
  expect(SCHEMAS.length).toBeGreaterThanOrEqual(100);
  // Of doubles, 0.07 is no multiple of 0.01 but nearly.
  const ajv = new Ajv2020({ strict: false, allErrors: true, multipleOfPrecision: 9 });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  const wrong: unknown[] = [];
  let valid = 0;
  for (const [i, schema] of SCHEMAS.entries()) {
    const validate = ajv.compile(schema as object);
    const grammar = compile(schema);
    for (let n = 0; n < WALKS; n++) {
      const matcher = grammar.matcher();
      const answer = walk(matcher, vocabulary, random(1000 * i + n), 16 * n);
      matcher.free();
      const text = answer && new TextDecoder("utf-8", { fatal: true }).decode(answer);
      try {
        if (text === undefined) throw new Error("no end");
        if (!validate(JSON.parse(text))) throw new Error(ajv.errorsText(validate.errors));
        valid++;
      } catch (error) {
        wrong.push({ schema: JSON.stringify(schema), text, problem: String(error) });
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(valid).toBe(WALKS * SCHEMAS.length);
});

describe("what can't be held to is refused by name", () => {
  const a = { a: { type: "integer" } };
  const deep = (n: number): unknown => (n === 0 ? true : { allOf: [deep(n - 1)] });
  test.each<[unknown, string | undefined, string]>([
    [{ not: { type: "string" } }, "not", "/not"],
    [{ type: "object", properties: { x: { if: {}, else: {} } } }, "if", "/properties/x/if"],
    [
      { type: "object", properties: a, dependentSchemas: {} },
      "dependentSchemas",
      "/dependentSchemas",
    ],
    [
      { type: "object", dependentRequired: { a: ["b"] } },
      "dependentRequired",
      "/dependentRequired",
    ],
    [{ type: "object", dependencies: {} }, "dependencies", "/dependencies"],
    [
      { type: "array", items: { type: "array", uniqueItems: true } },
      "uniqueItems",
      "/items/uniqueItems",
    ],
    [
      { type: "array", uniqueItems: true, items: { enum: [..."abcdefghi"] } },
      "uniqueItems",
      "/uniqueItems",
    ],
    [{ type: "array", uniqueItems: 1, items: { enum: ["a"] } }, "uniqueItems", "/uniqueItems"],
    [
      { type: "array", uniqueItems: true, prefixItems: [{ enum: [1] }], items: { enum: [2] } },
      "uniqueItems",
      "/uniqueItems",
    ],
    [{ type: "array", uniqueItems: true, items: { enum: [1, 2] }, minItems: 3 }, undefined, ""],
    [{ type: "array", contains: {} }, "contains", "/contains"],
    [{ $dynamicRef: "#x" }, "$dynamicRef", "/$dynamicRef"],
    [{ $ref: "other.json" }, "$ref", "/$ref"],
    [{ $ref: "#name" }, "$ref", "/$ref"],
    [
      { $id: "a", $defs: { b: { const: { $id: "b" } } }, items: { $ref: "b" } },
      "$ref",
      "/items/$ref",
    ],
    [{ $id: "a", items: { $ref: "a#/$defs/none" } }, "$ref", "/items/$ref"],
    [{ $ref: "#/$defs/none" }, "$ref", "/$ref"],
    [{ $ref: "#" }, "$ref", "/$ref"],
    [{ anyOf: [true, { $ref: "#/anyOf/1" }] }, "$ref", "/anyOf/1/$ref"],
    [deep(100), "$ref", `${"/allOf/0".repeat(61)}/$ref`],
    [{ type: "thing" }, "type", "/type"],
    [{ type: "string", pattern: "a(?=b)b" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "(?=a)a|b" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "(?!a|b$)." }, "pattern", "/pattern"],
    [{ type: "string", pattern: "(a)\\1" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "\\bword\\b" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "a^b" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "(a$)*b" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "\\p{L}\\-+" }, "pattern", "/pattern"],
    [{ nullable: true, enum: ["a"] }, "nullable", "/nullable"],
    [{ type: "string", pattern: "[" }, "pattern", "/pattern"],
    [{ type: "string", pattern: "(a+b)+", maxLength: 5000 }, "maxLength", "/maxLength"],
    [{ type: "string", format: "regex" }, "format", "/format"],
    [{ type: "string", minLength: -1 }, "minLength", "/minLength"],
    [{ type: "array", minItems: 5, maxItems: 2 }, "minItems", "/minItems"],
    [{ type: "number", multipleOf: 1e-7 }, "multipleOf", "/multipleOf"],
    [{ type: "number", multipleOf: 0.51 }, "multipleOf", "/multipleOf"],
    [{ type: "number", multipleOf: 0 }, "multipleOf", "/multipleOf"],
    [{ type: "integer", multipleOf: 7, minimum: 8 }, "multipleOf", "/multipleOf"],
    [{ type: "integer", multipleOf: 51 }, "multipleOf", "/multipleOf"],
    [{ type: "number", minimum: 1e-9 }, "minimum", "/minimum"],
    [{ type: "number", minimum: 1e16 }, "minimum", "/minimum"],
    [{ type: "integer", maximum: 1e30 }, "maximum", "/maximum"],
    [{ enum: [] }, "enum", "/enum"],
    [{ enum: [{ a: 1 }], properties: a }, "properties", "/properties"],
    [{ enum: ["abc", 5], maxLength: 2, minimum: 6 }, undefined, ""],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "oneOf", "/oneOf"],
    [{ oneOf: [{ type: "object", properties: a }, { type: "object" }] }, "oneOf", "/oneOf"],
    [{ type: "object", minProperties: 2 }, "minProperties", "/minProperties"],
    [
      { type: "object", properties: a, propertyNames: { pattern: "a" } },
      "propertyNames",
      "/propertyNames",
    ],
    [{ type: "object", propertyNames: { not: {} } }, "not", "/propertyNames/not"],
    [
      { type: "object", patternProperties: { a: true, b: true } },
      "patternProperties",
      "/patternProperties",
    ],
    [
      { type: "object", properties: a, patternProperties: { "^a": true } },
      "patternProperties",
      "/patternProperties",
    ],
    [
      { type: "object", patternProperties: { a: true }, additionalProperties: {} },
      "additionalProperties",
      "/additionalProperties",
    ],
    [{ type: "object", required: "a" }, "required", "/required"],
    [{ allOf: [{ pattern: "^a" }, { pattern: "a.{12}$" }] }, "pattern", "/pattern"],
    [{ allOf: [{ pattern: ["a"] }, { pattern: "b" }] }, "pattern", "/allOf/0/pattern"],
    [{ allOf: [{ pattern: "^a$" }, { pattern: "^b$" }] }, undefined, ""],
    [{ type: "object", properties: { x: 5 } }, undefined, "/properties/x"],
    [false, undefined, ""],
    [{ allOf: [{ type: "string" }, { type: "integer" }] }, undefined, ""],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, undefined, ""],
    [{ type: "integer", minimum: 5, maximum: 4 }, undefined, ""],
  ])("%j", (schema, keyword, pointer) => {
    let error: unknown;
    try {
      compile(schema);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(GrammarError);
    const { data } = error as GrammarError;
    expect([data["keyword"], data["pointer"]]).toEqual([keyword, pointer]);
  });
});
