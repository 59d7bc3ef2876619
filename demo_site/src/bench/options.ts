// What the visitor chooses to measure.

import { DEFAULT_LENGTHS } from "webbuild/bench";

export interface Options {
  /** Prompt lengths: prefilled, then decoded after. */
  prompts: number[];
  /** Contexts to decode at, reached without prefill. */
  contexts: number[];
  /** Tokens to generate each time. */
  tokens: number;
  rounds: number;
}

/** The ranges that the form offers. */
export const RANGES = {
  tokens: { min: 2, max: 256 },
  rounds: { min: 1, max: 10 },
} as const;

/** Lengths to choose from: the usual ones, clipped so that `tokens` more fit the longest context. */
export function offeredLengths(longestContext: number, tokens: number): number[] {
  const most = longestContext - tokens;
  if (most < 1) return [];
  return [...new Set(DEFAULT_LENGTHS.map((length) => Math.min(length, most)))];
}

/** The shortest prompt, and decoding at every length: a benchmark of seconds on most GPUs. */
export function defaultOptions(longestContext: number): Options {
  const tokens = Math.min(32, Math.max(RANGES.tokens.min, Math.floor(longestContext / 2)));
  const [shortest, ...others] = offeredLengths(longestContext, tokens);
  return { prompts: shortest ? [shortest] : [], contexts: others, tokens, rounds: 3 };
}

/** With another number of tokens the longest length that fits changes; what was chosen stays chosen. */
export function withTokens(options: Options, tokens: number, longestContext: number): Options {
  const before = offeredLengths(longestContext, options.tokens);
  const now = offeredLengths(longestContext, tokens);
  const moved = (lengths: number[]) => [
    ...new Set(lengths.flatMap((length) => now[before.indexOf(length)] ?? now.at(-1) ?? [])),
  ];
  return { ...options, tokens, prompts: moved(options.prompts), contexts: moved(options.contexts) };
}
