import { afterAll, beforeAll, expect, test } from "vitest";
import { type CompiledGrammars, openGrammars } from "../grammar/grammars.js";
import { grammarVocabulary } from "../testing/grammar_vocabulary.js";
import { Constraint } from "./constraint.js";

const vocabulary = grammarVocabulary();
let grammars: CompiledGrammars;
beforeAll(async () => {
  grammars = await openGrammars(vocabulary);
});
afterAll(() => grammars.close());

/** Tokens from left to right, the longest that fits each. */
function encode(text: string): number[] {
  const known = new Map<string, number>();
  for (let id = 0; id < vocabulary.size; id++) {
    const bytes = vocabulary.bytes(id);
    if (bytes.length > 0) known.set(new TextDecoder("latin1").decode(bytes), id);
  }
  const latin = String.fromCharCode(...new TextEncoder().encode(text));
  const ids: number[] = [];
  for (let at = 0; at < latin.length; ) {
    let size = 8;
    while (!known.has(latin.slice(at, at + size))) size--;
    ids.push(known.get(latin.slice(at, at + size)) as number);
    at += size;
  }
  return ids;
}

/** The tokens of an answer that is jumped through, a draw after each jump, and the sizes of the texts that were encoded. */
function jumped(text: string, spec: Parameters<CompiledGrammars["compile"]>[0], most: number) {
  const sizes: number[] = [];
  const matcher = grammars.compile(spec).matcher();
  const constraint = new Constraint(
    matcher,
    (part) => {
      sizes.push(part.length);
      return encode(part);
    },
    true,
  );
  const whole = encode(text);
  const tokens: number[] = [];
  let jumps = 0;
  while (tokens.length < whole.length && jumps < 100) {
    const forced = constraint.jump(most);
    jumps++;
    tokens.push(...forced);
    const next = whole[tokens.length];
    if (next === undefined) break;
    expect(matcher.accept(next)).toBe(true);
    tokens.push(next);
  }
  constraint.free();
  return { tokens, whole, jumps, sizes };
}

test("a long text that must come is looked at in pieces, and has the tokens that it has as a whole", () => {
  const text = "hello日本abcname".repeat(500);
  const const_ = { kind: "json_schema", schema: JSON.stringify({ const: text }) } as const;
  const { tokens, whole, jumps, sizes } = jumped(`"${text}"`, const_, 100_000);
  expect(tokens).toEqual(whole);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2048);
  expect(jumps).toBeLessThan(10);
  expect(sizes.length).toBeLessThan(2 * jumps + 40);
});

test("a text without end is looked at no further", () => {
  const grammar = 'root ::= "yes" | x\nx ::= "abc" x';
  const { tokens, whole, sizes } = jumped("abc".repeat(40), { kind: "ebnf", grammar }, 10);
  expect(tokens.slice(0, whole.length)).toEqual(whole);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2048);
});
