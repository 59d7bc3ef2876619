/** A small vocabulary for grammars: every byte, pieces of JSON, words, characters cut in two, a special token and a stop token. */
import type { Vocabulary } from "../grammar/spec.js";

const PIECES = [
  '{"',
  '":',
  '": ',
  '", "',
  '","',
  '"}',
  '"]',
  '},{"',
  "}, {",
  "[]",
  "{}",
  "]}",
  '\\"',
  "\\n",
  "\\u00",
  ":[",
  "\n  ",
  "\n    ",
  ", ",
  "true",
  "false",
  "null",
  "tr",
  "ue",
  "name",
  "age",
  "id",
  "kind",
  "value",
  "the",
  " the",
  "hello",
  "world",
  "é",
  "日本",
  "😀",
  "12",
  "100",
  "2024",
  "-0",
  "0.",
  ".5",
  "e+",
  "E-1",
  "://",
  "@",
  ".com",
  "abc",
  "foo",
  "bar",
  "a",
  " b ",
  "\t\t",
  "  ",
  "x1",
  "]]",
  "}}",
];

export function grammarVocabulary(): Vocabulary & { end: number; special: number } {
  const encoder = new TextEncoder();
  const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (const piece of PIECES) tokens.push(encoder.encode(piece));
  tokens.push(encoder.encode("日").subarray(0, 2), encoder.encode("😀").subarray(1));
  const special = tokens.push(encoder.encode("<|tool|>")) - 1;
  const end = tokens.push(encoder.encode("<|end|>")) - 1;
  tokens.push(new Uint8Array(0)); // a padding row
  return {
    size: tokens.length,
    stopTokens: [end],
    bytes: (id) => tokens[id] ?? new Uint8Array(0),
    isSpecial: (id) => id === special || id === end,
    end,
    special,
  };
}
