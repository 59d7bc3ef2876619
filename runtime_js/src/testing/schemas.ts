/** JSON Schemas that answers can be held to, over the features of the language. */

const tree = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: {
        value: { type: "integer" },
        children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 },
      },
      required: ["value"],
      additionalProperties: false,
    },
  },
};
const shape = (kind: string, extra: object) => ({
  type: "object",
  properties: { kind: { const: kind }, ...extra },
  required: ["kind", ...Object.keys(extra)],
});
const name = { type: "string", maxLength: 8 };

export const SCHEMAS: unknown[] = [
  // any value, types, constants
  true,
  {},
  { type: "object" },
  { type: "array" },
  { type: "string" },
  { type: "number" },
  { type: "integer" },
  { type: "boolean" },
  { type: "null" },
  { type: ["string", "null"] },
  { type: ["integer", "boolean", "array"] },
  { const: 5 },
  { const: 'é"\\\n' },
  { const: { a: [1, null] } },
  { enum: ["red", "green", "blue"] },
  { enum: [1, "1", null, true, { b: 2 }] },
  { type: "string", enum: ["a", 1, "b/c"] },
  { enum: ["日本", "😀", "\u2028"] },
  // integers
  { type: "integer", minimum: 0 },
  { type: "integer", maximum: -7 },
  { type: "integer", minimum: 3, maximum: 120 },
  { type: "integer", minimum: -15, maximum: 1004 },
  { type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 10 },
  { type: "integer", minimum: 1.5, maximum: 3.2 },
  { type: "integer", multipleOf: 7 },
  { type: "integer", multipleOf: 5, minimum: 0 },
  { type: "integer", multipleOf: 25, minimum: -100, maximum: 300 },
  { type: "number", multipleOf: 4 },
  { type: "number", multipleOf: 0.01 },
  { type: "number", multipleOf: 0.01, minimum: 0 },
  { type: "number", multipleOf: 0.01, exclusiveMinimum: 0.255, maximum: 99.99 },
  { type: "number", multipleOf: 0.1, exclusiveMaximum: -0.2 },
  { type: "number", multipleOf: 0.1, minimum: 999999999.95 },
  { type: "number", multipleOf: 0.25 },
  { type: "number", multipleOf: 0.05, exclusiveMinimum: 0 },
  { type: "number", multipleOf: 0.5, minimum: 0 },
  { type: "number", multipleOf: 1.5, exclusiveMinimum: -3, maximum: 4.6 },
  { type: "integer", multipleOf: 0.75 },
  { type: "integer", minimum: 9007199254740991 },
  { type: "integer", multipleOf: 7, minimum: 3 },
  { enum: [0.3, 0.35, 2], multipleOf: 0.1 },
  { type: "string", nullable: true, maxLength: 5 },
  { type: "array", uniqueItems: true, items: { enum: ["a", "b", 3, null, { c: 1 }] } },
  {
    type: "array",
    uniqueItems: true,
    items: { $ref: "#/$defs/day" },
    minItems: 2,
    maxItems: 3,
    $defs: { day: { type: "string", enum: ["mo", "tu", "we", "th", "fr", "sa", "su", "mo", 8] } },
  },
  { type: "object", properties: { a: { type: "integer", nullable: false } }, required: ["a"] },
  { type: "string", pattern: "^\\p{L}{2,8}$" },
  { type: "string", pattern: "^[\\p{Lu}\\d_]\\P{L}+$", maxLength: 12 },
  {
    type: "string",
    pattern:
      "^(?=[\\s\\S]*\\p{Extended_Pictographic})[\\p{Extended_Pictographic}\\p{Emoji_Component}]+$",
  },
  { type: "integer", minimum: 999, maximum: 100_000 },
  { type: "integer", minimum: -1000, maximum: -999 },
  // numbers
  { type: "number", minimum: 0 },
  { type: "number", maximum: 0 },
  { type: "number", minimum: -1.5, maximum: 2.25 },
  { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
  { type: "number", minimum: 10.05 },
  { type: "number", exclusiveMaximum: -0.5 },
  { type: "number", minimum: 99.9, maximum: 100.1 },
  { type: "number", exclusiveMinimum: 3, maximum: 3.000001 },
  { type: "number", minimum: -3.4028234663852886e38, maximum: 3.4028234663852886e38 },
  { type: "number", minimum: -1.7976931348623157e308, maximum: 1.7976931348623157e308 },
  { type: "number", minimum: 0, maximum: 1e12 },
  { type: "number", exclusiveMinimum: 1.6e12 },
  { type: "number", minimum: -2.5e9, exclusiveMaximum: -1.5 },
  { enum: [5, 7, 10.5, 15], multipleOf: 5 },
  // strings
  { type: "string", minLength: 3 },
  { type: "string", maxLength: 4 },
  { type: "string", minLength: 2, maxLength: 6 },
  { type: "string", maxLength: 0 },
  { type: "string", pattern: "^[A-Z]{2}-\\d{3}$" },
  { type: "string", pattern: "^(foo|bar)+$" },
  { type: "string", pattern: "ab*c" },
  { type: "string", pattern: "^[^a-z]{1,5}$" },
  { type: "string", pattern: "^\\w+\\s\\S.$" },
  { type: "string", pattern: '^"quoted\\\\"$' },
  { type: "string", pattern: "^[é-ü日😀]{2,4}$" },
  { type: "string", pattern: "^a{2,}|b$", minLength: 1 },
  { type: "string", pattern: "^(?:\\+?[0-9]{1,3} )?(?<rest>\\d{4})$", maxLength: 9 },
  { type: "string", pattern: "^\\u00e9[\\x41-\\x43]\\t?$" },
  // formats
  ...[
    "date",
    "time",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
    "uri-reference",
    "json-pointer",
    "relative-json-pointer",
  ].map((format) => ({ type: "string", format })),
  { type: "string", format: "uuid", minLength: 36 },
  // arrays
  { type: "array", items: { type: "integer" } },
  { type: "array", items: name, minItems: 2, maxItems: 4 },
  { type: "array", items: false },
  { type: "array", maxItems: 0 },
  { type: "array", prefixItems: [{ type: "integer" }, { type: "boolean" }] },
  { type: "array", prefixItems: [{ const: 1 }], items: { type: "null" }, minItems: 2, maxItems: 3 },
  { type: "array", prefixItems: [{ const: 1 }, true], items: false, minItems: 1 },
  { type: "array", items: { type: "array", items: { type: "boolean" }, minItems: 1 }, maxItems: 3 },
  { type: "array", minItems: 3, maxItems: 3, items: { enum: ["a", "b"] } },
  { items: { type: "null" }, minItems: 1 },
  { type: "array", uniqueItems: false, items: {} },
  { type: "array", uniqueItems: true, items: { type: "string" }, maxItems: 1 },
  // objects
  {
    type: "object",
    properties: { name, age: { type: "integer", minimum: 0, maximum: 150 } },
    required: ["name", "age"],
    additionalProperties: false,
  },
  { type: "object", properties: { a: name, b: { type: "boolean" }, c: { type: "null" } } },
  { type: "object", properties: { a: name, b: name, c: name }, required: ["c"] },
  {
    type: "object",
    properties: { a: { type: "integer" } },
    additionalProperties: { type: "boolean" },
  },
  {
    type: "object",
    properties: { ab: { const: 1 }, a: { const: 2 }, é: { const: 3 } },
    additionalProperties: true,
    required: ["ab"],
  },
  { type: "object", additionalProperties: { type: "integer" } },
  { type: "object", additionalProperties: name, maxProperties: 2 },
  { type: "object", additionalProperties: false },
  { type: "object", additionalProperties: { type: "null" }, minProperties: 1 },
  {
    type: "object",
    properties: { a: { type: "null" }, b: { type: "null" }, c: { type: "null" } },
    minProperties: 2,
  },
  {
    type: "object",
    properties: { a: { type: "null" }, b: { type: "null" }, c: { type: "null" } },
    minProperties: 1,
    maxProperties: 2,
    required: ["b"],
  },
  { type: "object", required: ["x", "y"] },
  { type: "object", required: ["x"], additionalProperties: { type: "integer" } },
  {
    type: "object",
    patternProperties: { "^s_[a-z]{1,4}$": { type: "string" } },
    additionalProperties: false,
  },
  {
    type: "object",
    properties: { id: { type: "integer" } },
    patternProperties: { "^x-\\d+$": { type: "boolean" } },
    required: ["id"],
  },
  {
    type: "object",
    propertyNames: { pattern: "^[a-z]{2,5}$" },
    additionalProperties: { type: "integer" },
  },
  {
    type: "object",
    propertyNames: { enum: ["red", "blue"] },
    additionalProperties: { type: "number" },
  },
  { type: "object", propertyNames: { minLength: 2, maxLength: 4 } },
  { type: "object", propertyNames: { format: "date" } },
  { properties: { only: { type: "string" } }, required: ["only"] },
  { type: "object", properties: { never: false, a: { type: "integer" } } },
  {
    type: "object",
    properties: { never: { not: {} }, a: { not: false } },
    additionalProperties: { not: {} },
  },
  {
    type: "object",
    properties: { 'a"b\\': { type: "null" }, "\n": { type: "null" } },
    required: ['a"b\\', "\n"],
  },
  { type: "object", properties: { a: { type: "integer" } }, unevaluatedProperties: false },
  { type: "object", title: "T", description: "d", default: {}, examples: [1], "x-order": 3 },
  // anyOf, oneOf
  { anyOf: [{ type: "integer" }, { type: "string", maxLength: 3 }] },
  { anyOf: [{ const: 1 }, { type: "null" }, false] },
  { oneOf: [{ type: "integer" }, { type: "string" }] },
  {
    oneOf: [
      shape("circle", { radius: { type: "number", minimum: 0 } }),
      shape("square", { side: { type: "integer" } }),
    ],
  },
  {
    $defs: { cat: shape("cat", { lives: { type: "integer" } }), dog: shape("dog", {}) },
    discriminator: { propertyName: "kind", mapping: { cat: "#/$defs/cat", dog: "#/$defs/dog" } },
    oneOf: [{ $ref: "#/$defs/cat" }, { $ref: "#/$defs/dog" }],
  },
  {
    oneOf: [
      { type: "integer", maximum: 3 },
      { type: "integer", minimum: 10 },
    ],
  },
  {
    type: "object",
    properties: { a: { type: "integer" } },
    required: ["a"],
    anyOf: [
      { properties: { b: { type: "boolean" } }, required: ["b"] },
      { properties: { c: { type: "null" } }, required: ["c"] },
    ],
  },
  { type: "string", anyOf: [{ maxLength: 2 }, { pattern: "^x{5}$" }] },
  {
    anyOf: [
      { type: "array", items: { type: "integer" } },
      { type: "object", properties: { items: { type: "array" } } },
    ],
    type: ["array", "object"],
  },
  {
    type: "object",
    properties: { a: { type: "integer" } },
    anyOf: [{ properties: { b: { type: "null" } } }, { properties: { c: { type: "null" } } }],
    unevaluatedProperties: false,
  },
  // allOf
  { allOf: [{ type: "integer" }, { minimum: 5 }, { maximum: 9 }] },
  {
    allOf: [
      { type: "object", properties: { a: name }, required: ["a"] },
      { type: "object", properties: { b: name }, required: ["b"] },
    ],
  },
  {
    allOf: [
      { properties: { a: { type: "integer" } } },
      { properties: { a: { minimum: 3 } }, required: ["a"] },
    ],
    type: "object",
  },
  { allOf: [{ enum: [1, 2, 3] }, { enum: [2, 3, 4] }] },
  {
    type: "object",
    properties: { a: {}, b: {} },
    allOf: [
      { required: ["b"] },
      { properties: { b: { type: "null" } }, additionalProperties: { type: "boolean" } },
    ],
  },
  {
    allOf: [
      { type: "array", items: { type: "integer" } },
      { items: { minimum: 0, maximum: 5 }, minItems: 1 },
      { prefixItems: [{ const: 4 }] },
    ],
  },
  {
    allOf: [
      { anyOf: [{ type: "string" }, { type: "integer" }] },
      { anyOf: [{ type: "integer" }, { type: "null" }] },
    ],
  },
  { allOf: [{ type: ["integer", "string", "null"] }, { type: ["number", "null"] }] },
  { allOf: [{ type: "string", minLength: 2 }, { maxLength: 3 }] },
  // references and recursion
  tree,
  {
    $defs: { s: name },
    type: "object",
    properties: { a: { $ref: "#/$defs/s" }, b: { $ref: "#/$defs/s" } },
    required: ["a"],
  },
  { definitions: { "a/b~c": { type: "boolean" } }, $ref: "#/definitions/a~1b~0c" },
  {
    type: "object",
    properties: { self: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
    required: ["self"],
  },
  {
    $defs: {
      list: {
        anyOf: [
          { type: "null" },
          {
            type: "object",
            properties: { head: { type: "integer" }, tail: { $ref: "#/$defs/list" } },
            required: ["head", "tail"],
          },
        ],
      },
    },
    $ref: "#/$defs/list",
  },
  {
    $defs: { base: { type: "object", properties: { id: { type: "integer" } }, required: ["id"] } },
    allOf: [{ $ref: "#/$defs/base" }, { properties: { label: name }, required: ["label"] }],
  },
  { $defs: { n: { type: "integer" } }, $ref: "#/$defs/n", minimum: 3, maximum: 5 },
  {
    $defs: {
      a: { type: "array", items: { $ref: "#/$defs/b" } },
      b: { anyOf: [{ type: "boolean" }, { $ref: "#/$defs/a" }] },
    },
    $ref: "#/$defs/a",
  },
  {
    type: "object",
    properties: { expression: { $ref: "#/$defs/e" } },
    required: ["expression"],
    $defs: {
      e: {
        anyOf: [
          { type: "number" },
          {
            type: "object",
            properties: {
              op: { enum: ["+", "*"] },
              left: { $ref: "#/$defs/e" },
              right: { $ref: "#/$defs/e" },
            },
            required: ["op", "left", "right"],
          },
        ],
      },
    },
  },
  {
    $id: "Tree",
    type: "object",
    properties: {
      leaf: { type: "boolean" },
      trees: { type: "array", items: { $ref: "Tree" }, maxItems: 2 },
    },
    required: ["leaf"],
  },
  {
    $defs: {
      Link: { $id: "Link", type: "object", properties: { next: { $ref: "Link" } } },
      no: { $anchor: "n", type: "null" },
    },
    anyOf: [{ $ref: "Link" }, { $ref: "#n" }],
  },
  {
    $id: "https://example.org/whole.json",
    $defs: { part: { $id: "part.json", type: "object", properties: { "a/b": { type: "null" } } } },
    type: "array",
    prefixItems: [
      { $ref: "part.json" },
      { $ref: "https://example.org/part.json#/properties/a~1b" },
    ],
    minItems: 2,
  },
  // what a tool or a form looks like
  {
    type: "object",
    properties: {
      city: name,
      unit: { type: "string", enum: ["celsius", "fahrenheit"] },
      days: { type: ["integer", "null"], minimum: 1, maximum: 14 },
    },
    required: ["city", "unit", "days"],
    additionalProperties: false,
  },
  {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: {
      steps: {
        type: "array",
        items: {
          type: "object",
          properties: { explanation: name, output: name },
          required: ["explanation", "output"],
          additionalProperties: false,
        },
        maxItems: 2,
      },
      answer: name,
    },
    required: ["steps", "answer"],
    additionalProperties: false,
  },
];
