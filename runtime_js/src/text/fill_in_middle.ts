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
  /** Tokens that end what is written, where the tokenizer has them, beside those three. */
  ends: readonly string[];
}

/** What each was read in is named beside it: the makers' own code, model cards, tokenizers. */
const KINDS: readonly Kind[] = [
  // Qwen2.5-Coder: QwenLM/Qwen2.5-Coder, examples/Qwen2.5-Coder-fim.py, whose ends are ids 151659 to 151664.
  // CodeGemma: ai.google.dev/gemma/docs/codegemma/prompt-structure, and the terminators of its model card.
  {
    prefix: "<|fim_prefix|>",
    suffix: "<|fim_suffix|>",
    middle: "<|fim_middle|>",
    ends: ["<|endoftext|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>", "<|fim_pad|>"],
  },
  // StarCoder, and after it StarCoder2, Stable Code, Granite Code: the model card of bigcode/starcoder.
  {
    prefix: "<fim_prefix>",
    suffix: "<fim_suffix>",
    middle: "<fim_middle>",
    ends: ["<|endoftext|>", "<file_sep>", "<fim_pad>"],
  },
  // SantaCoder: special_tokens_map.json of bigcode/santacoder.
  {
    prefix: "<fim-prefix>",
    suffix: "<fim-suffix>",
    middle: "<fim-middle>",
    ends: ["<|endoftext|>", "<fim-pad>"],
  },
  // Seed-Coder: section 3 of its report, arXiv 2506.03524.
  {
    prefix: "<[fim-prefix]>",
    suffix: "<[fim-suffix]>",
    middle: "<[fim-middle]>",
    suffixFirst: true,
    ends: [],
  },
  // DeepSeek Coder: "Code Insertion" in the README of deepseek-ai/DeepSeek-Coder.
  {
    prefix: "<｜fim▁begin｜>",
    suffix: "<｜fim▁hole｜>",
    middle: "<｜fim▁end｜>",
    ends: ["<｜end▁of▁sentence｜>"],
  },
  // Code Llama: tokenizer_config.json, and encode_infilling of facebookresearch/codellama, llama/tokenizer.py.
  { prefix: "▁<PRE>", suffix: "▁<SUF>", middle: "▁<MID>", ends: ["▁<EOT>"] },
  // Codestral: encode_fim of mistralai/mistral-common, tokens/tokenizers/instruct.py.
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
    const known = ends.map((token) => tokenizer.idOf(token)).filter((id) => id !== undefined);
    const parts = suffixFirst ? [...last, ...first] : [...first, ...last];
    return {
      tokens: [...tokenizer.beginning, ...parts, ...middleId],
      ends: [prefixId, suffixId, ...middleId, ...known],
    };
  }
  throw new InvalidRequestError(
    "suffix needs a model that fills in the middle: this one's tokenizer has no tokens for that",
    { param: "suffix" },
  );
}
