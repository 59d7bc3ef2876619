/**
 * Every parameter of OpenAI's completions, and what becomes of it. A test holds the names against the `openai` package's
 * types, so that a parameter that is new there cannot be ignored here.
 */
import { invalid, isRecord, show } from "./fields.js";

/**
 * `works`: it does what OpenAI's documentation says. `label`: names something, and can change no answer; only its type is
 * checked. `only`: of what it may be, the engine does these values, and refuses others with a reason. `refused`: with a reason.
 */
export type Fate =
  | "works"
  | { label: "string" | "strings by name" }
  | { only: readonly unknown[]; reason: string }
  | { refused: string };

const STRING = { label: "string" } as const;

/** Of `chat.completions.create`. */
export const CHAT_PARAMETERS = {
  messages: "works",
  model: STRING, // an engine runs one model, whatever it is called in code that was written for another
  frequency_penalty: "works",
  logit_bias: "works",
  logprobs: "works",
  max_completion_tokens: "works",
  max_tokens: "works",
  n: "works",
  presence_penalty: "works",
  reasoning_effort: "works",
  response_format: "works",
  seed: "works",
  stop: "works",
  stream: "works",
  stream_options: "works",
  temperature: "works",
  top_logprobs: "works",
  top_p: "works",
  tools: "works",
  tool_choice: "works",
  parallel_tool_calls: "works",

  user: STRING,
  safety_identifier: STRING,
  prompt_cache_key: STRING, // what prompts have in common is found without it
  metadata: { label: "strings by name" },

  modalities: { only: [["text"]], reason: "the model writes text only" },
  store: { only: [false], reason: "nothing is stored: keep the answer yourself" },
  service_tier: {
    only: ["auto", "default"],
    reason: "there is one tier: webbuild.priority says which request goes first",
  },
  prompt_cache_retention: {
    only: ["in_memory"],
    reason: "the cache lives as long as the engine: engine.kv.save keeps a prompt between visits",
  },
  verbosity: {
    only: ["medium"],
    reason: "the model has no such setting: say in the messages how long the answer should be",
  },

  audio: { refused: "is not supported: the model writes text only" },
  function_call: {
    refused:
      'is OpenAI\'s old name: use tool_choice, "auto", "none" or {type: "function", function: {name}}',
  },
  functions: { refused: 'is OpenAI\'s old name: use tools, [{type: "function", function}]' },
  moderation: { refused: "is not supported: there is no model for it here" },
  prediction: {
    refused: 'is not supported: webbuild.speculation: "auto" guesses from what the text repeats',
  },
  prompt_cache_options: {
    refused: "is not supported: the engine caches all prompts, engine.kv.save keeps one for longer",
  },
  web_search_options: { refused: "is not supported: nothing leaves this device" },
} as const satisfies Record<string, Fate>;

/** Of `completions.create`. */
export const TEXT_PARAMETERS = {
  prompt: "works",
  model: STRING,
  best_of: "works",
  echo: "works",
  frequency_penalty: "works",
  logit_bias: "works",
  logprobs: "works",
  max_tokens: "works",
  n: "works",
  presence_penalty: "works",
  seed: "works",
  stop: "works",
  stream: "works",
  stream_options: "works",
  suffix: "works",
  temperature: "works",
  top_p: "works",
  user: STRING,
} as const satisfies Record<string, Fate>;

/** The one key for everything that is not OpenAI's. */
export const EXTENSIONS_KEY = "webbuild";

/** What stands under it. */
export const EXTENSIONS = [
  "top_k",
  "min_p",
  "repetition_penalty",
  "ignore_eos",
  "grammar",
  "jump_forward",
  "template",
  "priority",
  "speculation",
  "context",
  "constrain_tools",
] as const;

/** @throws InvalidRequestError about the first parameter that is unknown, or that the engine does not do */
export function checkParameters(
  params: Record<string, unknown>,
  table: Readonly<Record<string, Fate>>,
): void {
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || name === EXTENSIONS_KEY) continue;
    const fate = Object.hasOwn(table, name) ? table[name] : undefined;
    if (fate === undefined) throw unknown(name);
    if (value === null || fate === "works") continue;
    if ("refused" in fate) throw invalid(name, fate.refused);
    if ("only" in fate) checkOnly(name, value, fate);
    else checkLabel(name, value, fate.label);
  }
}

function unknown(name: string) {
  const ours = (EXTENSIONS as readonly string[]).includes(name);
  return invalid(
    name,
    ours
      ? `is not OpenAI's: give it as ${EXTENSIONS_KEY}.${name}`
      : "is not a parameter of this engine",
  );
}

function checkOnly(
  name: string,
  value: unknown,
  { only, reason }: { only: readonly unknown[]; reason: string },
): void {
  const same = (allowed: unknown) =>
    Array.isArray(allowed)
      ? Array.isArray(value) &&
        value.length === allowed.length &&
        value.every((v, i) => v === allowed[i])
      : value === allowed;
  if (only.some(same)) return;
  const names = only.map((allowed) => JSON.stringify(allowed)).join(" or ");
  throw invalid(name, `must be ${names}, not ${show(value)}: ${reason}`);
}

function checkLabel(name: string, value: unknown, label: "string" | "strings by name"): void {
  if (label === "string") {
    if (typeof value !== "string") throw invalid(name, "must be a string");
  } else if (!isRecord(value) || Object.values(value).some((v) => typeof v !== "string")) {
    throw invalid(name, "must be a record of strings");
  }
}
