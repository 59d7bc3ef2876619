/** Checks a chat completion request, field by field, and turns it into the engine's terms. Nothing is silently ignored. */
import type { GenerateRequest, Overflow, Speculates } from "../engine/request.js";
import { InvalidRequestError } from "../errors.js";
import type { TemplateMessage } from "../text/chat_template.js";
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

function invalid(param: string, what: string): InvalidRequestError {
  return new InvalidRequestError(`${param} ${what}`, { param });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Typed access to optional scalars; null counts as absent, as in OpenAI's API. */
class Fields {
  constructor(private readonly params: Record<string, unknown>) {}

  boolean(name: string): boolean | undefined {
    const value = this.params[name] ?? undefined;
    if (value !== undefined && typeof value !== "boolean")
      throw invalid(name, "must be true or false");
    return value;
  }

  number(name: string, min: number, max: number): number | undefined {
    const value = this.params[name] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw invalid(name, `must be a number from ${min} to ${max}, not ${show(value)}`);
    }
    return value;
  }

  integer(name: string, min?: number): number | undefined {
    const value = this.params[name] ?? undefined;
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (min !== undefined && (value as number) < min)) {
      const least = min === undefined ? "" : ` of at least ${min}`;
      throw invalid(name, `must be an integer${least}, not ${show(value)}`);
    }
    return value as number;
  }
}

const show = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : String(value);

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
  if (!isRecord(value)) throw invalid("speculation", 'must be "off", "auto" or {tokens}');
  for (const key of Object.keys(value)) {
    if (key !== "tokens") throw invalid(`speculation.${key}`, "is not a parameter of this engine");
  }
  const { tokens } = value;
  if (!Number.isInteger(tokens) || (tokens as number) < 1 || (tokens as number) > MOST_GUESSES) {
    throw invalid(
      "speculation.tokens",
      `must be an integer from 1 to ${MOST_GUESSES}, not ${show(tokens)}`,
    );
  }
  return { speculation: { tokens: tokens as number } };
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

/** Messages as chat templates take them. @param at where they were given @throws InvalidRequestError */
export function parseMessages(value: unknown, at = "messages"): TemplateMessage[] {
  if (!Array.isArray(value)) throw invalid(at, "must be an array");
  if (value.length === 0) throw invalid(at, "must not be empty");
  return value.map((message, i) => parseMessage(message, `${at}[${i}]`));
}

function parseMessage(message: unknown, at: string): TemplateMessage {
  if (!isRecord(message)) throw invalid(at, "must be an object");
  const name = message["name"];
  if (name !== undefined && typeof name !== "string")
    throw invalid(`${at}.name`, "must be a string");
  const named = name === undefined ? {} : { name };
  const content = parseContent(message["content"], `${at}.content`);
  switch (message["role"]) {
    case "system":
    case "developer": // OpenAI's newer name for it; templates know only this one
      return { role: "system", content: required(content, at), ...named };
    case "user":
      return { role: "user", content: required(content, at), ...named };
    case "tool": {
      const id = message["tool_call_id"];
      if (typeof id !== "string") throw invalid(`${at}.tool_call_id`, "must be a string");
      return { role: "tool", content: required(content, at), tool_call_id: id };
    }
    case "assistant": {
      const calls = parseToolCalls(message["tool_calls"], `${at}.tool_calls`);
      if (calls.length === 0)
        return { role: "assistant", content: required(content, at), ...named };
      return { role: "assistant", content, tool_calls: calls, ...named };
    }
    default:
      throw invalid(
        `${at}.role`,
        `must be system, developer, user, assistant or tool, not ${show(message["role"])}`,
      );
  }
}

function required(content: string | null, at: string): string {
  if (content === null) throw invalid(`${at}.content`, "is missing");
  return content;
}

function parseContent(content: unknown, at: string): string | null {
  if (content === undefined || content === null) return null;
  if (typeof content === "string") return content;
  if (!Array.isArray(content))
    throw invalid(at, "must be a string, an array of text parts, or null");
  const texts = content.map((part: unknown, i) => {
    if (!isRecord(part) || part["type"] !== "text") {
      throw invalid(`${at}[${i}]`, 'must be {type: "text", text}: this model reads text only');
    }
    if (typeof part["text"] !== "string") throw invalid(`${at}[${i}].text`, "must be a string");
    return part["text"];
  });
  return texts.join("");
}

function parseToolCalls(value: unknown, at: string): NonNullable<TemplateMessage["tool_calls"]> {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(at, "must be an array");
  return value.map((call: unknown, i) => {
    const fn = isRecord(call) ? call["function"] : undefined;
    if (
      !isRecord(call) ||
      !isRecord(fn) ||
      typeof call["id"] !== "string" ||
      typeof fn["name"] !== "string"
    ) {
      throw invalid(`${at}[${i}]`, 'must be {id, type: "function", function: {name, arguments}}');
    }
    return {
      id: call["id"],
      type: "function" as const,
      function: {
        name: fn["name"],
        arguments: parseArguments(fn["arguments"], `${at}[${i}].function.arguments`),
      },
    };
  });
}

/** OpenAI sends arguments as JSON text; templates print them as JSON, so they take the parsed value. */
function parseArguments(value: unknown, at: string): unknown {
  if (typeof value !== "string") throw invalid(at, "must be a string of JSON");
  try {
    return JSON.parse(value);
  } catch {
    throw invalid(at, "must be valid JSON");
  }
}
