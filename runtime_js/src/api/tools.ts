/** Checks what a request says about tools. */
import type { GenerateRequest } from "../engine/request.js";
import type { ToolChoice, ToolSpec } from "../text/tools.js";
import { invalid, isRecord, json, namesIn, show } from "./fields.js";

const MAX_TOOLS = 128;
const FIELDS = ["name", "description", "parameters", "strict"];
const UNKNOWN = "is not a field that this engine knows of a function";
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** With `tool_choice: "none"` the model is not told of its tools. @throws InvalidRequestError naming the parameter */
export function parseTools(
  params: Record<string, unknown>,
): Pick<GenerateRequest, "tools" | "toolChoice"> {
  const given = params["tools"] ?? undefined;
  const tools = given === undefined ? undefined : toolsOf(given);
  const parallel = params["parallel_tool_calls"] ?? undefined;
  if (parallel !== undefined && typeof parallel !== "boolean")
    throw invalid("parallel_tool_calls", "must be true or false");
  if (parallel !== undefined && !tools) throw invalid("parallel_tool_calls", "needs tools");
  const choice = choiceOf(params["tool_choice"], tools);
  if (!tools || choice.mode === "none") return {};
  return { tools, toolChoice: { ...choice, ...(parallel === false ? { single: true } : {}) } };
}

function toolsOf(value: unknown): ToolSpec[] {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid("tools", "must be an array of at least one tool");
  if (value.length > MAX_TOOLS) throw invalid("tools", `must be at most ${MAX_TOOLS}`);
  const names = new Set<string>();
  return value.map((tool: unknown, i) => {
    const spec = toolOf(tool, `tools[${i}]`);
    const { name } = spec.function;
    if (names.has(name)) throw invalid(`tools[${i}].function.name`, `${show(name)} is there twice`);
    names.add(name);
    return spec;
  });
}

function toolOf(tool: unknown, at: string): ToolSpec {
  if (!isRecord(tool))
    throw invalid(at, 'must be {type: "function", function: {name, parameters}}');
  if (tool["type"] !== "function")
    throw invalid(`${at}.type`, `must be "function", not ${show(tool["type"])}`);
  const given = tool["function"];
  if (!isRecord(given)) throw invalid(`${at}.function`, "must be an object with a name");
  for (const name of namesIn(tool)) {
    if (name !== "type" && name !== "function") throw invalid(`${at}.${name}`, UNKNOWN);
  }
  for (const name of namesIn(given)) {
    if (!FIELDS.includes(name)) throw invalid(`${at}.function.${name}`, UNKNOWN);
  }
  const { name, description, parameters, strict } = given;
  if (typeof name !== "string" || !NAME.test(name)) {
    throw invalid(
      `${at}.function.name`,
      `must be 1 to 64 letters, digits, _ or -, not ${show(name)}`,
    );
  }
  if (description !== undefined && description !== null && typeof description !== "string")
    throw invalid(`${at}.function.description`, "must be a string");
  if (parameters !== undefined && parameters !== null && !isObjectSchema(parameters))
    throw invalid(`${at}.function.parameters`, "must be the JSON Schema of an object");
  if (strict !== undefined && strict !== null && typeof strict !== "boolean")
    throw invalid(`${at}.function.strict`, "must be true or false");
  // In the order in which they were given: the model reads them so.
  const said = Object.entries(given).filter(([, part]) => part !== undefined && part !== null);
  const text = json(Object.fromEntries(said), `${at}.function`);
  return { type: "function", function: JSON.parse(text) as ToolSpec["function"] };
}

function isObjectSchema(value: unknown): boolean {
  return isRecord(value) && (value["type"] === undefined || value["type"] === "object");
}

function choiceOf(value: unknown, tools: readonly ToolSpec[] | undefined): ToolChoice {
  if (value === undefined || value === null) return { mode: tools ? "auto" : "none" };
  if (value === "none") return { mode: "none" };
  if (!tools) throw invalid("tool_choice", "needs tools");
  if (value === "auto" || value === "required") return { mode: value };
  if (isRecord(value) && value["type"] === "function")
    return { mode: "required", only: [nameIn(value, "tool_choice", tools)], single: true };
  if (isRecord(value) && value["type"] === "allowed_tools") {
    const allowed = value["allowed_tools"];
    const mode = isRecord(allowed) ? allowed["mode"] : undefined;
    const list = isRecord(allowed) ? allowed["tools"] : undefined;
    if ((mode === "auto" || mode === "required") && Array.isArray(list) && list.length > 0) {
      const at = "tool_choice.allowed_tools.tools";
      return { mode, only: list.map((tool: unknown, i) => nameIn(tool, `${at}[${i}]`, tools)) };
    }
  }
  throw invalid(
    "tool_choice",
    'must be "auto", "none", "required", {type: "function", function: {name}} or ' +
      '{type: "allowed_tools", allowed_tools: {mode, tools}}',
  );
}

/** The function that `{type: "function", function: {name}}` names. */
function nameIn(value: unknown, at: string, tools: readonly ToolSpec[]): string {
  const fn = isRecord(value) ? value["function"] : undefined;
  const name = isRecord(fn) ? fn["name"] : undefined;
  if (typeof name === "string" && tools.some((tool) => tool.function.name === name)) return name;
  throw invalid(`${at}.function.name`, `must be one of the tools, not ${show(name)}`);
}
