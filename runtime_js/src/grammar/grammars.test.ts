import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GrammarError } from "../errors.js";
import { grammarVocabulary } from "../testing/grammar_vocabulary.js";
import { allowedTokens, maskOf, observed, random, walk } from "../testing/grammar_walk.js";
import { SCHEMAS } from "../testing/schemas.js";
import type { Core } from "./core.js";
import { type CompiledGrammars, openGrammars } from "./grammars.js";
import type { CompiledMatcher } from "./matcher.js";
import type { GrammarSpec, Matcher } from "./spec.js";

const vocabulary = grammarVocabulary();
let grammars: CompiledGrammars;
beforeAll(async () => {
  grammars = await openGrammars(vocabulary);
});
afterAll(() => grammars.close());

const regex = (pattern: string): GrammarSpec => ({ kind: "regex", pattern });
const type = (matcher: Matcher, text: string) =>
  [...new TextEncoder().encode(text)].every((byte) => matcher.accept(byte));
const tokensOf = (matcher: Matcher) => allowedTokens(maskOf(matcher, vocabulary));

test("a token that isn't allowed changes nothing; stop tokens are allowed at the end", () => {
  const matcher = grammars.compile(regex("ab?")).matcher();
  expect([
    matcher.accept(0x62),
    matcher.accept(vocabulary.special),
    matcher.accept(vocabulary.end),
  ]).toEqual([false, false, false]);
  expect([matcher.accept(-1), matcher.accept(vocabulary.size)]).toEqual([false, false]);
  expect(matcher.accept(0x61)).toBe(true);
  expect(tokensOf(matcher)).toEqual([0x62, vocabulary.end]);
  expect(matcher.terminated).toBe(false);
  expect(matcher.accept(0x62)).toBe(true);
  expect(matcher.terminated).toBe(true);
  expect(tokensOf(matcher)).toEqual([vocabulary.end]);
  expect(matcher.accept(vocabulary.end)).toBe(true);
  expect([
    tokensOf(matcher),
    matcher.terminated,
    matcher.forced(1000),
    matcher.accept(0x61),
  ]).toEqual([[], true, "", false]);
  matcher.rollback(2);
  expect(tokensOf(matcher)).toEqual([0x62, vocabulary.end]);
  matcher.free();
  expect(() => matcher.forced(1000)).toThrow("freed");
});

test("a structural tag may name a special token, by id or name; nothing else lets one through", () => {
  const tag = (format: unknown): GrammarSpec => ({
    kind: "structural_tag",
    tag: JSON.stringify({ type: "structural_tag", format }),
  });
  for (const token of [vocabulary.special, "<|tool|>"]) {
    const matcher = grammars
      .compile(
        tag({
          type: "sequence",
          elements: [
            { type: "token", token },
            { type: "regex", pattern: "x+" },
          ],
        }),
      )
      .matcher();
    expect(tokensOf(matcher)).toEqual([vocabulary.special]);
    expect(matcher.accept(vocabulary.special)).toBe(true);
    expect(tokensOf(matcher)).toEqual([0x78]);
    matcher.free();
  }
  const triggered = {
    type: "triggered_tags",
    triggers: ["<f"],
    tags: [{ begin: "<f>", content: { type: "any_text" }, end: "</f>" }],
  };
  for (const free of [regex("[^]*"), tag({ type: "any_text" }), tag(triggered)]) {
    const matcher = grammars.compile(free).matcher();
    expect(tokensOf(matcher)).toContain(0x61);
    expect(tokensOf(matcher)).not.toContain(vocabulary.special);
    expect(matcher.accept(vocabulary.special)).toBe(false);
    matcher.free();
  }
});

test("a limit on tokens counts tokens, whatever bytes they have", () => {
  const decoder = new TextDecoder("latin1");
  const texts = Array.from({ length: vocabulary.size }, (_, id) =>
    vocabulary.isSpecial(id) || id === vocabulary.end ? "" : decoder.decode(vocabulary.bytes(id)),
  );
  const MOST = 3;
  const grammar = `root ::= "<" a ">"\na[max_tokens=${MOST}] ::= [a-z]*`;
  let over = 0;
  for (let seed = 0; seed < 40; seed++) {
    const matcher = grammars.compile({ kind: "ebnf", grammar }).matcher();
    let [text, inside] = ["", 0]; // tokens since the first one, which is outside
    walk(
      observed(matcher, (token) => {
        text += texts[token];
        inside++;
      }),
      vocabulary,
      random(seed),
      8,
      () => {
        const spent = text !== "" && !text.endsWith(">") && inside > MOST;
        if (spent) over++;
        const expected = texts.flatMap((more, id) => {
          if (id === vocabulary.end) return text.endsWith(">") ? [id] : [];
          const fits = more !== "" && /^<[a-z]*>?$/.test(text + more);
          return fits && (!spent || more === ">") ? [id] : [];
        });
        expect(tokensOf(matcher)).toEqual(expected);
      },
    );
    matcher.free();
  }
  expect(over).toBeGreaterThan(5);
});

test("captures mean nothing here; what hides parts of them is refused by name", () => {
  const plain = grammars.compile({ kind: "ebnf", grammar: 'root ::= x "."\nx ::= [0-9]+' });
  const named = 'root ::= x "."\nx[capture="number"] ::= [0-9]+';
  const [a, b] = [plain.matcher(), grammars.compile({ kind: "ebnf", grammar: named }).matcher()];
  for (const c of "12.") {
    expect(tokensOf(b)).toEqual(tokensOf(a));
    expect([type(a, c), type(b, c)]).toEqual([true, true]);
  }
  const hidden = 'root ::= x "."\nx[capture="number", capture_hidden_suffix_bytes=1] ::= [0-9]+';
  expect(() => grammars.compile({ kind: "ebnf", grammar: hidden })).toThrow(
    /rule x hides a part of what it captures/,
  );
});

test("what is forced is the only way on", () => {
  const spec: GrammarSpec = {
    kind: "json_schema",
    schema: JSON.stringify({
      type: "object",
      properties: { city: { enum: ["Zürich", "Zug"] }, n: { const: 12 } },
      required: ["city", "n"],
      additionalProperties: false,
    }),
  };
  const matcher = grammars.compile(spec).matcher() as CompiledMatcher;
  let forced = 0;
  for (let at = 0; !matcher.terminated && at < 100; at++) {
    const text = matcher.forced(1000);
    for (const byte of new TextEncoder().encode(text)) {
      forced++;
      // Every token that is allowed begins with that byte.
      for (const token of tokensOf(matcher)) expect(vocabulary.bytes(token)[0]).toBe(byte);
      expect(matcher.accept(byte)).toBe(true);
    }
    const tokens = tokensOf(matcher).filter((token) => token < 256);
    if (!matcher.terminated) expect(matcher.accept(tokens.at(-1) as number)).toBe(true);
  }
  expect(matcher.terminated).toBe(true);
  expect(forced).toBeGreaterThan(10);
  matcher.free();
});

test("what is forced is told up to so many bytes, and whole characters, however much there is", () => {
  const matcher = grammars.compile(regex("a{5000}(é|é日){3}x")).matcher();
  const before = tokensOf(matcher);
  expect(matcher.forced(100)).toBe("a".repeat(100));
  expect(matcher.forced(5003)).toBe(`${"a".repeat(5000)}é`);
  expect(matcher.forced(9999)).toBe(`${"a".repeat(5000)}é`);
  expect(tokensOf(matcher)).toEqual(before);
  matcher.free();
  const memory = grammars.memoryBytes;
  const endless: GrammarSpec = { kind: "ebnf", grammar: 'root ::= "yes" | x\nx ::= "a" x' };
  for (const spec of [endless, regex("(a{10000}){10000}")]) {
    const matcher = grammars.compile(spec).matcher();
    expect(matcher.accept(0x61)).toBe(true);
    expect(matcher.forced(3000)).toBe("a".repeat(3000));
    matcher.free();
  }
  expect(grammars.memoryBytes - memory).toBeLessThan(64 << 20);
});

test.each([
  'root ::= "a" root',
  "root ::= root",
  'root ::= x "b"\nx ::= "a" y\ny ::= "c" x',
  'root ::= "a" x{2,3}\nx ::= "b" x | x "c"',
  'root ::= "a" x+\nx ::= "b" root',
])("a grammar that no text which ends matches is refused: %s", (grammar) => {
  const never = /no text that ever ends matches the grammar/;
  expect(() => grammars.compile({ kind: "ebnf", grammar })).toThrow(never);
  const tag = JSON.stringify({ type: "structural_tag", format: { type: "grammar", grammar } });
  expect(() => grammars.compile({ kind: "structural_tag", tag })).toThrow(never);
});

test.each([
  ['root ::= root "a" | "a"', "aaa"],
  ['root ::= "b" x* "c"\nx ::= "a" x', "bc"],
  ['root ::= "b" x{0,200} "c"\nx ::= "a" x', "bc"],
  ['root ::= "a" | x\nx ::= "b" x', "a"],
  ['root ::= "(" root ")" | ""', "(())"],
])("one that some text matches is not: %s", (grammar, text) => {
  const matcher = grammars.compile({ kind: "ebnf", grammar }).matcher();
  expect([type(matcher, text), matcher.accept(vocabulary.end)]).toEqual([true, true]);
  matcher.free();
});

test("a token that is looked at and taken back leaves no trace in the places after another", () => {
  const any: GrammarSpec = { kind: "json_schema", schema: JSON.stringify({ type: "object" }) };
  const compiled = grammars.compile(any);
  for (let seed = 0; seed < 20; seed++) {
    const rng = random(seed);
    const matcher = compiled.matcher();
    const tokens: number[] = [];
    for (let i = 0; i < 30 && !matcher.terminated; i++) {
      const allowed = tokensOf(matcher).filter((token) => token !== vocabulary.end);
      const one = () => allowed[Math.floor(rng() * allowed.length)] as number;
      if (allowed.length === 0) break;
      expect(matcher.accept(one())).toBe(true);
      expect(matcher.place).toBeGreaterThan(0);
      matcher.rollback(1);
      const token = one();
      expect(matcher.accept(token)).toBe(true);
      tokens.push(token);
      const fresh = compiled.matcher();
      for (const id of tokens) fresh.accept(id);
      expect(tokensOf(matcher), `after ${tokens}`).toEqual(tokensOf(fresh));
      expect(matcher.place).toBe(fresh.place);
      fresh.free();
    }
    matcher.free();
  }
});

test("forks and rollbacks: a matcher stands where its tokens say, however they came", () => {
  let checked = 0;
  for (let seed = 0; seed < 25; seed++) {
    const rng = random(seed);
    const schema = SCHEMAS[Math.floor(rng() * SCHEMAS.length)];
    const grammar = grammars.compile({ kind: "json_schema", schema: JSON.stringify(schema) });
    let matcher = grammar.matcher();
    let tokens: number[] = [];
    for (let event = 0; event < 20; event++) {
      const what = rng();
      if (what < 0.2 && tokens.length > 0) {
        const back = 1 + Math.floor(rng() * tokens.length);
        matcher.rollback(back);
        tokens = tokens.slice(0, -back);
      } else if (what < 0.4) {
        const fork = matcher.fork();
        const [next] = tokensOf(matcher);
        if (next !== undefined) matcher.accept(next);
        matcher.free();
        matcher = fork;
      } else {
        const allowed = tokensOf(matcher).filter((token) => token !== vocabulary.end);
        const token = allowed[Math.floor(rng() * allowed.length)];
        if (token === undefined) continue;
        expect(matcher.accept(token)).toBe(true);
        tokens.push(token);
      }
      const anew = grammar.matcher();
      for (const token of tokens) expect(anew.accept(token)).toBe(true);
      expect([tokensOf(matcher), matcher.forced(1000), matcher.terminated]).toEqual([
        tokensOf(anew),
        anew.forced(1000),
        anew.terminated,
      ]);
      anew.free();
      checked++;
    }
    matcher.free();
  }
  expect(checked).toBeGreaterThan(250);
});

test("compiled once, whoever asks", () => {
  const spec: GrammarSpec = { kind: "json_schema", schema: JSON.stringify(SCHEMAS.at(-1)) };
  const before = grammars.compilations;
  for (let n = 0; n < 3; n++)
    grammars
      .compile({ ...spec })
      .matcher()
      .free();
  expect(grammars.compilations).toBe(before + 1);
});

test("few grammars are kept; one that was forgotten is compiled again, its matchers go on", async () => {
  const small = await openGrammars(vocabulary, { cacheBytes: 1 });
  const first = small.compile(regex("a+"));
  const matcher = first.matcher();
  expect(type(matcher, "a")).toBe(true);
  small.compile(regex("b+"));
  expect(type(matcher, "aa")).toBe(true);
  matcher.free();
  const later = first.matcher();
  expect([small.compilations, type(later, "aab")]).toEqual([3, false]);
  small.close();
  expect(() => small.compile(regex("c"))).toThrow("closed");
});

test("memory comes back: three hundred grammars and matchers take little more than the first hundred", async () => {
  const small = await openGrammars(vocabulary, { cacheBytes: 1 });
  const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
  const use = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const matcher = small.compile(regex(`x{${i}}`)).matcher();
      matcher.mask(mask);
      matcher.fork().free();
      matcher.free();
    }
    return small.memoryBytes;
  };
  const first = use(0, 100);
  expect(use(100, 300)).toBeLessThanOrEqual(first * 1.2);
  small.close();
});

test("a grammar that nests too deep ends itself alone", () => {
  const going = grammars.compile(regex("[a-z]+")).matcher();
  expect(type(going, "abc")).toBe(true);
  for (const text of [
    `root ::= ${"(".repeat(5000)}"a"${")".repeat(5000)}`,
    `root ::= ${'("a" '.repeat(199)}${")".repeat(199)}`,
    `root ::= ${'"a" | '.repeat(20_000)} "b"`,
  ]) {
    try {
      grammars.compile({ kind: "ebnf", grammar: text });
    } catch (error) {
      expect(error).toBeInstanceOf(GrammarError);
    }
  }
  expect(type(going, "def")).toBe(true);
  expect(tokensOf(going)).toContain(0x61);
  going.free();
  grammars.compile(regex("later")).matcher().free();
});

describe("an engine without memory is left to those who have matchers of it", () => {
  /** Takes all memory but `left` bytes, which the engine may use once. */
  function exhaust({ compiled: { core } }: { compiled: { core: Core } }, left: number): void {
    const room = core.call.malloc(left);
    for (let size = 256 << 20; size >= 16; size >>= 1) while (core.call.malloc(size) !== 0);
    core.call.free(room);
  }
  const insides = (matcher: Matcher) => matcher as unknown as { compiled: { core: Core } };
  const going = regex("[a-z]+x{3,200}é");
  const large = regex("(abc|def){1,90}".repeat(100));

  test.each([
    ["compiles", 0],
    ["compiles", 1 << 16],
    ["reads", 0],
  ])("when it %s, with %i bytes", async (what, left) => {
    const small = await openGrammars(vocabulary);
    const matcher = small.compile(going).matcher();
    expect(type(matcher, "abc")).toBe(true);
    exhaust(insides(matcher), left);
    expect(small.memoryBytes).toBeGreaterThan(500 << 20);
    const failing = () => {
      if (what === "compiles") small.compile(large);
      for (let n = 0; n < 10_000; n++) matcher.accept(0x61);
    };
    expect(failing).toThrow(/memory/);
    expect(small.memoryBytes).toBe(0);
    const anew = small.compile(going).matcher();
    expect(insides(anew).compiled.core).not.toBe(insides(matcher).compiled.core); // not what was kept
    expect(type(anew, "abcxxx")).toBe(true);
    expect(small.memoryBytes).toBeLessThan(64 << 20);
    small.compile(large);
    matcher.free();
    small.close();
  });
});

test("2,000 broken or random grammars: each compiles, or says why not, and the engine goes on", () => {
  const rng = random(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(rng() * from.length)] as T;
  const seeds: GrammarSpec[] = [
    ...SCHEMAS.slice(0, 60).map(
      (schema): GrammarSpec => ({ kind: "json_schema", schema: JSON.stringify(schema) }),
    ),
    ...["a(b|c)*[d-f]{2,3}", "^\\d+(\\.\\d+)?$", "[^\\s]+@x", "(?:a|b)\\u0041"].map(regex),
    { kind: "ebnf", grammar: 'root ::= "a" b*\nb ::= [0-9]+ | "(" root ")"' },
    {
      kind: "structural_tag",
      tag: JSON.stringify({ type: "structural_tag", format: { type: "const_string", value: "x" } }),
    },
  ];
  const field = {
    json: "",
    json_schema: "schema",
    regex: "pattern",
    ebnf: "grammar",
    structural_tag: "tag",
  } as const;
  const bits = [
    '"',
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "\\",
    "::=",
    "root",
    "a",
    "0",
    "-",
    "^",
    ",",
    ":",
    "null",
    "\n",
    "é",
    "{2,}",
    "(?",
    "\\u12",
    "#",
    "$ref",
    "//",
  ];
  const known = regex("[ab]{3}");
  let [compiled, refused] = [0, 0];
  for (let n = 0; n < 2000; n++) {
    const seed = pick(seeds);
    const key = field[seed.kind];
    let text = (seed as unknown as Record<string, string>)[key] as string;
    for (let edits = 1 + Math.floor(rng() * 4); edits > 0; edits--) {
      const at = Math.floor(rng() * (text.length + 1));
      text =
        text.slice(0, at) +
        (rng() < 0.7 ? pick(bits) : "") +
        text.slice(at + Math.floor(rng() * 3));
    }
    if (rng() < 0.2)
      text = Array.from({ length: Math.floor(rng() * 12) }, () => pick(bits)).join("");
    try {
      const matcher = grammars
        .compile({ kind: seed.kind, [key]: text } as unknown as GrammarSpec)
        .matcher();
      walk(matcher, vocabulary, rng, 0, (taken) => {
        if (taken > 5) throw new GrammarError("long enough", {});
      });
      matcher.free();
      compiled++;
    } catch (error) {
      if (!(error instanceof GrammarError) && !/nothing is allowed/.test(String(error)))
        throw new Error(`${seed.kind} ${text}: ${String(error)}`);
      refused++;
    }
    if (n % 100 === 0) {
      const matcher = grammars.compile(known).matcher();
      expect([type(matcher, "aba"), matcher.terminated]).toEqual([true, true]);
      matcher.free();
    }
  }
  expect(compiled).toBeGreaterThan(50);
  expect(refused).toBeGreaterThan(500);
});
