/** Masks of grammars that nobody would write: rules that nest, begin with themselves or each other, and count. */
import { expect, test } from "vitest";
import { GrammarError } from "../errors.js";
import { allowedTokens, maskOf, random, triedTokens } from "../testing/grammar_walk.js";
import { openGrammars } from "./grammars.js";
import type { CompiledMatcher } from "./matcher.js";
import type { Vocabulary } from "./spec.js";

const LETTERS = "abc(";
/** All texts of one to three letters, and an end. */
const texts = [1, 2, 3].flatMap((length) =>
  Array.from({ length: LETTERS.length ** length }, (_, n) =>
    Array.from({ length }, (_, i) => LETTERS[Math.floor(n / LETTERS.length ** i) % 4]).join(""),
  ),
);
const vocabulary: Vocabulary = {
  size: texts.length + 1,
  stopTokens: [texts.length],
  bytes: (id) => new TextEncoder().encode(texts[id] ?? ""),
  isSpecial: (id) => id === texts.length,
};

/** A grammar of three rules, of which the first is the root. */
function randomGrammar(rng: () => number): string {
  const below = (n: number) => Math.floor(rng() * n);
  const names = ["root", "x", "y"];
  const one = <T>(of: readonly T[]) => of[below(of.length)] as T;
  const letters = () => one([`"${one([...LETTERS])}"`, `"${one(texts)}"`, "[ab]", "[^a]"]);
  const counted = (): string => {
    const [from, more] = [below(3), below(4)];
    const counts = ["", "", "", "+", `{${1 + from},${1 + from + more}}`];
    if (below(5) < 2) return one(names.slice(1)) + one(counts);
    return letters() + one([...counts, "?", "*", `{${from},}`]);
  };
  /** @param begins whether it may begin with a rule; counted or limited, such have more readings than a test has time for */
  const sequence = (begins: boolean) => {
    const first = begins && below(3) === 0 ? one(names.slice(1)) : letters();
    return [first, ...Array.from({ length: below(3) }, counted)].join(" ");
  };
  return names
    .map((name, i) => {
      const limited = i === 2 && below(2) === 0;
      const options = Array.from({ length: 1 + below(3) }, () => sequence(!limited && i < 2));
      // So that most can end.
      if (i > 0) options.push(letters());
      return `${name}${limited ? `[max_chars=${3 + below(8)}]` : ""} ::= ${options.join(" | ")}`;
    })
    .join("\n");
}

test("masks of random grammars are what trying every token finds, at every place that shares a number", async () => {
  const grammars = await openGrammars(vocabulary);
  let [compiled, masks, again] = [0, 0, 0];
  for (let seed = 0; seed < 150; seed++) {
    const rng = random(seed);
    const grammar = randomGrammar(rng);
    let start: CompiledMatcher;
    try {
      start = grammars.compile({ kind: "ebnf", grammar }).matcher() as CompiledMatcher;
    } catch (error) {
      expect(error).toBeInstanceOf(GrammarError);
      continue;
    }
    compiled++;
    const places = new Map<number, string>();
    // Several walks of one grammar: what the first has learnt must hold for the others.
    for (let turn = 0; turn < 3; turn++) {
      const matcher = start.fork() as CompiledMatcher;
      for (let taken = 0; taken < 8; taken++) {
        const allowed = allowedTokens(maskOf(matcher, vocabulary));
        const { place } = matcher;
        const before = places.get(place);
        if (before !== undefined) again++;
        places.set(place, `${allowed}`);
        expect(`${allowed}`, `${grammar}, another walk`).toBe(before ?? `${allowed}`);
        expect(`${allowed}`, `${grammar}, after ${taken} tokens`).toBe(
          `${triedTokens(matcher, vocabulary)}`,
        );
        masks++;
        const next = allowed.filter((id) => id < texts.length);
        if (next.length === 0) break;
        matcher.accept(next[Math.floor(rng() * next.length)] as number);
      }
      matcher.free();
    }
    start.free();
  }
  expect(compiled).toBeGreaterThan(120);
  expect(masks).toBeGreaterThan(1500);
  expect(again).toBeGreaterThan(500);
});
