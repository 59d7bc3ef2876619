/** What chat completions and text completions have in common. */
import type { GenerateResult } from "../engine/request.js";
import type { CompletionUsage } from "./types.js";

/** What all chunks of an answer share. The fingerprint is known once the engine has accepted the request. */
export function completionHead(prefix: "chatcmpl" | "cmpl", model: string) {
  return {
    id: `${prefix}-${crypto.randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: "",
  };
}

/**
 * @param results of all choices
 * @param prompts of these, one for each prompt
 */
export function usageOf(
  results: readonly GenerateResult[],
  prompts: readonly GenerateResult[],
): CompletionUsage {
  const sum = (of: readonly GenerateResult[], count: (r: GenerateResult) => number) =>
    of.reduce((total, result) => total + count(result), 0);
  const prompt_tokens = sum(prompts, (r) => r.promptTokens);
  const completion_tokens = sum(results, (r) => r.completionTokens);
  const reasoning = results.some((r) => r.reasoningTokens !== undefined);
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: sum(prompts, (r) => r.cachedTokens) },
    ...(reasoning && {
      completion_tokens_details: { reasoning_tokens: sum(results, (r) => r.reasoningTokens ?? 0) },
    }),
  };
}
