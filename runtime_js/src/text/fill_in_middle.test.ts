import { describe, expect, test } from "vitest";
import { InvalidRequestError } from "../errors.js";
import { tinyTokenizer } from "../testing/tiny_pack.js";
import { fillInMiddle } from "./fill_in_middle.js";
import { Tokenizer } from "./tokenizer.js";

const token = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** The tiny tokenizer, a token for each byte, with more control tokens, from 258 on. */
function withTokens(...contents: string[]): Tokenizer {
  const json = tinyTokenizer();
  const added = contents.map((content, i) => token(258 + i, content));
  return new Tokenizer({ ...json, added_tokens: [...json.added_tokens, ...added] }, {});
}

const bytes = (text: string) => [...new TextEncoder().encode(text)];

describe("fillInMiddle", () => {
  const [before, after] = [bytes("def f("), bytes("return x")];
  const [first, second, third, fourth] = [258, 259, 260, 261];

  test.each([
    ["Qwen2.5-Coder", ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"]],
    ["StarCoder", ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>"]],
    ["SantaCoder", ["<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<|endoftext|>"]],
    [
      "DeepSeek Coder",
      ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜end▁of▁sentence｜>"],
    ],
    ["Code Llama", ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]],
  ])("%s: before, after, and what is missing comes last", (_, tokens) => {
    expect(fillInMiddle(withTokens(...tokens), before, "return x")).toEqual({
      tokens: [first, ...before, second, ...after, third],
      ends: [first, second, third, fourth],
    });
  });

  test.each([
    ["Codestral", ["[PREFIX]", "[SUFFIX]"], []],
    ["Seed-Coder", ["<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"], [third]],
  ])("%s is told what comes after first", (_, names, middle) => {
    const { tokens, ends } = fillInMiddle(withTokens(...names), before, "return x");
    expect(tokens).toEqual([second, ...after, first, ...before, ...middle]);
    expect(ends).toEqual([first, second, ...middle]);
  });

  test("a tokenizer without all tokens of a kind is refused by name", () => {
    for (const tokens of [[], ["<|fim_prefix|>", "<|fim_suffix|>"], ["[PREFIX]"]]) {
      const refused = () => fillInMiddle(withTokens(...tokens), before, "x");
      expect(refused).toThrow(InvalidRequestError);
      expect(refused).toThrow(/suffix needs a model that fills in the middle/);
    }
  });

  test("a tokenizer that puts a space before texts, and a token that they begin with", () => {
    const texts = ["<unk>", "<s>", "▁", "a", "b", "☺", "<0xE2>", "<0x98>", "<0xBA>"];
    const vocab = Object.fromEntries(texts.map((text, i) => [text, i]));
    const names = ["▁<PRE>", "▁<SUF>", "▁<MID>"];
    const tokenizer = new Tokenizer(
      {
        ...tinyTokenizer(),
        added_tokens: [token(1, "<s>"), ...names.map((name, i) => token(20 + i, name))],
        normalizer: {
          type: "Sequence",
          normalizers: [
            { type: "Prepend", prepend: "▁" },
            { type: "Replace", pattern: { String: " " }, content: "▁" },
          ],
        },
        pre_tokenizer: null,
        post_processor: {
          type: "TemplateProcessing",
          single: [
            { SpecialToken: { id: "<s>", type_id: 0 } },
            { Sequence: { id: "A", type_id: 0 } },
          ],
          pair: [],
          special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
        },
        decoder: {
          type: "Sequence",
          decoders: [
            { type: "Replace", pattern: { String: "▁" }, content: " " },
            { type: "ByteFallback" },
            { type: "Fuse" },
            { type: "Strip", content: " ", start: 1, stop: 0 },
          ],
        },
        model: { type: "BPE", unk_token: "<unk>", byte_fallback: true, vocab, merges: [] },
      },
      {},
    );
    expect(tokenizer.beginning).toEqual([1]);
    expect(tokenizer.encode("ab")).toEqual([2, 3, 4]);
    expect(tokenizer.encodeInside("ab")).toEqual([3, 4]);
    expect(tokenizer.encodeInside(" b")).toEqual([2, 4]);
    expect(tokenizer.encodeInside("")).toEqual([]);
    const { tokens } = fillInMiddle(tokenizer, tokenizer.encode("a"), "b");
    expect(tokens).toEqual([1, 20, 2, 3, 21, 4, 22]);
  });

  test("a tokenizer that puts nothing before texts", () => {
    expect(withTokens().beginning).toEqual([]);
    expect(withTokens().encodeInside(" a")).toEqual(bytes(" a"));
  });
});
