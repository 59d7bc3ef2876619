import { beforeAll, expect, test } from "vitest";
import { GrammarTwin } from "../testing/grammar_twin.js";
import { grammarVocabulary } from "../testing/grammar_vocabulary.js";
import {
  allowedTokens,
  maskOf,
  observed,
  random,
  triedTokens,
  walk,
} from "../testing/grammar_walk.js";
import { SCHEMAS } from "../testing/schemas.js";
import { prune, type Rules, rule } from "./expression.js";
import { type CompiledGrammars, openGrammars } from "./grammars.js";
import { jsonRules, plainCharacter } from "./json_rules.js";
import { schemaRules } from "./json_schema.js";
import type { CompiledMatcher } from "./matcher.js";
import { regex } from "./regex.js";
import type { GrammarSpec, Vocabulary } from "./spec.js";

const vocabulary = grammarVocabulary();
let grammars: CompiledGrammars;
beforeAll(async () => {
  grammars = await openGrammars(vocabulary);
});

/** What counts: characters and repetitions, near their bounds and far from them, several at once. */
const COUNTED = [
  { type: "array", items: { type: "string", maxLength: 5 }, minItems: 3, maxItems: 9 },
  { anyOf: [4, 11, 7].map((maxLength) => ({ type: "string", maxLength })) },
  { type: "string", minLength: 150, maxLength: 400 },
  { type: "string", pattern: "^([a-z]{2,9} ){1,200}$" },
  { type: "array", items: { type: "integer" }, minItems: 140, maxItems: 160 },
  { type: "array", items: { type: "array", items: { type: "boolean" } }, minItems: 140 },
  { type: "object", additionalProperties: { type: "null" }, minProperties: 1 },
  { type: "object", additionalProperties: { type: "string", maxLength: 9 } },
];

const SPECS: GrammarSpec[] = [
  { kind: "json" },
  ...[...SCHEMAS, ...COUNTED].map(
    (schema): GrammarSpec => ({ kind: "json_schema", schema: JSON.stringify(schema) }),
  ),
  ...[
    "[a-z]+@[a-z]+\\.com",
    "(\\d{1,3}\\.){3}\\d{1,3}",
    '[^"]*',
    "(日本|é|😀)+ok",
    ".{3,8}",
    "\\s*x?",
    "(a|ab)(c|bcd)*",
    "(ab|c){130,}x",
  ].map((pattern): GrammarSpec => ({ kind: "regex", pattern })),
  { kind: "ebnf", grammar: 'root ::= "(" root ")" | [0-9]+ ("+" root)?' },
  {
    kind: "ebnf",
    grammar: 'root ::= "<" a ">" b\na[max_chars=5] ::= [a-z ]*\nb[max_chars=9] ::= ([0-9] | "ab")*',
  },
  { kind: "ebnf", grammar: 'root ::= (a ",")*\na[max_chars=7] ::= [0-9a-z ]* | "q" a "q"' },
  { kind: "ebnf", grammar: 'root ::= ("[" root "]" | [a-z]{130,300}) "x"{0,5}' },
  { kind: "ebnf", grammar: 'root ::= ("if " root " then " root (" else " root)?) | [a-c]' },
  // Rules that begin with each other, and so wait for each other where they begin.
  {
    kind: "ebnf",
    grammar: 'root ::= sum\nsum ::= sum "+" x | x\nx ::= x "*" [0-9] | "(" sum ")" | [0-9]',
  },
  {
    kind: "ebnf",
    grammar: 'root ::= a "."\na ::= b "x" | "p"\nb ::= a "y" | c "z"\nc ::= b "w" | a | "q"',
  },
  {
    kind: "ebnf",
    grammar: 'root ::= a\na[max_chars=9] ::= a "," b | b\nb ::= [a-z] | "(" a ")"',
  },
  { kind: "ebnf", grammar: 'root ::= "(" x ")"\nx[capture="sum"] ::= [0-9]+ ("+" x)?' },
  ...[
    'root ::= "<" a ">" b\na[max_tokens=3] ::= [a-z ]*\nb[max_tokens=2] ::= ([0-9] | "ab")*',
    // A rule whose tokens are used up before it may end goes on, within another one.
    'root ::= (a ",")*\na[max_tokens=4] ::= "q" b "q" | [0-9]{1,30}\nb[max_tokens=2] ::= [a-z]{5,40}',
    'root ::= "[" a "]" root | [a-c]\na[max_tokens=2] ::= b ("," b)*\nb[max_chars=3] ::= [0-9a-z]*',
    'root ::= "(" root ")" | a "." a\na[max_tokens=5] ::= [a-z]+ ("-" a)?',
  ].map((grammar): GrammarSpec => ({ kind: "ebnf", grammar })),
  {
    kind: "structural_tag",
    tag: JSON.stringify({
      type: "structural_tag",
      format: {
        type: "sequence",
        elements: [
          {
            type: "tag",
            begin: "<t>",
            content: { type: "any_text", max_tokens: 4 },
            end: "</t>",
          },
          { type: "regex", pattern: "[0-9]+" },
        ],
      },
    }),
  },
  {
    kind: "structural_tag",
    tag: JSON.stringify({
      type: "structural_tag",
      format: {
        type: "triggered_tags",
        triggers: ["<f"],
        tags: [
          {
            begin: "<f>",
            content: {
              type: "json_schema",
              json_schema: { type: "array", items: { type: "integer" } },
            },
            end: "</f>",
          },
        ],
      },
    }),
  },
];

test("masks are what trying every token finds, computed or known", () => {
  const wrong: unknown[] = [];
  let pairs = 0;
  for (const [i, spec] of SPECS.entries()) {
    const matcher = grammars.compile(spec).matcher() as CompiledMatcher;
    walk(matcher, vocabulary, random(i), 6, (taken) => {
      if (taken % 3 !== 0 || taken > 12) return;
      pairs++;
      const known = allowedTokens(maskOf(matcher, vocabulary));
      const anew = allowedTokens(maskOf({ mask: (into) => matcher.maskAnew(into) }, vocabulary));
      const tried = triedTokens(matcher, vocabulary);
      if (`${known}` !== `${tried}` || `${anew}` !== `${tried}`)
        wrong.push({
          spec: JSON.stringify(spec),
          taken,
          known: known.filter((t) => !tried.includes(t)),
          anew: anew.filter((t) => !tried.includes(t)),
          lacks: tried.filter((t) => !known.includes(t)),
        });
    });
    matcher.free();
  }
  expect(wrong).toEqual([]);
  expect(pairs).toBeGreaterThanOrEqual(300);
});

/** The grammar as our own rules; undefined for those that the engine reads itself. */
function rulesOf(spec: GrammarSpec): Rules | undefined {
  if (spec.kind === "json_schema") return schemaRules(spec.schema);
  if (spec.kind === "json") return prune(jsonRules().set("root", rule("object")), "root");
  if (spec.kind === "regex")
    return prune(new Map([["root", regex(spec.pattern, plainCharacter)]]), "root");
  return undefined;
}

/** Tokens that the twin allows. */
function twins(twin: GrammarTwin, { size, stopTokens, bytes, isSpecial }: Vocabulary): number[] {
  const allowed: number[] = [];
  for (let id = 0; id < size; id++) {
    if (stopTokens.includes(id) ? twin.complete : !isSpecial(id) && bytes(id).length > 0) {
      if (stopTokens.includes(id) || twin.allows(bytes(id))) allowed.push(id);
    }
  }
  return allowed;
}

test("masks are what a matcher finds that has nothing of the engine", () => {
  const wrong: unknown[] = [];
  let pairs = 0;
  for (const [i, spec] of SPECS.entries()) {
    const rules = rulesOf(spec);
    if (!rules) continue;
    const twin = new GrammarTwin(rules);
    const matcher = grammars.compile(spec).matcher();
    const both = observed(matcher, (token) => {
      if (!vocabulary.stopTokens.includes(token)) twin.take(vocabulary.bytes(token));
    });
    walk(both, vocabulary, random(1000 + i), 8, (taken) => {
      if (taken % 2 !== 0 || taken > 24) return;
      pairs++;
      const known = allowedTokens(maskOf(matcher, vocabulary));
      const found = twins(twin, vocabulary);
      if (`${known}` !== `${found}`)
        wrong.push({
          spec: JSON.stringify(spec),
          taken,
          extra: known.filter((t) => !found.includes(t)),
          lacks: found.filter((t) => !known.includes(t)),
        });
    });
    matcher.free();
  }
  expect(wrong).toEqual([]);
  expect(pairs).toBeGreaterThanOrEqual(300);
});

test("places with the same number have the same mask, and tokens lead where they are said to", () => {
  let [led, places, elsewhere] = [0, 0, 0];
  for (const [i, spec] of SPECS.entries()) {
    const matcher = grammars.compile(spec).matcher();
    const masks = new Map<number, string>();
    const seen = () => {
      const mask = `${maskOf(matcher, vocabulary)}`;
      expect(masks.get(matcher.place) ?? mask).toBe(mask);
      masks.set(matcher.place, mask);
    };
    walk(matcher, vocabulary, random(2000 + i), 4, (taken) => {
      seen();
      if (taken % 2 !== 0 || taken > 16) return;
      const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
      const leads = new Int32Array(vocabulary.size);
      matcher.leads(mask, leads);
      expect(mask).toEqual(maskOf(matcher, vocabulary));
      const allowed = allowedTokens(mask);
      leads.forEach((to, token) => {
        if (to !== 0) expect(allowed).toContain(token);
      });
      for (const token of allowed.filter((_, n) => n % 7 === taken % 7)) {
        if (leads[token] === 0 || vocabulary.stopTokens.includes(token)) continue;
        matcher.accept(token);
        led++;
        if (matcher.place !== leads[token]) elsewhere++;
        seen();
        matcher.rollback(1);
      }
    });
    places += masks.size;
    matcher.free();
  }
  expect(places).toBeGreaterThan(500);
  expect(led).toBeGreaterThan(2000);
  // Where something is counted that a token is too short to tell.
  expect(elsewhere / led).toBeLessThan(0.1);
});

test.each([
  [{ type: "array", items: { $ref: "#/$defs/item" } }, "[", ", ", 20],
  [{ type: "array", items: { $ref: "#/$defs/item" }, minItems: 1000 }, "[", ", ", 20],
  [{ type: "object", additionalProperties: { $ref: "#/$defs/item" } }, '{"k": ', ', "k": ', 20],
  [{ type: "array", items: { $ref: "#/$defs/lists" } }, "[[[", "], [", 9],
])("every item of %j is at the same places", (schema, open, between, items) => {
  const item = {
    type: "object",
    properties: { name: { type: "string" }, sizes: { type: "array", items: { type: "integer" } } },
    required: ["name", "sizes"],
    additionalProperties: false,
  };
  const lists = { type: "array", items: { type: "array", items: { $ref: "#/$defs/item" } } };
  const whole = { ...schema, $defs: { item, lists } };
  const matcher = grammars
    .compile({ kind: "json_schema", schema: JSON.stringify(whole) })
    .matcher() as CompiledMatcher;
  const say = (text: string) =>
    [...text].map((character) => {
      expect(matcher.acceptBytes(new TextEncoder().encode(character)), text).toBe(true);
      return matcher.place;
    });
  say(open);
  const value = '{"name": "a\\nb", "sizes": [1, 23]}';
  const first = say(value);
  expect(new Set(first).size).toBeGreaterThan(20);
  for (let i = 1; i < items; i++) {
    say(between);
    expect(say(value)).toEqual(first);
  }
  matcher.free();
});
