/** Checks a chat completion request, field by field, and turns it into the engine's terms. Nothing is silently ignored. */
import type { GenerateRequest } from "../engine/request.js";
import { parseExtensions } from "./extensions.js";
import { Fields, invalid, isRecord, show } from "./fields.js";
import {
  choicesOf,
  parseCount,
  parseSampling,
  parseStop,
  parseStreamOptions,
} from "./generation_fields.js";
import { parseMessages } from "./messages.js";
import { CHAT_PARAMETERS, checkParameters, EXTENSIONS_KEY } from "./parameters.js";
import { parseResponseFormat } from "./response_format.js";
import { parseTools } from "./tools.js";
import type { ReasoningEffort, Summarise } from "./types.js";

export interface ParsedRequest {
  /** One for each choice. */
  choices: [GenerateRequest, ...GenerateRequest[]];
  stream: boolean;
  includeUsage: boolean;
  /** What the answer says of it, if it was asked for. */
  serviceTier?: "default";
  /** Makes messages that fit; stays on this side of the worker. */
  summarise?: Summarise;
}

const MAX_TOP_LOGPROBS = 20;

const REASONING_EFFORTS: readonly ReasoningEffort[] = [
  "none",
  "minimal",
  "low",
  "medium",
  "high",
  "xhigh",
  "max",
];

/** @throws InvalidRequestError naming the parameter */
export function parseRequest(params: unknown): ParsedRequest {
  if (!isRecord(params)) throw invalid("params", "must be an object with `messages`");
  checkParameters(params, CHAT_PARAMETERS);
  const read = new Fields(params);
  const stream = read.boolean("stream") ?? false;
  const includeUsage = parseStreamOptions(params["stream_options"], stream);
  const n = parseCount(read);
  const format = parseResponseFormat(params["response_format"]);
  const { request, sampling, summarise } = parseExtensions(params[EXTENSIONS_KEY]);
  if (format.grammar && request.grammar)
    throw invalid("webbuild.grammar", "is given beside response_format: give one of them");
  const first: GenerateRequest = {
    messages: parseMessages(params["messages"]),
    maxTokens: parseMaxTokens(read),
    stop: parseStop(params["stop"]),
    streams: stream,
    ...parseTools(params),
    ...request,
    ...withEffort(request.template, params["reasoning_effort"]),
    ...format,
    sampling: { ...parseSampling(params, parseLogprobs(read)), ...sampling },
  };
  return {
    stream,
    includeUsage,
    choices: choicesOf(first, n),
    ...(params["service_tier"] ? { serviceTier: "default" } : {}),
    ...(summarise ? { summarise } : {}),
  };
}

function parseMaxTokens(read: Fields): number | null {
  const old = read.integer("max_tokens", 1);
  const current = read.integer("max_completion_tokens", 1);
  if (old !== undefined && current !== undefined && old !== current) {
    throw invalid(
      "max_tokens",
      `is ${old} while max_completion_tokens is ${current}: give one of them`,
    );
  }
  return current ?? old ?? null;
}

/** Templates know the effort as a variable of that name. */
function withEffort(
  template: GenerateRequest["template"],
  value: unknown,
): Pick<GenerateRequest, "template"> {
  if (value === undefined || value === null) return {};
  if (!(REASONING_EFFORTS as readonly unknown[]).includes(value)) {
    throw invalid(
      "reasoning_effort",
      `must be one of ${REASONING_EFFORTS.join(", ")}, not ${show(value)}`,
    );
  }
  if (template?.["reasoning_effort"] !== undefined)
    throw invalid("reasoning_effort", "is in webbuild.template too: give it once");
  return { template: { ...template, reasoning_effort: value } };
}

function parseLogprobs(read: Fields): number | null {
  const logprobs = read.boolean("logprobs") ?? false;
  const top = read.integer("top_logprobs", 0);
  if (top === undefined) return logprobs ? 0 : null;
  if (!logprobs) throw invalid("top_logprobs", "needs logprobs: true");
  if (top > MAX_TOP_LOGPROBS)
    throw invalid("top_logprobs", `must be at most ${MAX_TOP_LOGPROBS}, not ${top}`);
  return top;
}
