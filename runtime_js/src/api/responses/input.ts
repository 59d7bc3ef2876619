/** The items of a response's input become the messages of a chat. */
import { invalid, isRecord, show } from "../fields.js";
import type { ChatCompletionMessageParam, ToolCall } from "../types.js";
import type { InputItem } from "./types.js";

type Assistant = Extract<ChatCompletionMessageParam, { role: "assistant" }>;

const ROLES = ["user", "system", "developer", "assistant"];

/** @throws InvalidRequestError naming what is wrong */
export function parseInput(value: unknown): InputItem[] {
  if (typeof value === "string") return [{ role: "user", content: value }];
  if (!Array.isArray(value)) throw invalid("input", "must be a string or an array of items");
  if (value.length === 0) throw invalid("input", "must not be empty");
  value.forEach((item, i) => {
    checkItem(item, `input[${i}]`);
  });
  return value as InputItem[];
}

function checkItem(item: unknown, at: string): void {
  if (!isRecord(item)) throw invalid(at, "must be an object");
  const { type = "message" } = item;
  switch (type) {
    case "message":
      if (!ROLES.includes(item["role"] as string)) {
        throw invalid(
          `${at}.role`,
          `must be one of ${ROLES.join(", ")}, not ${show(item["role"])}`,
        );
      }
      textOf(item["content"], `${at}.content`);
      return;
    case "function_call":
      for (const name of ["call_id", "name", "arguments"]) {
        if (typeof item[name] !== "string") throw invalid(`${at}.${name}`, "must be a string");
      }
      checkJson(item["arguments"] as string, `${at}.arguments`);
      return;
    case "function_call_output":
      if (typeof item["call_id"] !== "string") throw invalid(`${at}.call_id`, "must be a string");
      textOf(item["output"], `${at}.output`);
      return;
    case "reasoning":
      if (item["content"] !== undefined) textOf(item["content"], `${at}.content`);
      return;
    default:
      throw invalid(
        `${at}.type`,
        `must be message, function_call, function_call_output or reasoning, not ${show(type)}`,
      );
  }
}

function checkJson(text: string, at: string): void {
  try {
    JSON.parse(text);
  } catch {
    throw invalid(at, "must be valid JSON");
  }
}

const TEXTS = ["input_text", "output_text", "reasoning_text"];

/** The text of content, which may be in parts. @throws InvalidRequestError */
function textOf(content: unknown, at: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw invalid(at, "must be a string or an array of parts");
  return content
    .map((part: unknown, i) => {
      if (!isRecord(part) || !TEXTS.includes(part["type"] as string)) {
        const type = isRecord(part) ? show(part["type"]) : show(part);
        throw invalid(
          `${at}[${i}].type`,
          `must be input_text or output_text, not ${type}: the model reads text only`,
        );
      }
      if (typeof part["text"] !== "string") throw invalid(`${at}[${i}].text`, "must be a string");
      return part["text"];
    })
    .join("");
}

/** One assistant's turn, thinking, text and calls, is one message of a chat. */
export function messagesOf(items: readonly InputItem[]): ChatCompletionMessageParam[] {
  const messages: ChatCompletionMessageParam[] = [];
  let turn: (Assistant & { tool_calls?: ToolCall[] }) | undefined;
  const assistant = (ended: (turn: Assistant) => boolean): Assistant => {
    if (!turn || ended(turn)) {
      turn = { role: "assistant", content: null };
      messages.push(turn);
    }
    return turn;
  };
  for (const item of items) {
    if (item.type === "reasoning") {
      const text = textOf(item.content ?? "", "content");
      assistant(
        ({ content, tool_calls }) => content !== null || tool_calls !== undefined,
      ).reasoning_content = text;
    } else if (item.type === "function_call") {
      const { call_id: id, name, arguments: text } = item;
      const message = assistant(() => false);
      message.tool_calls ??= [];
      message.tool_calls.push({ id, type: "function", function: { name, arguments: text } });
    } else if (item.type === "function_call_output") {
      turn = undefined;
      const content = textOf(item.output, "output");
      messages.push({ role: "tool", tool_call_id: item.call_id, content });
    } else {
      const content = textOf(item.content, "content");
      if (item.role === "assistant") {
        assistant((turn) => turn.content !== null || turn.tool_calls !== undefined).content =
          content;
      } else {
        turn = undefined;
        messages.push({ role: item.role, content });
      }
    }
  }
  return messages;
}
