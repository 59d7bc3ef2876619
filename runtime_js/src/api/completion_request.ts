/** Checks a text completion request, field by field, and turns it into the engine's terms. */
import type { GenerateRequest, TextPrompt } from "../engine/request.js";
import { parseExtensions } from "./extensions.js";
import { Fields, invalid, isRecord } from "./fields.js";
import {
  choicesOf,
  optional,
  parseCount,
  parseSampling,
  parseStop,
  parseStreamOptions,
} from "./generation_fields.js";
import { checkParameters, EXTENSIONS_KEY, TEXT_PARAMETERS } from "./parameters.js";
import { isTokens, parseTokens } from "./prompt.js";

export interface ParsedCompletion {
  /** `n` for each prompt, in the order of the prompts. */
  choices: (GenerateRequest & { messages: TextPrompt })[];
  n: number;
  stream: boolean;
  includeUsage: boolean;
  echo: boolean;
}

const MAX_LOGPROBS = 5;
/** OpenAI's default. */
const MAX_TOKENS = 16;
const MAX_CHOICES = 1024;

/** @throws InvalidRequestError naming the parameter */
export function parseCompletionRequest(params: unknown): ParsedCompletion {
  if (!isRecord(params)) throw invalid("params", "must be an object with `prompt`");
  checkParameters(params, TEXT_PARAMETERS);
  const read = new Fields(params);
  const prompts = parsePrompts(params["prompt"]);
  const stream = read.boolean("stream") ?? false;
  const includeUsage = parseStreamOptions(params["stream_options"], stream);
  const n = parseCount(read);
  if (n * prompts.length > MAX_CHOICES)
    throw invalid("prompt", `and n ask for more than ${MAX_CHOICES} choices`);
  const best = read.integer("best_of", 1) ?? n;
  if (best !== n) throw invalid("best_of", `must be n, ${n}: all answers are returned`);
  const echo = read.boolean("echo") ?? false;
  const logprobs = read.integer("logprobs", 0) ?? null;
  if (logprobs !== null && logprobs > MAX_LOGPROBS)
    throw invalid("logprobs", `must be at most ${MAX_LOGPROBS}, not ${logprobs}`);
  if (echo && logprobs !== null)
    throw invalid("echo", "can't be given with logprobs: those of the prompt are not computed");
  const suffix = read.string("suffix");
  const { request, sampling, summarise } = parseExtensions(params[EXTENSIONS_KEY]);
  const needs = "can be given only with messages";
  if (request.template) throw invalid(`${EXTENSIONS_KEY}.template`, needs);
  if (request.constrainTools !== undefined)
    throw invalid(`${EXTENSIONS_KEY}.constrain_tools`, needs);
  if (summarise) throw invalid(`${EXTENSIONS_KEY}.context.overflow`, `as a function ${needs}`);
  const common = {
    maxTokens: read.integer("max_tokens", 1) ?? MAX_TOKENS,
    stop: parseStop(params["stop"]),
    streams: stream,
    ...request,
    sampling: { ...parseSampling(params, logprobs), ...sampling },
  };
  const choices = prompts.flatMap((text) => {
    return choicesOf({ ...common, messages: { text, ...optional("suffix", suffix) } }, n);
  });
  return { choices, n, stream, includeUsage, echo };
}

function parsePrompts(value: unknown): TextPrompt["text"][] {
  if (typeof value === "string") return [value];
  if (isTokens(value)) return [parseTokens(value, "prompt")];
  if (!Array.isArray(value) || value.length === 0) {
    throw invalid("prompt", "must be a text, an array of token ids, or an array of either");
  }
  return value.map((prompt: unknown, i) => {
    return typeof prompt === "string" ? prompt : parseTokens(prompt, `prompt[${i}]`);
  });
}
