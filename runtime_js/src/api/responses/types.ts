/** The types of OpenAI's Responses API that this engine speaks, structurally equal to those of the `openai` npm package. */
import type { ReasoningEffort, StreamOptions, WebbuildParams } from "../types.js";

export type ItemStatus = "in_progress" | "completed" | "incomplete";

export interface InputText {
  type: "input_text";
  text: string;
}

export interface OutputText {
  type: "output_text";
  text: string;
  /** There are none: nothing is looked up. */
  annotations: never[];
  /** With `include: ["message.output_text.logprobs"]`. */
  logprobs?: OutputLogprob[];
}

export interface OutputLogprob {
  token: string;
  bytes: number[];
  logprob: number;
  top_logprobs: { token: string; bytes: number[]; logprob: number }[];
}

/** What the model says. */
export interface OutputMessage {
  id: string;
  type: "message";
  role: "assistant";
  status: ItemStatus;
  content: OutputText[];
}

/** A call of one of the request's tools. */
export interface FunctionCall {
  id?: string;
  type: "function_call";
  call_id: string;
  name: string;
  /** JSON. */
  arguments: string;
  status?: ItemStatus;
}

/** What the model thinks before it answers, of models whose thinking is told from their answers. */
export interface ReasoningItem {
  id: string;
  type: "reasoning";
  summary: never[];
  content?: { type: "reasoning_text"; text: string }[];
  status?: ItemStatus;
}

export type OutputItem = OutputMessage | FunctionCall | ReasoningItem;

export type InputItem =
  | {
      type?: "message";
      role: "user" | "system" | "developer" | "assistant";
      content: string | InputText[];
    }
  | OutputItem
  | { type: "function_call_output"; call_id: string; output: string | InputText[] };

export interface FunctionTool {
  type: "function";
  name: string;
  description?: string | null;
  /** JSON Schema of an object; null: there are no arguments. */
  parameters: Record<string, unknown> | null;
  strict: boolean | null;
}

type NamedTool = { type: "function"; name: string };

export type ResponseToolChoice =
  | "auto"
  | "none"
  | "required"
  | NamedTool
  | { type: "allowed_tools"; mode: "auto" | "required"; tools: NamedTool[] };

export type TextFormat =
  | { type: "text" }
  | { type: "json_object" }
  | {
      type: "json_schema";
      name: string;
      schema: Record<string, unknown>;
      description?: string;
      strict?: boolean | null;
    };

interface ResponseParamsBase {
  /** A text of the user, or the items of a conversation; they follow those of `previous_response_id`. */
  input: string | InputItem[];
  /** A system message before all others. Of the previous response it is not taken over. */
  instructions?: string | null;
  /** Of a response that this page still keeps. Its conversation goes before `input`, and is not computed again while it is cached. */
  previous_response_id?: string | null;
  /** Default true: this page keeps the last 128 responses in its memory, for `previous_response_id`. */
  store?: boolean | null;
  model?: string;
  /** Most tokens of the answer, thinking included. */
  max_output_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  /** 0..20; needs `include: ["message.output_text.logprobs"]`. */
  top_logprobs?: number | null;
  include?: "message.output_text.logprobs"[] | null;
  text?: { format?: TextFormat; verbosity?: "medium" | null };
  tools?: FunctionTool[];
  tool_choice?: ResponseToolChoice;
  parallel_tool_calls?: boolean | null;
  reasoning?: { effort?: ReasoningEffort | null } | null;
  /** `disabled` (default): a conversation that is too long is refused; `auto`: its oldest turns are left out. */
  truncation?: "auto" | "disabled" | null;
  /** Labels: they change nothing. */
  metadata?: Record<string, string> | null;
  user?: string;
  safety_identifier?: string | null;
  prompt_cache_key?: string | null;
  /** OpenAI's defaults, the only ones there are here. */
  background?: false | null;
  service_tier?: "auto" | "default" | null;
  prompt_cache_retention?: "in_memory" | null;
  /** What is not in OpenAI's API. */
  webbuild?: WebbuildParams | null;
}

export interface ResponseCreateParamsNonStreaming extends ResponseParamsBase {
  stream?: false | null;
}

export interface ResponseCreateParamsStreaming extends ResponseParamsBase {
  stream: true;
  stream_options?: Pick<StreamOptions, "include_obfuscation"> | null;
}

export type ResponseCreateParams = ResponseCreateParamsNonStreaming | ResponseCreateParamsStreaming;

export interface ResponseUsage {
  input_tokens: number;
  /** `cached_tokens`: found in the prefix cache. */
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

export interface ResponseObject {
  id: string;
  object: "response";
  /** Unix time in seconds. */
  created_at: number;
  completed_at: number | null;
  /** `incomplete`: the answer was cut for its length. */
  status: "in_progress" | "completed" | "incomplete" | "failed";
  error: { code: "server_error"; message: string } | null;
  incomplete_details: { reason: "max_output_tokens" } | null;
  instructions: string | null;
  max_output_tokens: number | null;
  metadata: Record<string, string>;
  /** The loaded model's name. */
  model: string;
  output: OutputItem[];
  /** All text of the output's messages. */
  output_text: string;
  parallel_tool_calls: boolean;
  previous_response_id: string | null;
  reasoning: { effort: ReasoningEffort | null };
  service_tier: "default";
  temperature: number | null;
  text: { format: TextFormat };
  tool_choice: ResponseToolChoice;
  tools: FunctionTool[];
  top_logprobs: number;
  top_p: number | null;
  truncation: "auto" | "disabled";
  usage?: ResponseUsage;
}

/** A part of an item's content, as events tell it. */
export type ContentPart = OutputText | { type: "reasoning_text"; text: string };

/** Where in the output an event belongs. */
interface Place {
  item_id: string;
  output_index: number;
}

type WithoutNumber =
  | {
      type:
        | "response.created"
        | "response.in_progress"
        | "response.completed"
        | "response.incomplete"
        | "response.failed";
      response: ResponseObject;
    }
  | {
      type: "response.output_item.added" | "response.output_item.done";
      output_index: number;
      item: OutputItem;
    }
  | (Place & {
      type: "response.content_part.added" | "response.content_part.done";
      content_index: number;
      part: ContentPart;
    })
  | (Place & {
      type: "response.output_text.delta";
      content_index: number;
      delta: string;
      logprobs: OutputLogprob[];
    })
  | (Place & {
      type: "response.output_text.done";
      content_index: number;
      text: string;
      logprobs: OutputLogprob[];
    })
  | (Place & { type: "response.reasoning_text.delta"; content_index: number; delta: string })
  | (Place & { type: "response.reasoning_text.done"; content_index: number; text: string })
  | (Place & { type: "response.function_call_arguments.delta"; delta: string })
  | (Place & { type: "response.function_call_arguments.done"; name: string; arguments: string });

export type ResponseEventBody = WithoutNumber;

/** Of a streamed response; numbered from 0. */
export type ResponseStreamEvent = WithoutNumber & { sequence_number: number };
