/** Checks the messages of a conversation, and turns them into what chat templates take. */
import type { TemplateMessage } from "../text/chat_template.js";
import { invalid, isRecord, namesIn, show } from "./fields.js";

/** Messages as chat templates take them. @param at where they were given @throws InvalidRequestError */
export function parseMessages(value: unknown, at = "messages"): TemplateMessage[] {
  if (!Array.isArray(value)) throw invalid(at, "must be an array");
  if (value.length === 0) throw invalid(at, "must not be empty");
  return value.map((message, i) => parseMessage(message, `${at}[${i}]`));
}

/** What each role may say. Of an answer that goes back as it came, fields that hold nothing are not asked about. */
const FIELDS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ["system", ["name"]],
  ["developer", ["name"]],
  ["user", ["name"]],
  ["tool", ["name", "tool_call_id"]],
  ["assistant", ["name", "reasoning_content", "refusal", "tool_calls"]],
]);

function checkFields(message: Record<string, unknown>, at: string): void {
  const known = FIELDS.get(message["role"]);
  if (!known) return; // the role itself is wrong
  for (const [name, value] of Object.entries(message)) {
    const empty = value === undefined || value === null || (Array.isArray(value) && !value.length);
    if (empty || name === "role" || name === "content" || known.includes(name)) continue;
    throw invalid(`${at}.${name}`, "is not a field that this engine knows in such a message");
  }
}

function parseMessage(message: unknown, at: string): TemplateMessage {
  if (!isRecord(message)) throw invalid(at, "must be an object");
  const name = message["name"];
  if (name !== undefined && name !== null && typeof name !== "string")
    throw invalid(`${at}.name`, "must be a string");
  const named = typeof name === "string" ? { name } : {};
  const refusals = message["role"] === "assistant";
  const content = parseContent(message["content"], `${at}.content`, refusals);
  checkFields(message, at);
  switch (message["role"]) {
    case "system":
    case "developer": // OpenAI's newer name for it; templates know only this one
      return { role: "system", content: required(content, at), ...named };
    case "user":
      return { role: "user", content: required(content, at), ...named };
    case "tool": {
      const id = message["tool_call_id"];
      if (typeof id !== "string") throw invalid(`${at}.tool_call_id`, "must be a string");
      return { role: "tool", content: required(content, at), tool_call_id: id, ...named };
    }
    case "assistant": {
      const calls = parseToolCalls(message["tool_calls"], `${at}.tool_calls`);
      const thought = parseReasoning(message["reasoning_content"], `${at}.reasoning_content`);
      if (calls.length === 0) {
        const said = content ?? parseRefusal(message["refusal"], `${at}.refusal`);
        return { role: "assistant", content: required(said, at), ...thought, ...named };
      }
      return { role: "assistant", content, tool_calls: calls, ...thought, ...named };
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

function parseReasoning(value: unknown, at: string): { reasoning_content?: string } {
  if (value === undefined || value === null) return {};
  if (typeof value !== "string") throw invalid(at, "must be a string");
  return { reasoning_content: value };
}

/** To refuse is to say something. */
function parseRefusal(refusal: unknown, at: string): string | null {
  if (refusal === undefined || refusal === null) return null;
  if (typeof refusal !== "string") throw invalid(at, "must be a string or null");
  return refusal;
}

function parseContent(content: unknown, at: string, refusals: boolean): string | null {
  if (content === undefined || content === null) return null;
  if (typeof content === "string") return content;
  if (!Array.isArray(content))
    throw invalid(at, "must be a string, an array of text parts, or null");
  const texts = content.map((part: unknown, i) => {
    const type = isRecord(part) ? part["type"] : undefined;
    if (!isRecord(part) || !(type === "text" || (refusals && type === "refusal"))) {
      throw invalid(`${at}[${i}]`, 'must be {type: "text", text}: this model reads text only');
    }
    for (const key of namesIn(part)) {
      if (key !== "type" && key !== type)
        throw invalid(`${at}[${i}].${key}`, "is not a field that this engine knows in such a part");
    }
    const text = part[type];
    if (typeof text !== "string") throw invalid(`${at}[${i}].${type}`, "must be a string");
    return text;
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

/**
 * OpenAI sends arguments as JSON text; templates print them as JSON, so they take the parsed value. Calls without any come
 * as an empty text from some models and clients.
 */
function parseArguments(value: unknown, at: string): unknown {
  if (typeof value !== "string") throw invalid(at, "must be a string of JSON");
  try {
    return JSON.parse(value || "{}");
  } catch {
    throw invalid(at, "must be valid JSON");
  }
}
