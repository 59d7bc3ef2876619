/** Checks a chat completion request, field by field, and turns it into the engine's terms. Nothing is silently ignored. */
import type { GenerateRequest, Overflow, Speculates } from "../engine/request.js";
import { Fields, invalid, isRecord, show } from "./fields.js";
import { parseMessages } from "./messages.js";
import { parseTools, TOOL_PARAMETERS } from "./tools.js";
import type { Summarise } from "./types.js";

export interface ParsedRequest {
  /** One for each choice. */
  choices: [GenerateRequest, ...GenerateRequest[]];
  stream: boolean;
  includeUsage: boolean;
  /** Makes messages that fit; stays on this side of the worker. */
  summarise?: Summarise;
}

const MAX_TOP_LOGPROBS = 20;
const MAX_CHOICES = 128;
const MAX_PRIORITY = 100;
const MOST_GUESSES = 15;

/** Parameters without effect here, accepted because they can't change an answer. */
const HARMLESS = ["model", "user", "metadata", "store"];

const KNOWN = new Set([
  ...HARMLESS,
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "stop",
  "frequency_penalty",
  "presence_penalty",
  "logit_bias",
  "logprobs",
  "top_logprobs",
  "n",
  "priority",
  "speculation",
  "context",
  "response_format",
  ...TOOL_PARAMETERS,
]);

/** @throws InvalidRequestError naming the parameter */
export function parseRequest(params: unknown): ParsedRequest {
  if (!isRecord(params)) throw invalid("params", "must be an object with `messages`");
  for (const name of Object.keys(params)) {
    if (!KNOWN.has(name) && params[name] !== undefined)
      throw invalid(name, "is not a parameter of this engine");
  }
  const read = new Fields(params);
  const stream = read.boolean("stream") ?? false;
  const includeUsage = parseStreamOptions(params["stream_options"], stream);
  const n = read.integer("n", 1) ?? 1;
  if (n > MAX_CHOICES) throw invalid("n", `must be at most ${MAX_CHOICES}, not ${n}`);
  parseResponseFormat(params["response_format"]);
  const optional = <K extends string>(key: K, value: number | undefined) =>
    (value === undefined ? {} : { [key]: value }) as { [P in K]?: number };
  const seed = read.integer("seed");
  const { summarise, ...context } = parseContext(params["context"]);
  const first: GenerateRequest = {
    messages: parseMessages(params["messages"]),
    maxTokens: parseMaxTokens(read),
    stop: parseStop(params["stop"]),
    ...optional("priority", read.number("priority", -MAX_PRIORITY, MAX_PRIORITY)),
    streams: stream,
    ...parseSpeculation(params["speculation"]),
    ...context,
    ...parseTools(params),
    sampling: {
      ...optional("temperature", read.number("temperature", 0, 2)),
      ...optional("topP", read.number("top_p", 0, 1)),
      ...optional("topK", read.integer("top_k", 0)),
      ...optional("minP", read.number("min_p", 0, 1)),
      ...optional("seed", seed),
      frequencyPenalty: read.number("frequency_penalty", -2, 2) ?? 0,
      presencePenalty: read.number("presence_penalty", -2, 2) ?? 0,
      logitBias: parseLogitBias(params["logit_bias"]),
      logprobs: parseLogprobs(read),
    },
  };
  const others = Array.from({ length: n - 1 }, (_, i) => ({
    ...first,
    sampling: { ...first.sampling, ...optional("seed", seed === undefined ? seed : seed + i + 1) },
  }));
  const choices: ParsedRequest["choices"] = [first, ...others];
  return { stream, includeUsage, choices, ...(summarise ? { summarise } : {}) };
}

function parseStreamOptions(value: unknown, stream: boolean): boolean {
  if (value === undefined || value === null) return false;
  if (!stream) throw invalid("stream_options", "is only allowed with stream: true");
  if (!isRecord(value)) throw invalid("stream_options", "must be an object");
  for (const key of Object.keys(value)) {
    if (key !== "include_usage")
      throw invalid(`stream_options.${key}`, "is not a parameter of this engine");
  }
  return new Fields(value).boolean("include_usage") ?? false;
}

/** `off`, `auto`, or how many tokens to guess. */
function parseSpeculation(value: unknown): { speculation?: Speculates } {
  if (value === undefined || value === null) return {};
  if (value === "off" || value === "auto") return { speculation: value };
  if (!isRecord(value)) throw invalid("speculation", 'must be "off", "auto" or {tokens, from}');
  for (const key of Object.keys(value)) {
    if (key !== "tokens" && key !== "from")
      throw invalid(`speculation.${key}`, "is not a parameter of this engine");
  }
  const { tokens, from } = value;
  if (from !== undefined && from !== "draft" && from !== "prompt") {
    throw invalid("speculation.from", `must be "draft" or "prompt", not ${show(from)}`);
  }
  if (!Number.isInteger(tokens) || (tokens as number) < 1 || (tokens as number) > MOST_GUESSES) {
    throw invalid(
      "speculation.tokens",
      `must be an integer from 1 to ${MOST_GUESSES}, not ${show(tokens)}`,
    );
  }
  return { speculation: { tokens: tokens as number, ...(from === undefined ? {} : { from }) } };
}

/** What to do when the context is too short. */
function parseContext(value: unknown): { overflow?: Overflow; summarise?: Summarise } {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw invalid("context", "must be {overflow}");
  for (const key of Object.keys(value)) {
    if (key !== "overflow") throw invalid(`context.${key}`, "is not a parameter of this engine");
  }
  const { overflow } = value;
  if (overflow === "error" || overflow === "slide") return { overflow };
  if (typeof overflow === "function") {
    return { overflow: "summarise", summarise: overflow as Summarise };
  }
  throw invalid("context.overflow", 'must be "error", "slide" or a function');
}

function parseResponseFormat(value: unknown): void {
  if (value === undefined || value === null) return;
  if (!isRecord(value) || value["type"] !== "text") {
    throw invalid(
      "response_format",
      'must be {type: "text"}: structured output is not supported yet',
    );
  }
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

function parseStop(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  for (const s of list) {
    if (typeof s !== "string" || s === "")
      throw invalid("stop", "must be a non-empty string or an array of them");
  }
  return list as string[];
}

function parseLogitBias(value: unknown): [number, number][] {
  if (value === undefined || value === null) return [];
  if (!isRecord(value)) throw invalid("logit_bias", "must map token ids to numbers");
  return Object.entries(value).map(([key, bias]) => {
    const id = Number(key);
    if (!/^\d+$/.test(key) || !Number.isSafeInteger(id))
      throw invalid("logit_bias", `has ${show(key)}, which is no token id`);
    if (typeof bias !== "number" || !(bias >= -100 && bias <= 100)) {
      throw invalid(
        "logit_bias",
        `of token ${key} must be a number from -100 to 100, not ${show(bias)}`,
      );
    }
    return [id, bias];
  });
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
