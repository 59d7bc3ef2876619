/** The chat completion types of the `openai` npm package that this engine speaks, structurally equal to them. */

export interface TextPart {
  type: "text";
  text: string;
}

export interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

/** A function that the model may call. */
export interface ChatCompletionTool {
  type: "function";
  function: {
    /** 1 to 64 letters, digits, _ or -. */
    name: string;
    description?: string;
    /** JSON Schema of an object; without it there are no arguments. */
    parameters?: Record<string, unknown>;
    /** Calls are held to `parameters` unless this is false: then arguments are any JSON object. */
    strict?: boolean | null;
  };
}

type NamedTool = { type: "function"; function: { name: string } };

/**
 * `auto`: the model decides; `none`: it is not told of its tools; `required`: it calls at least one; a named one is called once;
 * `allowed_tools`: `auto` or `required`, of these only.
 */
export type ToolChoiceOption =
  | "auto"
  | "none"
  | "required"
  | NamedTool
  | { type: "allowed_tools"; allowed_tools: { mode: "auto" | "required"; tools: NamedTool[] } };

export type ChatCompletionMessageParam =
  | { role: "system" | "developer"; content: string | TextPart[]; name?: string }
  | { role: "user"; content: string | TextPart[]; name?: string }
  | {
      role: "assistant";
      content?: string | TextPart[] | null;
      name?: string;
      refusal?: string | null;
      tool_calls?: ToolCall[];
      /** Not in OpenAI's API: what the model thought before it; templates that know thinking may show it again. */
      reasoning_content?: string | null;
    }
  | {
      role: "tool";
      content: string | TextPart[];
      tool_call_id: string;
      /** Not in OpenAI's types: the function, for templates that read it; LangChain's agents send it. */
      name?: string;
    };

export interface ContextParams {
  /**
   * `"error"` (default): the request rejects with ContextLengthExceeded, an answer that fills the context ends with `length`.
   *
   * `"slide"`: the oldest turns after the system messages are left out, whole ones, until a quarter of the context is left to
   * the answer (less if it may have fewer tokens); the last turn alone must fit, else ContextLengthExceeded. An answer that fills
   * the context goes on with the beginning, system messages included, and the newest tokens, which are computed again; it ends
   * after as many tokens as the context holds, or after `max_completion_tokens`, which may be more. `usage.context` tells.
   *
   * A function: is asked for other messages when these leave no such room, and the request goes on with those.
   */
  overflow: "error" | "slide" | Summarise;
}

/**
 * Makes a conversation shorter, say by asking the engine itself for a summary of its older turns. Its errors reject the request.
 *
 * @returns messages whose prompt has at most `limit` tokens, else the request rejects with ContextLengthExceeded
 */
export type Summarise = (
  messages: ChatCompletionMessageParam[],
  about: {
    /** Tokens of the messages' prompt. */
    tokens: number;
    /** The most that a prompt may have, so that there is room for an answer. */
    limit: number;
    contextLength: number;
    /** The request's. */
    signal: AbortSignal;
  },
) => ChatCompletionMessageParam[] | Promise<ChatCompletionMessageParam[]>;

/** How long a model that thinks should think. */
export type ReasoningEffort = "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";

/**
 * `json_object`: any JSON object. `json_schema`: JSON that is valid for the schema, whether `strict` or not; without a schema any JSON.
 */
export type ResponseFormat =
  | { type: "text" }
  | { type: "json_object" }
  | {
      type: "json_schema";
      json_schema: {
        name: string;
        description?: string;
        schema?: Record<string, unknown>;
        strict?: boolean | null;
      };
    };

/**
 * What an answer must match. `regex`: as a whole. `grammar`: GBNF, whose start is `root`. `structural_tag`: XGrammar's format,
 * parts of an answer constrained and others free. `packed`: a grammar that the pack brings along (`webbuild pack --grammar NAME=FILE`).
 */
export type GrammarFormat =
  | ResponseFormat
  | { type: "regex"; pattern: string }
  | { type: "grammar"; grammar: string }
  | { type: "structural_tag"; format: Record<string, unknown> }
  | { type: "packed"; name: string };

/** What is not in OpenAI's API stands under one key of a request, `webbuild`. */
export interface WebbuildParams {
  /** Sample from the k likeliest tokens; 0 is off. */
  top_k?: number | null;
  /** Drop tokens less likely than this share of the likeliest, 0..1. */
  min_p?: number | null;
  /** More than 0, at most 10: logits of tokens in prompt or answer are divided by it if positive, multiplied if negative; 1 is off. */
  repetition_penalty?: number | null;
  /** The answer goes on when the model ends it; `max_tokens`, `stop` or a full context end it. */
  ignore_eos?: boolean | null;
  /** As `response_format`, with more forms. */
  grammar?: GrammarFormat | null;
  /**
   * Default true: text that the grammar leaves no choice about is added without drawing each of its tokens, as the tokenizer
   * writes it; `false` draws them one by one, as the model would.
   */
  jump_forward?: boolean | null;
  /** Variables for the chat template, e.g. `{ enable_thinking: false }`. One that the template does not read is refused. */
  template?: Record<string, unknown> | null;
  /** Higher goes first, -100..100, default 0. Ten seconds of waiting count as one point. */
  priority?: number | null;
  /**
   * Next tokens are guessed by the engine's draft, or from what the text repeats, and several checked in one step; each is
   * still drawn as without, but not in answers that must match a grammar. `"auto"` guesses as long as it measures that this pays, `{ tokens }` (1..15) always, `from` one of
   * the two if it is named; default `"off"`.
   */
  speculation?: "off" | "auto" | { tokens: number; from?: "draft" | "prompt" } | null;
  /** What becomes of a conversation that the model's context is too short for. */
  context?: ContextParams | null;
  /** false: calls of tools are not held to the model's format and the tools' schemas; what can't be read as a call is content. */
  constrain_tools?: boolean | null;
}

interface ChatCompletionParamsBase {
  messages: ChatCompletionMessageParam[];
  /** Any text: an engine runs one model, whose name answers tell. */
  model?: string;
  /** Most tokens of the answer. */
  max_tokens?: number | null;
  /** Same as `max_tokens`; when both are given they must be equal. */
  max_completion_tokens?: number | null;
  /** 0..2; 0 always takes the likeliest token. Default: the model's, else 1. */
  temperature?: number | null;
  /** 0..1. */
  top_p?: number | null;
  /** The same seed, messages and settings give the same answer on the same device, but for rounding (docs/api.md). Default: random. */
  seed?: number | null;
  /** The text that is completed first ends the answer, and is no part of it. */
  stop?: string | string[] | null;
  /** -2..2, counted over prompt and answer. */
  frequency_penalty?: number | null;
  /** -2..2. */
  presence_penalty?: number | null;
  /** Token id → bias, -100..100. */
  logit_bias?: Record<string, number> | null;
  logprobs?: boolean | null;
  /** 0..20; needs `logprobs`. */
  top_logprobs?: number | null;
  /** How many answers to give, 1..128; choice `i` draws with `seed + i`. Their common prompt is computed once. */
  n?: number | null;
  /**
   * The template's variable of that name; where it reads `enable_thinking` alone, `"none"` sets that false, all others true.
   * Refused if the template reads neither.
   */
  reasoning_effort?: ReasoningEffort | null;
  /** Functions, at most 128. ToolsUnsupported if the model's chat template takes none. */
  tools?: ChatCompletionTool[];
  /** Default `auto`. */
  tool_choice?: ToolChoiceOption;
  /** false: at most one call in an answer. */
  parallel_tool_calls?: boolean;
  /** What the answer must match; it ends when it is complete, or for its length before. `webbuild.grammar` has more forms. */
  response_format?: ResponseFormat;
  /** Labels: they change nothing. */
  user?: string;
  safety_identifier?: string | null;
  prompt_cache_key?: string | null;
  metadata?: Record<string, string> | null;
  /** OpenAI's defaults, the only ones there are here. */
  modalities?: "text"[] | null;
  store?: false | null;
  service_tier?: "auto" | "default" | null;
  prompt_cache_retention?: "in_memory" | null;
  verbosity?: "medium" | null;
  /** What is not in OpenAI's API. */
  webbuild?: WebbuildParams | null;
}

export interface StreamOptions {
  /** A last chunk without choices tells the counts. */
  include_usage?: boolean;
  /** What it is for, sizes of packets, is not here. */
  include_obfuscation?: false;
}

export interface ChatCompletionCreateParamsNonStreaming extends ChatCompletionParamsBase {
  stream?: false | null;
}

export interface ChatCompletionCreateParamsStreaming extends ChatCompletionParamsBase {
  stream: true;
  stream_options?: StreamOptions | null;
}

export type ChatCompletionCreateParams =
  | ChatCompletionCreateParamsNonStreaming
  | ChatCompletionCreateParamsStreaming;

export interface CompletionUsage {
  prompt_tokens: number;
  /** Of all choices. */
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens`: tokens of the prompt that the first choice found in the prefix cache. */
  prompt_tokens_details: { cached_tokens: number };
  /** Of models whose thinking is told from their answers. */
  completion_tokens_details?: { reasoning_tokens: number };
  /**
   * Not in OpenAI's API, of requests with `webbuild.context: { overflow: "slide" }`. `dropped_messages`: of the conversation, left out of
   * the prompt; `slides`: how often older tokens were left out while answering, over all choices.
   */
  context?: { dropped_messages: number; slides: number };
}

export interface TopLogprob {
  token: string;
  bytes: number[] | null;
  logprob: number;
}

export interface ChatCompletionTokenLogprob extends TopLogprob {
  top_logprobs: TopLogprob[];
}

export interface ChoiceLogprobs {
  content: ChatCompletionTokenLogprob[] | null;
  refusal: null;
}

export type FinishReason = "stop" | "length" | "tool_calls";

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  /** Unix time in seconds. */
  created: number;
  /** The loaded model's name. */
  model: string;
  /** The same as long as pack, tier and version of this package are. */
  system_fingerprint: string;
  /** If the request named one. */
  service_tier?: "default";
  choices: {
    index: number;
    message: {
      role: "assistant";
      /** null beside calls alone. */
      content: string | null;
      refusal: string | null;
      tool_calls?: ToolCall[];
      /** Not in OpenAI's API: the model's thinking, which is no part of the content. */
      reasoning_content?: string;
    };
    finish_reason: FinishReason;
    logprobs: ChoiceLogprobs | null;
  }[];
  usage: CompletionUsage;
}

/** The first of each index has id, type, name and no arguments; the others are pieces of the arguments. */
export interface ToolCallChunk {
  index: number;
  id?: string;
  type?: "function";
  function: { name?: string; arguments: string };
}

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  system_fingerprint: string;
  service_tier?: "default";
  choices: {
    index: number;
    delta: {
      role?: "assistant";
      content?: string;
      refusal?: null;
      tool_calls?: ToolCallChunk[];
      reasoning_content?: string;
    };
    finish_reason: FinishReason | null;
    logprobs?: ChoiceLogprobs | null;
  }[];
  /** With `include_usage`: null, and in one last chunk without choices the counts. */
  usage?: CompletionUsage | null;
}
