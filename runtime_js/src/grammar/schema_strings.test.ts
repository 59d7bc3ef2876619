import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { GrammarError } from "../errors.js";
import { grammarVocabulary } from "../testing/grammar_vocabulary.js";
import { random, walk } from "../testing/grammar_walk.js";
import { type CompiledGrammars, openGrammars } from "./grammars.js";

const vocabulary = grammarVocabulary();
let grammars: CompiledGrammars;
beforeAll(async () => {
  grammars = await openGrammars(vocabulary);
});

/** Answers that are drawn within the grammar of a schema of strings. */
function draws(schema: unknown, count: number): string[] {
  const grammar = grammars.compile({ kind: "json_schema", schema: JSON.stringify(schema) });
  return Array.from({ length: count }, (_, n) => {
    const matcher = grammar.matcher();
    const answer = walk(matcher, vocabulary, random(n), 4 * n, () => {}, '"@.x0');
    matcher.free();
    if (!answer) throw new Error("no end");
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(answer)) as string;
  });
}

function allows(schema: unknown, text: string): boolean {
  const grammar = grammars.compile({ kind: "json_schema", schema: JSON.stringify(schema) });
  const matcher = grammar.matcher();
  const bytes = new TextEncoder().encode(JSON.stringify(text));
  const taken = [...bytes].every((byte) => matcher.accept(byte)) && matcher.accept(vocabulary.end);
  matcher.free();
  return taken;
}

function refusal(schema: unknown): unknown {
  try {
    grammars.compile({ kind: "json_schema", schema: JSON.stringify(schema) });
  } catch (error) {
    expect(error).toBeInstanceOf(GrammarError);
    return (error as GrammarError).data["pointer"];
  }
  return undefined;
}

const ZOD: Record<string, z.ZodType> = {
  email: z.email(),
  html5Email: z.email({ pattern: z.regexes.html5Email }),
  rfc5322Email: z.email({ pattern: z.regexes.rfc5322Email }),
  unicodeEmail: z.email({ pattern: z.regexes.unicodeEmail }),
  uuid: z.uuid(),
  uuidv4: z.uuidv4(),
  uuidv6: z.uuidv6(),
  uuidv7: z.uuidv7(),
  guid: z.guid(),
  hostname: z.hostname(),
  nanoid: z.nanoid(),
  cuid: z.cuid(),
  cuid2: z.cuid2(),
  ulid: z.ulid(),
  xid: z.xid(),
  ksuid: z.ksuid(),
  ipv4: z.ipv4(),
  ipv6: z.ipv6(),
  mac: z.mac(),
  cidrv4: z.cidrv4(),
  cidrv6: z.cidrv6(),
  base64: z.base64(),
  base64url: z.base64url(),
  e164: z.e164(),
  hex: z.hex(),
  md5: z.hash("md5"),
  sha256: z.hash("sha256", { enc: "base64" }),
  datetime: z.iso.datetime(),
  offset: z.iso.datetime({ offset: true }),
  local: z.iso.datetime({ local: true }),
  precise: z.iso.datetime({ precision: 3 }),
  date: z.iso.date(),
  time: z.iso.time(),
  minutes: z.iso.time({ precision: -1 }),
  duration: z.iso.duration(),
  url: z.url(),
  startsWith: z.string().startsWith('a"b'),
  endsWith: z.string().endsWith("x."),
  includes: z.string().includes("x"),
  includesLater: z.string().includes("x", { position: 2 }),
  lowercase: z.string().lowercase(),
  uppercase: z.string().uppercase(),
  template: z.templateLiteral(["v", z.number()]),
  named: z.stringFormat("cool", /^c+$/),
  regex: z.string().regex(/^[a-z]+$/),
  minAndRegex: z
    .string()
    .min(2)
    .regex(/^[a-z]+$/),
  bothAndRegex: z
    .string()
    .min(2)
    .max(4)
    .regex(/^[a-z"]+$/),
  maxAndStart: z.string().startsWith("ab").max(6),
  longEmail: z.email().max(254),
  shortEmail: z.email().max(20),
  startAndEnd: z.string().startsWith("0x").endsWith("0"),
  startAndRegex: z
    .string()
    .startsWith("x0")
    .regex(/^[a-z\d]+$/),
  includesTwice: z.string().includes("x").includes("0").max(40),
  emailOfOne: z.email().endsWith("@x.com"),
  longUrl: z.url().max(2048),
  trimmed: z.string().trim(),
  length: z.string().length(3),
  nonempty: z.string().nonempty(),
  record: z.record(z.uuid(), z.number()),
  emoji: z.emoji(),
  letters: z
    .string()
    .regex(/^\p{L}+$/u)
    .max(9),
};

function validator(schema: object) {
  const options = { strict: false, validateFormats: false };
  try {
    return new Ajv2020(options).compile(schema);
  } catch {
    // one of the patterns is of the older syntax
    return new Ajv2020({ ...options, unicodeRegExp: false }).compile(schema);
  }
}

test.each(Object.entries(ZOD))("values of zod's %s", (_, type) => {
  const validate = validator(z.toJSONSchema(type));
  for (const text of draws(z.toJSONSchema(type), 12)) {
    expect(validate(text), JSON.stringify(text)).toBe(true);
    expect(type.safeParse(text).success, JSON.stringify(text)).toBe(true);
  }
});

test.each<[string, z.ZodType, string]>([
  ["a format without a pattern that isn't known", z.jwt(), "/format"],
  ["a length over several open parts", z.url().max(40), "/maxLength"],
])("zod's %s is refused by name", (_, type, pointer) => {
  expect(refusal(z.toJSONSchema(type))).toBe(pointer);
});

describe("a pattern and a format", () => {
  test("the pattern is held to, whatever the format is called", () => {
    for (const format of ["date", "nobody-knows", 5]) {
      const schema = { type: "string", pattern: "^20\\d\\d-01-01$", format };
      expect([allows(schema, "2024-01-01"), allows(schema, "1999-01-01")]).toEqual([true, false]);
    }
  });

  test("the format is, where the pattern can't be and says no more", () => {
    const schema = { type: "string", pattern: "^(?!.*(?=/))[^]*$", format: "date" };
    expect([allows(schema, "2024-02-29"), allows(schema, "2023-02-29")]).toEqual([true, false]);
  });

  test("so it is for the emails of zod 4.0, which look ahead", () => {
    const pattern = `^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$`;
    const schema = { type: "string", format: "email", pattern };
    for (const text of draws(schema, 12)) expect(text).toMatch(new RegExp(pattern));
    expect([allows(schema, "a.b@c.de"), allows(schema, "a..b@c.de")]).toEqual([true, false]);
  });

  test.each<[unknown, string]>([
    [{ type: "string", pattern: "(?<=2024)", format: "date" }, "/pattern"], // says more
    [{ type: "string", pattern: "(?<=a)", format: "nobody-knows" }, "/pattern"],
    [{ type: "string", pattern: "(", format: "date" }, "/pattern"],
    [{ type: "string", pattern: 5, format: "date" }, "/pattern"],
  ])("%j is refused", (schema, pointer) => expect(refusal(schema)).toBe(pointer));
});

test("lengths beside a pattern are counted in characters, escapes as one", () => {
  const schema = { type: "string", pattern: '^(a["\\n]*|[xy]{1,3}|(12)+)$', minLength: 3 };
  const bounded = { ...schema, maxLength: 4 };
  const texts = ["a", 'a"', 'a"\n', 'a"\n"', 'a"\n""', "xy", "xyx", "12", "1212", "121212"];
  expect(texts.filter((text) => allows(schema, text))).toEqual(
    texts.filter((text) => text.length >= 3),
  );
  expect(texts.filter((text) => allows(bounded, text))).toEqual(
    texts.filter((text) => text.length >= 3 && text.length <= 4),
  );
  expect(refusal({ type: "string", pattern: "^a+$", minLength: 3, maxLength: 2 })).toBe(
    "/minLength",
  );
  expect(refusal({ type: "string", pattern: "^aa$", minLength: 3 })).toBe("");
  const open = { type: "string", pattern: "^(ab?)+b+$", minLength: 3, maxLength: 5 };
  const ofOpen = ["ab", "abb", "aab", "ababb", "aaaab", "abbbbb", "aba"];
  expect(ofOpen.filter((text) => allows(open, text))).toEqual(["abb", "aab", "ababb", "aaaab"]);
  expect(refusal({ ...open, maxLength: 5000 })).toBe("/minLength");
});

test("of a long URL no part is cut short before others", () => {
  const schema = { type: "string", format: "uri", minLength: 1, maxLength: 2083 }; // pydantic's HttpUrl
  const path = `https://a.example.org/${"long-name/".repeat(10)}`;
  const texts = [path, `${path}?q=${"x".repeat(100)}#end`, "http://a"];
  expect(texts.map((text) => allows(schema, text))).toEqual([true, true, true]);
  expect(allows(schema, `${path}${"y".repeat(2083)}`)).toBe(false);
});

describe("patterns together, and lookaheads", () => {
  const allOf = [{ pattern: "^a" }, { pattern: "b$" }, { pattern: 'c"\\n' }];
  test.each<[object, string[], string[]]>([
    [{ allOf }, ['ac"\nb', 'aé\nc"\n\nxb'], ['ac"\n', 'bc"\nb', "ab"]],
    [{ allOf: [{ pattern: "a" }, { pattern: "b" }], maxLength: 3 }, ["ab", "bxa"], ["aa", "axxb"]],
    [{ pattern: "^(?=.*\\d)(?=.*[a-z]).{4,6}$" }, ["abc1", "1AAAAb"], ["abcd", "a1", "abcdef1"]],
    [{ pattern: "^(?!.*--)[a-z-]+$" }, ["a-b-c", "-"], ["a--b", ""]],
    [
      { pattern: "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$" },
      ["-1.5", "0", ".5"],
      ["", "-", "+.", "1.5.2"],
    ], // pydantic's Decimal
    [{ pattern: "^(?=a$|b$)[^]" }, ["a", "b"], ["c", "ab"]],
    [{ pattern: "^(?=2024)", format: "date" }, ["2024-02-29"], ["2023-01-01", "2024"]],
  ])("%j", (schema, valid, invalid) => {
    const typed = { type: "string", ...schema };
    expect(valid.filter((text) => !allows(typed, text))).toEqual([]);
    expect(invalid.filter((text) => allows(typed, text))).toEqual([]);
  });

  test("say which of listed values are left", () => {
    const values = { enum: ["a-b", "c-d", "x"], pattern: "^[a-z]\\-[a-z]$" }; // \- is of the older syntax
    expect(allows(values, "a-b")).toBe(true);
    expect(allows(values, "x")).toBe(false);
  });
});
