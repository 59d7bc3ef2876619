/** Prompts of models that were trained to fill in what is missing between two texts, by the tokens of their tokenizers. */
import { InvalidRequestError } from "../errors.js";
import type { Tokenizer } from "./tokenizer.js";

interface Kind {
  prefix: string;
  suffix: string;
  /** After it the model writes what is missing. */
  middle?: string;
  /** What comes after the gap is told first. */
  suffixFirst?: true;
  /** Tokens that end what is written, where the tokenizer has them. */
  ends: readonly string[];
}

/** From the model cards, and for the last two from their makers' code (codellama, mistral-common). */
const KINDS: readonly Kind[] = [
  // Qwen2.5-Coder, CodeGemma
  {
    prefix: "<|fim_prefix|>",
    suffix: "<|fim_suffix|>",
    middle: "<|fim_middle|>",
    ends: ["<|endoftext|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>", "<|fim_pad|>"],
  },
  // StarCoder, StarCoder2, Stable Code, Granite Code
  {
    prefix: "<fim_prefix>",
    suffix: "<fim_suffix>",
    middle: "<fim_middle>",
    ends: ["<|endoftext|>", "<file_sep>", "<fim_pad>"],
  },
  // SantaCoder
  {
    prefix: "<fim-prefix>",
    suffix: "<fim-suffix>",
    middle: "<fim-middle>",
    ends: ["<|endoftext|>"],
  },
  // DeepSeek Coder
  {
    prefix: "<｜fim▁begin｜>",
    suffix: "<｜fim▁hole｜>",
    middle: "<｜fim▁end｜>",
    ends: ["<｜end▁of▁sentence｜>"],
  },
  // Code Llama
  { prefix: "▁<PRE>", suffix: "▁<SUF>", middle: "▁<MID>", ends: ["▁<EOT>"] },
  // Codestral
  { prefix: "[PREFIX]", suffix: "[SUFFIX]", suffixFirst: true, ends: [] },
];

/** A prompt, and the tokens that end the answer beside the model's own. */
export interface FillInMiddle {
  tokens: number[];
  ends: number[];
}

/**
 * @param before tokens of the text before the gap
 * @param after the text after it
 * @throws InvalidRequestError for a model that has no tokens for it
 */
export function fillInMiddle(
  tokenizer: Tokenizer,
  before: readonly number[],
  after: string,
): FillInMiddle {
  for (const { prefix, suffix, middle, suffixFirst, ends } of KINDS) {
    const ids = [prefix, suffix, ...(middle === undefined ? [] : [middle])].map((token) =>
      tokenizer.idOf(token),
    );
    if (ids.includes(undefined)) continue;
    const [prefixId, suffixId, ...middleId] = ids as [number, number, ...number[]];
    const first = [prefixId, ...before];
    const last = [suffixId, ...tokenizer.encodeInside(after)];
    const parts = suffixFirst ? [...last, ...first] : [...first, ...last];
    return {
      tokens: [...tokenizer.beginning, ...parts, ...middleId],
      ends: ends.map((token) => tokenizer.idOf(token)).filter((id) => id !== undefined),
    };
  }
  throw new InvalidRequestError(
    "suffix needs a model that fills in the middle: this one's tokenizer has no tokens for that",
    { param: "suffix" },
  );
}
