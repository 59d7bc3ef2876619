/** Functions of the page that a session's model may call: checked, told of, and run. */
import type { ChatCompletionTool, ToolCall } from "../../index.js";
import { unlessAborted } from "./aborted.js";
import { exception } from "./errors.js";
import type { Results } from "./messages.js";

/**
 * Runs a call of the model's; several at once where it makes several. What it rejects with is told the model.
 *
 * @param input matches the tool's `inputSchema`
 * @param options not in the Prompt API: `signal` is aborted with the prompt
 */
export type LanguageModelToolFunction = (
  // biome-ignore lint/suspicious/noExplicitAny: what each tool takes is its inputSchema's
  input: any,
  options: { signal: AbortSignal },
) => Promise<string>;

export interface LanguageModelTool {
  /** 1 to 64 letters, digits, _ or -. */
  name: string;
  description: string;
  /** JSON Schema of an object. */
  inputSchema: object;
  execute: LanguageModelToolFunction;
}

const MOST_TOOLS = 128;
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** A session's tools, maybe none. */
export class Tools {
  readonly #functions: ReadonlyMap<string, LanguageModelToolFunction>;
  /** As requests have them; undefined if there are none. */
  readonly told: ChatCompletionTool[] | undefined;

  /** @param tools as `create` gets them @throws TypeError naming the tool */
  constructor(tools: readonly LanguageModelTool[] = []) {
    if (!Array.isArray(tools)) throw new TypeError("tools must be an array");
    if (tools.length > MOST_TOOLS) {
      throw new TypeError(`tools must be at most ${MOST_TOOLS}, not ${tools.length}`);
    }
    const functions = new Map<string, LanguageModelToolFunction>();
    const told = tools.map((tool, i) => {
      const fn = readTool(tool, `tools[${i}]`);
      if (functions.has(fn.name)) {
        throw new TypeError(`tools[${i}].name: ${fn.name} is there twice, give each its own`);
      }
      functions.set(fn.name, tool.execute);
      return { type: "function" as const, function: fn };
    });
    this.#functions = functions;
    this.told = told.length > 0 ? told : undefined;
  }

  /**
   * Runs the calls of an answer, all at once.
   *
   * @returns their results, in their order
   * @throws the signal's reason as soon as it is aborted; TypeError when `execute` gives an object; OperationError
   */
  async run(calls: readonly ToolCall[], signal: AbortSignal): Promise<Results[]> {
    if (signal.aborted) throw signal.reason;
    const inputs = calls.map(inputOf); // nothing runs if one of them was cut off
    const results = calls.map((call, i) => this.#result(call, inputs[i], signal));
    return unlessAborted(Promise.all(results), signal);
  }

  async #result({ id, function: fn }: ToolCall, input: unknown, signal: AbortSignal) {
    const execute = this.#functions.get(fn.name) as LanguageModelToolFunction;
    const content = await Promise.resolve()
      .then(() => execute(input, { signal }))
      .then((value) => textOf(value, fn.name), failure);
    return { role: "tool" as const, tool_call_id: id, content };
  }
}

/** @throws TypeError */
function readTool(tool: unknown, at: string): ChatCompletionTool["function"] {
  if (typeof tool !== "object" || tool === null) {
    throw new TypeError(`${at} must be {name, description, inputSchema, execute}`);
  }
  const { name, description, inputSchema, execute } = tool as Partial<LanguageModelTool>;
  if (typeof name !== "string" || !NAME.test(name)) {
    const given = typeof name === "string" ? JSON.stringify(name) : typeof name;
    throw new TypeError(`${at}.name must be 1 to 64 letters, digits, _ or -, not ${given}`);
  }
  if (typeof description !== "string") {
    throw new TypeError(`${at}.description must be a text that tells the model what ${name} does`);
  }
  if (typeof execute !== "function") throw new TypeError(`${at}.execute must be a function`);
  return { name, description, parameters: readSchema(inputSchema, `${at}.inputSchema`) };
}

/** As it is now: what is done to it later changes nothing. */
function readSchema(schema: unknown, at: string): Record<string, unknown> {
  const wanted = `${at} must be the JSON Schema of an object: {type: "object", properties: {…}}`;
  let copy: unknown;
  try {
    copy = JSON.parse(JSON.stringify(schema) ?? "null");
  } catch (cause) {
    throw new TypeError(wanted, { cause }); // cyclic, say
  }
  if (typeof copy !== "object" || copy === null || Array.isArray(copy)) throw new TypeError(wanted);
  const { type = "object" } = copy as { type?: unknown };
  if (type !== "object") throw new TypeError(`${wanted}, not of type ${JSON.stringify(type)}`);
  return copy as Record<string, unknown>;
}

/** Arguments are valid as far as they go. */
function inputOf({ function: { name, arguments: text } }: ToolCall): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = `the context was full before the model's call of ${name} was whole`;
    const hint = "use a clone of a shorter conversation, or a larger contextLength";
    throw exception("OperationError", `${why}: ${hint}`, cause);
  }
}

/** What the Web IDL makes a text of is one, but for what would say nothing. */
function textOf(value: unknown, name: string): string {
  const type = typeof value;
  if ((type !== "object" && type !== "function" && type !== "symbol") || value === null) {
    return String(value);
  }
  const what = `execute of the tool ${name} must resolve with a string, not with a value of type ${type}`;
  throw new TypeError(`${what}: use JSON.stringify`);
}

/** The result of a call that failed. */
function failure(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return JSON.stringify({ status: "error", message });
}
