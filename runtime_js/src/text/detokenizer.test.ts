import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenizerError } from "../errors.js";
import { IM_END, tinyTokenizer } from "../testing/tiny_pack.js";
import { Detokenizer, detokenize } from "./detokenizer.js";
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
        expect(pieces.filter((piece) => [...piece].length > 1)).toEqual([]);
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

/** What the `tokenizers` package says that tokens decode to; written by builder/tests/test_decodes.py. */
interface Kind {
  name: string;
  tokenizer: TokenizerJson;
  units: number[][];
  begin: string[];
  digests: string[];
}
const { kinds } = JSON.parse(
  readFileSync(new URL("../testing/decodes.json", import.meta.url), "utf8"),
) as { kinds: Kind[] };

/** As in test_decodes.py. */
function* sequences(units: number[][], count: number) {
  let state = 1;
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
  for (let i = 0; i < count; i++) {
    yield Array.from({ length: 1 + below(24) }, () => units[below(units.length)] ?? []).flat();
  }
}

describe.each(kinds)("10,000 random sequences of $name", ({ tokenizer, units, ...said }) => {
  const { bytes } = new Tokenizer(tokenizer, {});

  test("incremental and full detokenisation give the reference's texts", () => {
    const texts = Array.from(sequences(units, 100 * said.digests.length), (ids) => {
      const text = ids.filter((id) => !bytes.isSpecial(id));
      const full = detokenize(bytes, text);
      const streamed = stream(bytes, ids).join("");
      // A stream drops half a character at its end, in which texts differ.
      if (streamed !== full) expect(`${streamed}\ufffd`).toBe(full);
      return full;
    });
    expect(texts).toHaveLength(10_000);
    expect(texts.slice(0, said.begin.length)).toEqual(said.begin);
    const digests = said.digests.map((_, i) => {
      const group = texts.slice(100 * i, 100 * (i + 1)).join("\0");
      return createHash("sha256").update(group).digest("hex").slice(0, 16);
    });
    expect(digests).toEqual(said.digests);
  });
});

test("what goes on with a text keeps its first space", () => {
  for (const { tokenizer, units } of kinds) {
    const { bytes } = new Tokenizer(tokenizer, {});
    const words = units.flat().filter((id) => bytes.of(id)[0] === 0x20);
    expect(words.length).toBeGreaterThan(0);
    for (const id of words) {
      const inside = new TextDecoder().decode(bytes.of(id));
      expect(new Detokenizer(bytes, { continues: true }).push(id)).toBe(inside);
    }
  }
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
