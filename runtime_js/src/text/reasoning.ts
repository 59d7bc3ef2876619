/** How models mark their thinking, as data. */

export interface ReasoningFormat {
  begin: string;
  end: string;
}

const REASONING_FORMATS: readonly ReasoningFormat[] = [
  { begin: "<think>", end: "</think>" }, // DeepSeek R1, Qwen3, GLM, SmolLM3, and most others
  { begin: "[THINK]", end: "[/THINK]" }, // Magistral
  { begin: "<|START_THINKING|>", end: "<|END_THINKING|>" }, // Command A, Command R7B
  { begin: "<seed:think>", end: "</seed:think>" },
  { begin: "<reasoning>", end: "</reasoning>" },
];

/** How a model marks its thinking, if its chat template or its tokens have such marks. @param texts the template, and tokens */
export function reasoningOf(texts: readonly string[]): ReasoningFormat | undefined {
  return REASONING_FORMATS.find(({ end }) => texts.some((text) => text.includes(end)));
}

/** Whether a prompt ends within thinking, so that the answer goes on with it. */
export const opensReasoning = (prompt: string, { begin }: ReasoningFormat): boolean =>
  prompt.trimEnd().endsWith(begin);
