/** Checks a request of the Responses API, and turns it into a chat completion's. Nothing is silently ignored. */
import { InvalidRequestError } from "../../errors.js";
import { Fields, invalid, isRecord, namesIn, show } from "../fields.js";
import { checkParameters, EXTENSIONS_KEY, type Fate } from "../parameters.js";
import { type ParsedRequest, parseRequest } from "../request.js";
import type { ChatCompletionMessageParam } from "../types.js";
import type { ResponseHistory } from "./history.js";
import { messagesOf, parseInput } from "./input.js";
import type { InputItem, ResponseObject } from "./types.js";

const STRING = { label: "string" } as const;
const LOGPROBS = "message.output_text.logprobs";

/** Every parameter of `responses.create`, and what becomes of it. */
export const RESPONSE_PARAMETERS = {
  input: "works",
  instructions: "works",
  previous_response_id: "works",
  store: "works",
  stream: "works",
  stream_options: "works",
  max_output_tokens: "works",
  temperature: "works",
  top_p: "works",
  top_logprobs: "works",
  include: "works",
  text: "works",
  tools: "works",
  tool_choice: "works",
  parallel_tool_calls: "works",
  reasoning: "works",
  truncation: "works",

  model: STRING, // as of chat completions
  user: STRING,
  safety_identifier: STRING,
  prompt_cache_key: STRING,
  metadata: { label: "strings by name" },

  background: { only: [false], reason: "a response lives as long as its page" },
  service_tier: {
    only: ["auto", "default"],
    reason: "there is one tier: webbuild.priority says which request goes first",
  },
  prompt_cache_retention: {
    only: ["in_memory"],
    reason: "the cache lives as long as the engine: engine.kv.save keeps a prompt between visits",
  },

  access_programs: { refused: "is not supported: it is about OpenAI's service" },
  context_management: {
    refused: 'is not supported: truncation: "auto" leaves out the oldest turns',
  },
  conversation: { refused: "is not supported: use previous_response_id" },
  image: { refused: "is not supported: the model writes text only" },
  max_tool_calls: { refused: "is not supported: it is about tools that OpenAI runs" },
  moderation: { refused: "is not supported: there is no model for it here" },
  prompt: { refused: "is not supported: there are no stored prompts here" },
  prompt_cache_options: {
    refused: "is not supported: the engine caches all prompts, engine.kv.save keeps one for longer",
  },
} as const satisfies Record<string, Fate>;

/** What the request says that the response says again. */
export type Echo = Omit<
  ResponseObject,
  | "id"
  | "object"
  | "created_at"
  | "completed_at"
  | "status"
  | "error"
  | "incomplete_details"
  | "model"
  | "output"
  | "output_text"
  | "usage"
>;

export interface ParsedResponse {
  chat: ParsedRequest;
  messages: ChatCompletionMessageParam[];
  /** The conversation so far, for the next request. */
  items: readonly InputItem[];
  echo: Echo;
  stream: boolean;
  store: boolean;
}

/** @throws InvalidRequestError naming the parameter */
export function parseResponse(params: unknown, history: ResponseHistory): ParsedResponse {
  if (!isRecord(params)) throw invalid("params", "must be an object with `input`");
  checkParameters(params, RESPONSE_PARAMETERS);
  const read = new Fields(params);
  const stream = read.boolean("stream") ?? false;
  checkStreamOptions(params["stream_options"], stream);
  const previous = read.string("previous_response_id");
  const items = [
    ...(previous === undefined ? [] : history.get(previous, "previous_response_id").items),
    ...parseInput(params["input"]),
  ];
  const instructions = read.string("instructions");
  const messages: ChatCompletionMessageParam[] = [
    ...(instructions === undefined ? [] : [{ role: "system" as const, content: instructions }]),
    ...messagesOf(items),
  ];
  const format = formatOf(params["text"]);
  const effort = effortOf(params["reasoning"]);
  const truncation = truncationOf(params["truncation"]);
  const tools = params["tools"] ?? undefined;
  const choice = params["tool_choice"] ?? undefined;
  const parallel = read.boolean("parallel_tool_calls");
  const max = read.integer("max_output_tokens", 1);
  const logprobs = includesLogprobs(params["include"]);
  const top = read.integer("top_logprobs", 0);
  if (top !== undefined && !logprobs)
    throw invalid("top_logprobs", `needs include: ["${LOGPROBS}"]`);
  const hasTools = Array.isArray(tools) && tools.length > 0;
  const chat = named(() =>
    parseRequest({
      messages,
      stream: true,
      stream_options: { include_usage: true },
      temperature: params["temperature"],
      top_p: params["top_p"],
      ...(max === undefined ? {} : { max_completion_tokens: max }),
      ...(logprobs ? { logprobs, top_logprobs: top ?? 0 } : {}),
      ...(tools === undefined || !hasTools ? {} : { tools: tools.map(nestedTool) }),
      ...(choice === undefined || (!hasTools && choice === "auto")
        ? {}
        : { tool_choice: nestedChoice(choice) }),
      ...(parallel === undefined || !hasTools ? {} : { parallel_tool_calls: parallel }),
      ...(format.type === "text" ? {} : { response_format: nestedFormat(format) }),
      ...(effort === null ? {} : { reasoning_effort: effort }),
      [EXTENSIONS_KEY]: extensions(params[EXTENSIONS_KEY], truncation),
    }),
  );
  const echo = {
    instructions: instructions ?? null,
    max_output_tokens: max ?? null,
    metadata: params["metadata"] ?? {},
    parallel_tool_calls: parallel ?? true,
    previous_response_id: previous ?? null,
    reasoning: { effort },
    service_tier: "default",
    temperature: params["temperature"] ?? null,
    text: { format },
    tool_choice: choice ?? "auto",
    tools: tools ?? [],
    top_logprobs: top ?? 0,
    top_p: params["top_p"] ?? null,
    truncation,
  } as Echo;
  return { chat, messages, items, echo, stream, store: read.boolean("store") ?? true };
}

function checkStreamOptions(value: unknown, stream: boolean): void {
  if (value === undefined || value === null) return;
  if (!stream) throw invalid("stream_options", "is only allowed with stream: true");
  if (!isRecord(value)) throw invalid("stream_options", "must be an object");
  for (const name of namesIn(value)) {
    if (name !== "include_obfuscation")
      throw invalid(`stream_options.${name}`, "is not a parameter of this engine");
    if (value[name])
      throw invalid(
        "stream_options.include_obfuscation",
        "must be false: there are no packets to hide sizes of",
      );
  }
}

function includesLogprobs(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (!Array.isArray(value)) throw invalid("include", "must be an array");
  for (const [i, name] of value.entries()) {
    if (name !== LOGPROBS)
      throw invalid(`include[${i}]`, `must be "${LOGPROBS}", not ${show(name)}`);
  }
  return value.length > 0;
}

function formatOf(value: unknown): ResponseObject["text"]["format"] {
  if (value === undefined || value === null) return { type: "text" };
  if (!isRecord(value)) throw invalid("text", "must be an object");
  for (const name of namesIn(value)) {
    if (name !== "format" && name !== "verbosity")
      throw invalid(`text.${name}`, "is not a parameter of this engine");
  }
  const verbosity = value["verbosity"] ?? "medium";
  if (verbosity !== "medium") {
    throw invalid(
      "text.verbosity",
      `must be "medium", not ${show(verbosity)}: the model has no such setting`,
    );
  }
  const format = value["format"] ?? { type: "text" };
  if (!isRecord(format)) throw invalid("text.format", "must be an object");
  return format as ResponseObject["text"]["format"];
}

function effortOf(value: unknown): ResponseObject["reasoning"]["effort"] {
  if (value === undefined || value === null) return null;
  if (!isRecord(value)) throw invalid("reasoning", "must be {effort}");
  for (const name of namesIn(value)) {
    if (name !== "effort" && value[name] !== null)
      throw invalid(`reasoning.${name}`, "is not supported: thinking is told as it is");
  }
  return (value["effort"] ?? null) as ResponseObject["reasoning"]["effort"];
}

function truncationOf(value: unknown): ResponseObject["truncation"] {
  if (value === undefined || value === null) return "disabled";
  if (value === "auto" || value === "disabled") return value;
  throw invalid("truncation", `must be "auto" or "disabled", not ${show(value)}`);
}

/** `truncation: "auto"` is a sliding context. */
function extensions(value: unknown, truncation: ResponseObject["truncation"]): unknown {
  if (truncation === "disabled") return value;
  if (isRecord(value) && value["context"]) {
    throw invalid("truncation", "is given beside webbuild.context: give one of them");
  }
  return { ...(isRecord(value) ? value : {}), context: { overflow: "slide" } };
}

/** Chat completions have the same fields one level deeper. */
function nestedTool(tool: unknown): unknown {
  if (!isRecord(tool)) return tool;
  const { type, ...fn } = tool;
  return { type, function: fn };
}

const nestedName = (tool: unknown): unknown =>
  isRecord(tool) ? { type: tool["type"], function: { name: tool["name"] } } : tool;

function nestedChoice(choice: unknown): unknown {
  if (!isRecord(choice)) return choice;
  if (choice["type"] !== "allowed_tools") return nestedName(choice);
  const { mode, tools } = choice;
  return {
    type: "allowed_tools",
    allowed_tools: { mode, tools: Array.isArray(tools) ? tools.map(nestedName) : tools },
  };
}

function nestedFormat({ type, ...rest }: ResponseObject["text"]["format"]): unknown {
  return type === "json_schema" ? { type, json_schema: rest } : { type, ...rest };
}

/** What chat completions call these. */
const NAMES: readonly [RegExp, string][] = [
  [/^response_format\.json_schema/, "text.format"],
  [/^response_format/, "text.format"],
  [/^reasoning_effort/, "reasoning.effort"],
  [/^tool_choice\.allowed_tools/, "tool_choice"],
  [/^messages/, "input"],
  [/^(tools\[\d+\]|tool_choice(?:\.tools\[\d+\])?)\.function\b/, "$1"],
];

/** A refusal in the names of this API. */
function named<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    const { param } = error.data as { param?: unknown };
    if (typeof param !== "string") throw error;
    const ours = NAMES.reduce((name, [theirs, name2]) => name.replace(theirs, name2), param);
    if (ours === param) throw error;
    throw new InvalidRequestError(error.message.replace(param, ours), {
      ...error.data,
      param: ours,
    });
  }
}
