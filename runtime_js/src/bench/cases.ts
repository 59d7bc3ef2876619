/** Which generations to measure: the rule of `webbuild bench` (builder/webbuild/bench/plan.py). */
import { InvalidRequestError } from "../errors.js";
import type { Case } from "./types.js";

/** Prompt lengths where none are given. */
export const DEFAULT_LENGTHS: readonly number[] = [128, 1024, 4096];

export interface CaseOptions {
  /** Prompt lengths: prefilled, then decoded after; may be none. Default: {@link DEFAULT_LENGTHS}, clipped to the context. */
  prompts?: readonly number[] | undefined;
  /** More contexts to decode at, reached without prefill. */
  contexts?: readonly number[] | undefined;
  /** Tokens to generate each time, at least 2 (default 32). */
  tokens?: number | undefined;
}

/**
 * One case for each prompt length, then one for each context that no prompt reaches.
 *
 * @param longest tokens of the pack's longest context; a case needs its context and `tokens` more
 * @throws InvalidRequestError for a length that does not fit
 */
export function benchCases(
  longest: number,
  { prompts, contexts = [], tokens = 32 }: CaseOptions = {},
): Case[] {
  if (!Number.isInteger(tokens) || tokens < 2) {
    throw new InvalidRequestError(`tokens ${tokens}: a rate needs at least 2`, { param: "tokens" });
  }
  const most = longest - tokens;
  if (most < 1) {
    throw new InvalidRequestError(
      `tokens ${tokens}: the context of ${longest} tokens leaves no room for a prompt`,
      { param: "tokens" },
    );
  }
  for (const [param, lengths] of Object.entries({ prompts: prompts ?? [], contexts })) {
    for (const length of lengths) {
      if (Number.isInteger(length) && length >= 1 && length <= most) continue;
      throw new InvalidRequestError(
        `${param} ${length}: it can be 1 to ${most}, so that ${tokens} more tokens fit the context of ${longest}`,
        { param },
      );
    }
  }
  const starts = prompts ?? DEFAULT_LENGTHS.map((n) => Math.min(n, most));
  const cases: Case[] = [...new Set(starts)].map((prompt) => ({ start: 0, prompt, tokens }));
  for (const context of new Set(contexts)) {
    if (!starts.includes(context)) cases.push({ start: context - 1, prompt: 1, tokens });
  }
  return cases;
}
