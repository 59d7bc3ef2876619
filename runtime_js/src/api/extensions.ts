/** Checks what stands under `webbuild`, the key for everything that is not OpenAI's. */
import type { GenerateRequest, Overflow, SamplingOptions, Speculates } from "../engine/request.js";
import { Fields, invalid, isRecord, namesIn, show } from "./fields.js";
import { optional } from "./generation_fields.js";
import { EXTENSIONS, EXTENSIONS_KEY } from "./parameters.js";
import { parseResponseFormat } from "./response_format.js";
import type { Summarise } from "./types.js";

const MAX_PRIORITY = 100;
const MOST_GUESSES = 15;

/** Variables of a chat template that a request has other names for. */
const NOT_VARIABLES = ["messages", "tools", "add_generation_prompt"];

/** Values that a template variable may nest. */
const MAX_DEPTH = 16;

export interface Extensions {
  /** Fields of the engine's request. */
  request: Pick<
    GenerateRequest,
    | "priority"
    | "speculation"
    | "overflow"
    | "ignoreEos"
    | "template"
    | "grammar"
    | "jumps"
    | "constrainTools"
  >;
  /** Settings of its sampling. */
  sampling: Pick<SamplingOptions, "topK" | "minP" | "repetitionPenalty">;
  /** Makes messages that fit; stays on this side of the worker. */
  summarise?: Summarise;
}

/** @throws InvalidRequestError naming the extension */
export function parseExtensions(value: unknown): Extensions {
  if (value === undefined || value === null) return { request: {}, sampling: {} };
  if (!isRecord(value)) throw invalid(EXTENSIONS_KEY, "must be an object");
  for (const key of namesIn(value)) {
    if (!(EXTENSIONS as readonly string[]).includes(key))
      throw invalid(at(key), "is not an extension of this engine");
  }
  const read = new Fields(value, at(""));
  const repetitionPenalty = read.number("repetition_penalty", 0, 10);
  if (repetitionPenalty === 0) throw invalid(at("repetition_penalty"), "must be more than 0");
  const { summarise, ...context } = parseContext(value["context"]);
  return {
    request: {
      ...optional("priority", read.number("priority", -MAX_PRIORITY, MAX_PRIORITY)),
      ...optional("ignoreEos", read.boolean("ignore_eos")),
      ...optional("constrainTools", read.boolean("constrain_tools")),
      ...optional("jumps", read.boolean("jump_forward")),
      ...parseResponseFormat(value["grammar"], at("grammar")),
      ...parseTemplate(value["template"]),
      ...parseSpeculation(value["speculation"]),
      ...context,
    },
    sampling: {
      ...optional("topK", read.integer("top_k", 0)),
      ...optional("minP", read.number("min_p", 0, 1)),
      ...optional("repetitionPenalty", repetitionPenalty),
    },
    ...(summarise ? { summarise } : {}),
  };
}

const at = (name: string) => `${EXTENSIONS_KEY}.${name}`;

/** Variables for the chat template: plain data, as it crosses to the worker. */
function parseTemplate(value: unknown): { template?: Record<string, unknown> } {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw invalid(at("template"), "must be a record of variables");
  for (const [name, content] of Object.entries(value)) {
    if (NOT_VARIABLES.includes(name))
      throw invalid(at(`template.${name}`), "is set by the request itself");
    if (!isPlain(content, MAX_DEPTH)) throw invalid(at(`template.${name}`), "must be plain data");
  }
  return { template: { ...value } };
}

function isPlain(value: unknown, depth: number): boolean {
  if (value === undefined || value === null) return true;
  if (typeof value !== "object") return ["string", "number", "boolean"].includes(typeof value);
  const prototype: unknown = Object.getPrototypeOf(value);
  const record = prototype === Object.prototype || prototype === null;
  if (depth === 0 || !(record || Array.isArray(value))) return false;
  return Object.values(value).every((v) => isPlain(v, depth - 1));
}

/** `off`, `auto`, or how many tokens to guess. */
function parseSpeculation(value: unknown): { speculation?: Speculates } {
  if (value === undefined || value === null) return {};
  if (value === "off" || value === "auto") return { speculation: value };
  if (!isRecord(value)) throw invalid(at("speculation"), 'must be "off", "auto" or {tokens, from}');
  for (const key of namesIn(value)) {
    if (key !== "tokens" && key !== "from")
      throw invalid(at(`speculation.${key}`), "is not a parameter of this engine");
  }
  const { tokens, from } = value;
  if (from !== undefined && from !== "draft" && from !== "prompt") {
    throw invalid(at("speculation.from"), `must be "draft" or "prompt", not ${show(from)}`);
  }
  if (!Number.isInteger(tokens) || (tokens as number) < 1 || (tokens as number) > MOST_GUESSES) {
    throw invalid(
      at("speculation.tokens"),
      `must be an integer from 1 to ${MOST_GUESSES}, not ${show(tokens)}`,
    );
  }
  return { speculation: { tokens: tokens as number, ...(from === undefined ? {} : { from }) } };
}

/** What to do when the context is too short. */
function parseContext(value: unknown): { overflow?: Overflow; summarise?: Summarise } {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw invalid(at("context"), "must be {overflow}");
  for (const key of namesIn(value)) {
    if (key !== "overflow")
      throw invalid(at(`context.${key}`), "is not a parameter of this engine");
  }
  const { overflow } = value;
  if (overflow === "error" || overflow === "slide") return { overflow };
  if (typeof overflow === "function") {
    return { overflow: "summarise", summarise: overflow as Summarise };
  }
  throw invalid(at("context.overflow"), 'must be "error", "slide" or a function');
}
