/** The text completion and model types of the `openai` npm package that this engine speaks, structurally equal to them. */
import type { CompletionUsage, StreamOptions, WebbuildParams } from "./types.js";

interface CompletionParamsBase {
  /**
   * What each answer goes on with: a text, token ids, or several of either. Before a text come the tokens that the tokenizer
   * puts there; token ids are taken as they are.
   */
  prompt: string | string[] | number[] | number[][];
  /** Any text: an engine runs one model, whose name answers tell. */
  model?: string;
  /** Only what `n` is: all that is drawn is returned. */
  best_of?: number | null;
  /** The answer's text begins with the prompt. Not with `logprobs`: those of the prompt are not computed. */
  echo?: boolean | null;
  frequency_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  /** 0..5: the log-probability of each token, and so many of the likeliest in its place. */
  logprobs?: number | null;
  /** Most tokens of each answer; default 16. */
  max_tokens?: number | null;
  /** How many answers to give to each prompt, 1..128; choice `i` draws with `seed + i`. */
  n?: number | null;
  presence_penalty?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  /** What comes after the answer, for models with tokens to fill in the middle. */
  suffix?: string | null;
  temperature?: number | null;
  top_p?: number | null;
  /** A label: it changes nothing. */
  user?: string;
  /** What is not in OpenAI's API, without what needs a chat. */
  webbuild?: Omit<WebbuildParams, "template" | "constrain_tools"> | null;
}

export interface CompletionCreateParamsNonStreaming extends CompletionParamsBase {
  stream?: false | null;
}

export interface CompletionCreateParamsStreaming extends CompletionParamsBase {
  stream: true;
  stream_options?: StreamOptions | null;
}

export type CompletionCreateParams =
  | CompletionCreateParamsNonStreaming
  | CompletionCreateParamsStreaming;

/** One entry for each token. */
export interface CompletionLogprobs {
  /** Texts; where bytes are no whole characters, `bytes:\xe2\x96`. */
  tokens: string[];
  token_logprobs: number[];
  /** Log-probabilities by token: of the likeliest, and of the one that was drawn. */
  top_logprobs: Record<string, number>[];
  /** Where in the choice's text (in UTF-16 code units, as strings have them) the token begins. */
  text_offset: number[];
}

export interface CompletionChoice {
  /** `n` for each prompt, in the order of the prompts. */
  index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
  finish_reason: "stop" | "length";
}

export interface Completion {
  id: string;
  object: "text_completion";
  /** Unix time in seconds. */
  created: number;
  /** The loaded model's name. */
  model: string;
  /** The same as long as pack, tier and version of this package are. */
  system_fingerprint: string;
  choices: CompletionChoice[];
  usage: CompletionUsage;
}

/** A piece of a streamed completion. */
export interface CompletionChunk extends Omit<Completion, "choices" | "usage"> {
  choices: (Omit<CompletionChoice, "finish_reason"> & {
    finish_reason: CompletionChoice["finish_reason"] | null;
  })[];
  /** With `include_usage`: null, and in one last chunk without choices the counts. */
  usage?: CompletionUsage | null;
}

export interface Model {
  /** Its name in the pack. */
  id: string;
  /** Unix time in seconds at which it was loaded. */
  created: number;
  object: "model";
  owned_by: string;
}
