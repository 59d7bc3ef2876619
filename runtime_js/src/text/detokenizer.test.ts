import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenizerError } from "../errors.js";
import { IM_END, tinyTokenizer } from "../testing/tiny_pack.js";
import { Detokenizer } from "./detokenizer.js";
import { TokenBytes, type TokenizerJson } from "./token_bytes.js";
import { Tokenizer } from "./tokenizer.js";

/** A sentencepiece-like vocabulary: whole pieces, and a byte token for each byte. */
const PIECES = ["▁Hello", "▁world", "你", "😀", "é", "▁", "a▁b", "<0xZZ>"];
const sentencePiece: TokenizerJson = {
  added_tokens: [{ id: 1000, content: "</s>", special: true }],
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
};
const pieceOf = (id: number) =>
  id < 256 ? `<0x${id.toString(16).toUpperCase().padStart(2, "0")}>` : PIECES[id - 256];

const stream = (tokens: TokenBytes, ids: readonly number[]) => {
  const detokenizer = new Detokenizer(tokens);
  return ids.map((id) => detokenizer.push(id));
};

/** Complete text without a trailing unfinished character, as the standard decoder sees it. */
const whole = (bytes: number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes), { stream: true });

describe("Detokenizer", () => {
  const byteLevel = new Tokenizer(tinyTokenizer(), {}).bytes;

  test("any text, byte by byte: no piece splits a character, and together they are the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        const pieces = stream(byteLevel, [...new TextEncoder().encode(text)]);
        expect(pieces.join("")).toBe(text);
        for (const piece of pieces) expect([...piece].length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 2000 },
    );
  });

  test("any bytes at all equal the standard decoder's reading", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(255), { maxLength: 60 }), (bytes) => {
        expect(stream(byteLevel, bytes).join("")).toBe(whole(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  test("emoji and CJK appear whole, with their last byte", () => {
    const ids = [...new TextEncoder().encode("a😀你")];
    expect(stream(byteLevel, ids)).toEqual(["a", "", "", "", "😀", "", "", "你"]);
  });

  test("control tokens are no text", () => {
    expect(stream(byteLevel, [72, IM_END, 105]).join("")).toBe("Hi");
  });

  test("byte-fallback tokens and pieces mix; only the first space is dropped", () => {
    const tokens = new TokenBytes(sentencePiece, pieceOf);
    const emoji = [...new TextEncoder().encode("🦙")];
    const ids = [256, 257, ...emoji, 259, 261, 262, 263];
    expect(stream(tokens, ids)).toEqual([
      "Hello",
      " world",
      "",
      "",
      "",
      "🦙",
      "😀",
      " ",
      "a b",
      "<0xZZ>",
    ]);
  });

  test("sentencepiece fuzz: equals the joined bytes", () => {
    const tokens = new TokenBytes(sentencePiece, pieceOf);
    fc.assert(
      fc.property(fc.array(fc.nat(255 + PIECES.length), { maxLength: 40 }), (ids) => {
        const bytes = ids.flatMap((id) => [...tokens.of(id)]);
        const expected = bytes[0] === 0x20 ? bytes.slice(1) : bytes;
        expect(stream(tokens, ids).join("")).toBe(whole(expected));
      }),
      { numRuns: 2000 },
    );
  });

  test("ids outside the vocabulary are no text", () => {
    expect(stream(byteLevel, [999, 65])).toEqual(["", "A"]);
  });

  test("a decoder of another kind of model is refused by name", () => {
    const json = { added_tokens: [], decoder: { type: "CTC" } };
    expect(() => new TokenBytes(json, () => "")).toThrow(TokenizerError);
    expect(() => new TokenBytes(json, () => "")).toThrow(/CTC/);
  });
});

describe("Tokenizer", () => {
  const tokenizer = new Tokenizer(tinyTokenizer(), {});

  test("text and its tokens are each other's inverse", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (text) => {
        expect(stream(tokenizer.bytes, tokenizer.encode(text)).join("")).toBe(text);
      }),
    );
  });

  test("special tokens in a prompt are single tokens", () => {
    expect(tokenizer.encode("<|im_end|>")).toEqual([IM_END]);
  });

  test("what is no tokenizer is refused by name", () => {
    for (const json of [null, 1, {}, { ...tinyTokenizer(), model: { type: "Nope" } }]) {
      expect(() => new Tokenizer(json, {})).toThrow(TokenizerError);
    }
  });
});
