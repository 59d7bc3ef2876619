/** What the engine is asked and what it answers: plain data, free of any API's conventions. */
import type { GrammarSpec, PackedGrammar } from "../grammar/spec.js";
import type { TemplateMessage } from "../text/chat_template.js";
import type { ToolCallDelta, ToolChoice, ToolSpec } from "../text/tools.js";

/** How to choose tokens. Undefined fields take the model's own defaults (generation_config.json), then neutral values. */
export interface SamplingOptions {
  /** 0: always the most likely token. */
  temperature?: number;
  topP?: number;
  /** 0: off. */
  topK?: number;
  minP?: number;
  /** Logits of tokens in prompt or answer are divided by it if positive, else multiplied; 1: off. */
  repetitionPenalty?: number;
  frequencyPenalty: number;
  presencePenalty: number;
  /** Added to the raw logits. */
  logitBias: [id: number, bias: number][];
  /** Undefined: a random one. */
  seed?: number;
  /** Alternatives to report per token (0..20); null: no log-probabilities. */
  logprobs: number | null;
}

/** What an answer goes on with, as a text that begins: with the tokens that the tokenizer puts before one. */
export interface TextPrompt {
  /** Token ids are taken as they are. */
  text: string | readonly number[];
  /** What comes after the answer, for models that fill in the middle. */
  suffix?: string;
}

/** Messages, which the chat template makes a text of; a text; token ids; or what an answer goes on with. */
export type Prompt = TemplateMessage[] | string | readonly number[] | TextPrompt;

/**
 * Whether guesses of the next tokens, a draft's or copied from earlier in the text, are checked several in a step: `off`, `auto`
 * (as many as measured times and acceptance say pays), or always so many, `from` one of the two (default: what was right more
 * often so far).
 */
export type Speculates = "off" | "auto" | { tokens: number; from?: "draft" | "prompt" };

/**
 * What becomes of a request that the context is too short for. `error`: the prompt is refused, the answer ends. `slide`: the
 * oldest turns of the prompt are left out; while answering, the beginning and the newest tokens are kept. `summarise`: a prompt
 * that leaves no room for an answer is refused, as the page can shorten it.
 */
export type Overflow = "error" | "slide" | "summarise";

export interface GenerateRequest {
  messages: Prompt;
  /** Position to go on from; negative from the prompt's end. What comes before is expected to be cached, and computed if not. */
  begin?: number;
  sampling: SamplingOptions;
  /** null: until the context is full; with `slide` as many as the context holds. */
  maxTokens: number | null;
  /** Default `error`. */
  overflow?: Overflow;
  stop: string[];
  /** What the answer must match. */
  grammar?: GrammarSpec | PackedGrammar;
  /** Whether tokens that the grammar leaves no choice about are added without a step each (default true). */
  jumps?: boolean;
  /** Higher goes first (default 0); ten seconds of waiting count as one point. */
  priority?: number;
  /** Whether its text is read while it comes (default true): long prompts of others then leave it its rhythm. */
  streams?: boolean;
  /** Default `off`. */
  speculation?: Speculates;
  /** Functions that the model may call; the prompt tells of them, and the answer's calls are told apart. */
  tools?: ToolSpec[];
  /** Default `auto`. */
  toolChoice?: ToolChoice;
  /** Default true: calls are held to the format and to the functions' schemas. */
  constrainTools?: boolean;
  /** The model's own end of an answer does not end it (default false). */
  ignoreEos?: boolean;
  /** Variables of the chat template, such as `enable_thinking` or `reasoning_effort`. */
  template?: Record<string, unknown>;
}

/** What a prompt's tokens depend on. */
export type PromptRequest = Pick<GenerateRequest, "messages" | "tools" | "template">;

/** A token with its log-probability under the raw logits. */
export interface TokenLogprob {
  token: string;
  bytes: number[];
  logprob: number;
}

export interface TokenLogprobs extends TokenLogprob {
  top: TokenLogprob[];
}

/** Text that became certain, and the tokens sampled since the last delta. */
export interface Delta {
  /** Content: neither thinking nor calls. */
  text: string;
  reasoning?: string;
  toolCalls?: ToolCallDelta[];
  tokens: number;
  logprobs: TokenLogprobs[];
}

export type FinishReason = "stop" | "length" | "tool_calls";

export interface GenerateResult {
  finishReason: FinishReason;
  promptTokens: number;
  completionTokens: number;
  /** Of these, the model's thinking, where it is told from its answer. */
  reasoningTokens?: number;
  /** Prompt tokens that were not computed, because the prefix cache had them. */
  cachedTokens: number;
  /** Messages that were left out of the prompt. */
  droppedMessages: number;
  /** How often older tokens were left out while answering. */
  slides: number;
}
