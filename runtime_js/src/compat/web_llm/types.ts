/** WebLLM's names for requests, answers and reports, over this package's types. */
import type {
  ChatCompletion as Answer,
  ChatCompletionCreateParams,
  ChatCompletionMessageParam,
  ChatCompletionChunk as Chunk,
  CreateEmbeddingResponse,
  EmbeddingCreateParams as EmbedParams,
  CompletionCreateParams as TextParams,
  CompletionUsage as Usage,
} from "../../index.js";
import type { AppConfig, ChatOptions } from "./config.js";

export type { ChatCompletionMessageParam, CreateEmbeddingResponse };

export type EmbeddingCreateParams = Omit<EmbedParams, "encoding_format"> & {
  encoding_format?: "float";
};

export interface InitProgressReport {
  /** 0..1; 1 once the model is ready. */
  progress: number;
  /** Seconds since the load began. */
  timeElapsed: number;
  /** A line for people. */
  text: string;
}

export type InitProgressCallback = (report: InitProgressReport) => void;

export const LOG_LEVELS = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, SILENT: 5 };
export type LogLevel = keyof typeof LOG_LEVELS;

export interface MLCEngineConfig {
  appConfig?: AppConfig;
  initProgressCallback?: InitProgressCallback;
  logLevel?: LogLevel;
  /** Refused: logits stay on the GPU. */
  logitProcessorRegistry?: Map<string, unknown>;
}

/**
 * `schema`: of `json_object`, as JSON text. `structural_tag`: XGrammar's, as an object or JSON text. The forms of `webbuild` itself
 * are taken, too.
 */
export interface ResponseFormat {
  type?: "text" | "json_object" | "json_schema" | "grammar" | "regex" | "structural_tag";
  schema?: string;
  grammar?: string;
  structural_tag?: string | object;
  [form: string]: unknown;
}

/** A request of this package, with WebLLM's extras at its top level and in `extra_body`. */
export type ChatCompletionRequestBase = Omit<
  ChatCompletionCreateParams,
  "model" | "response_format" | "stream"
> & {
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  /** Needed when several models are loaded. */
  model?: string | null;
  response_format?: ResponseFormat;
  repetition_penalty?: number | null;
  ignore_eos?: boolean;
  extra_body?: {
    enable_thinking?: boolean | null;
    /** Ignored. */
    enable_latency_breakdown?: boolean | null;
  };
};
export type ChatCompletionRequestNonStreaming = ChatCompletionRequestBase & {
  stream?: false | null;
};
export type ChatCompletionRequestStreaming = ChatCompletionRequestBase & { stream: true };
export type ChatCompletionRequest =
  | ChatCompletionRequestNonStreaming
  | ChatCompletionRequestStreaming;

/** `abort`: {@link MLCEngineInterface.interruptGenerate} ended it. */
export type ChatCompletionFinishReason = Chunk["choices"][number]["finish_reason"] | "abort";

export interface CompletionUsage extends Usage {
  /** Of this request, as the page saw it; seconds. */
  extra: {
    e2e_latency_s: number;
    prefill_tokens_per_s: number;
    decode_tokens_per_s: number;
    time_to_first_token_s: number;
    time_per_output_token_s: number;
  };
}

type Choice<T extends { choices: { finish_reason: unknown }[] }> = Omit<
  T["choices"][number],
  "finish_reason"
>;
export type ChatCompletionChunk = Omit<Chunk, "choices" | "usage"> & {
  choices: (Choice<Chunk> & { finish_reason: ChatCompletionFinishReason | null })[];
  usage?: CompletionUsage | null;
};
export type ChatCompletion = Omit<Answer, "choices" | "usage"> & {
  choices: (Choice<Answer> & { finish_reason: ChatCompletionFinishReason })[];
  usage: CompletionUsage;
};

/** A text completion; log-probabilities are asked for, and come, as those of chats. */
export type CompletionCreateParamsBase = Omit<TextParams, "model" | "logprobs" | "stream"> & {
  logprobs?: boolean | null;
  /** 0..5 */
  top_logprobs?: number | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  model?: string | null;
  repetition_penalty?: number | null;
  ignore_eos?: boolean;
};
export type CompletionCreateParamsNonStreaming = CompletionCreateParamsBase & {
  stream?: false | null;
};
export type CompletionCreateParamsStreaming = CompletionCreateParamsBase & { stream: true };

export interface Completion {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  system_fingerprint?: string;
  choices: {
    index: number;
    text: string;
    finish_reason: ChatCompletionFinishReason | null;
    logprobs?: Chunk["choices"][number]["logprobs"];
  }[];
  usage?: CompletionUsage;
}

/** `create` of `engine.completions`. */
export interface CompletionsCreate {
  (request: CompletionCreateParamsNonStreaming): Promise<Completion>;
  (request: CompletionCreateParamsStreaming): Promise<AsyncIterable<Completion>>;
  (request: CompletionCreateParamsBase): Promise<Completion | AsyncIterable<Completion>>;
}

/** `create` of `engine.chat.completions`. */
export interface ChatCompletionsCreate {
  (request: ChatCompletionRequestNonStreaming): Promise<ChatCompletion>;
  (request: ChatCompletionRequestStreaming): Promise<AsyncIterable<ChatCompletionChunk>>;
  (
    request: ChatCompletionRequest | ChatCompletionRequestBase,
  ): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
}

/** What every engine of this adapter does, wherever it runs. */
export interface MLCEngineInterface {
  readonly chat: { readonly completions: { create: ChatCompletionsCreate } };
  /** @throws what `chat.completions.create` throws, and ModelNotLoaded */
  chatCompletion: ChatCompletionsCreate;
  readonly completions: { readonly create: CompletionsCreate };
  /** Goes on with a text. @throws what `engine.completions.create` throws, and ModelNotLoaded */
  completion: CompletionsCreate;
  readonly embeddings: { readonly create: MLCEngineInterface["embedding"] };
  /** Vectors of texts, of a model that is an encoder. @throws what `engine.embeddings.create` throws, and ModelNotLoaded */
  embedding(request: EmbeddingCreateParams): Promise<CreateEmbeddingResponse>;
  setInitProgressCallback(callback: InitProgressCallback | undefined): void;
  getInitProgressCallback(): InitProgressCallback | undefined;
  setAppConfig(appConfig: AppConfig): void;
  /**
   * Unloads what is loaded, and loads models one after another; an {@link unload} meanwhile ends it without an error.
   *
   * @throws ModelNotFound, Unsupported, and what `Engine.load` throws
   */
  reload(modelId: string | string[], chatOpts?: ChatOptions | ChatOptions[]): Promise<void>;
  unload(): Promise<void>;
  /** Forgets the last answer and its statistics. Conversations are the caller's; what was computed of them stays cached. */
  resetChat(keepStats?: boolean, modelId?: string): Promise<void>;
  /** Ends every answer under way; what has been generated is kept, with the reason `abort`. */
  interruptGenerate(): void;
  /** The last answer's text, as far as it has come. */
  getMessage(modelId?: string): Promise<string>;
  runtimeStatsText(modelId?: string): Promise<string>;
  getMaxStorageBufferBindingSize(): Promise<number>;
  getGPUVendor(): Promise<string>;
  /** @throws Unsupported always */
  forwardTokensAndSample(inputIds: number[], isPrefill: boolean, modelId?: string): Promise<number>;
  setLogLevel(logLevel: LogLevel): void;
}
