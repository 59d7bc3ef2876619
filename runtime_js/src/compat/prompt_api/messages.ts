/** Prompts in the Prompt API's forms, checked, as messages of a chat. */
import type { ToolCall } from "../../index.js";
import { exception } from "./errors.js";

export type LanguageModelMessageRole = "system" | "user" | "assistant";
export type LanguageModelMessageType = "text" | "image" | "audio" | "tool-call" | "tool-response";

export interface LanguageModelMessageContent {
  type: LanguageModelMessageType;
  value: unknown;
}

export interface LanguageModelMessage {
  role: LanguageModelMessageRole;
  content: string | LanguageModelMessageContent[];
  /** Of the last message, the assistant's, of a prompt: what the answer begins with. */
  prefix?: boolean;
}

/** A text is what the user says. */
export type LanguageModelPrompt = string | LanguageModelMessage[];

/** A checked message. */
export interface Message {
  role: LanguageModelMessageRole;
  content: string;
}

/** Of a prompt under way: what the model calls before it answers. */
export interface Calls {
  role: "assistant";
  content: string | null;
  reasoning_content?: string;
  tool_calls: ToolCall[];
}

/** What a call gave. */
export interface Results {
  role: "tool";
  content: string;
  tool_call_id: string;
}

/** What a session keeps. */
export type Said = Message | Calls | Results;

export interface ReadPrompt {
  messages: Message[];
  /** What the answer begins with; "" if that is not given. */
  prefix: string;
}

/**
 * Of a prompt that is to be answered, the messages before the answer, and its beginning.
 *
 * @throws as {@link readMessages}
 */
export function readPrompt(input: LanguageModelPrompt, first: boolean): ReadPrompt {
  const last = Array.isArray(input) ? input.at(-1) : undefined;
  if (last?.role !== "assistant" || !last.prefix)
    return { messages: readMessages(input, first), prefix: "" };
  const messages = readMessages(input.slice(0, -1) as LanguageModelMessage[], first, true);
  return { messages, prefix: readContent(last.content) };
}

/**
 * @param first whether a system message may come first
 * @param begun whether they may be none, as an answer's beginning follows
 * @throws TypeError, SyntaxError, NotSupportedError
 */
export function readMessages(input: LanguageModelPrompt, first: boolean, begun = false): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  if (!Array.isArray(input)) throw new TypeError("a prompt is a string, or an array of messages");
  if (input.length === 0 && !begun) return [{ role: "user", content: "" }];
  return input.map(({ role, content, prefix }, i) => {
    if (role !== "system" && role !== "user" && role !== "assistant") {
      throw new TypeError(`a message's role is system, user or assistant, not ${String(role)}`);
    }
    if (prefix) {
      if (role !== "assistant" || begun || i < input.length - 1) {
        throw exception("SyntaxError", "only the last message, the assistant's, can be a prefix");
      }
      throw exception(
        "NotSupportedError",
        "an answer's beginning is for prompts: leave out prefix",
      );
    }
    if (role === "system" && !(first && i === 0)) {
      throw new TypeError("a system message comes first in a session, or not at all");
    }
    return { role, content: readContent(content) };
  });
}

function readContent(content: LanguageModelMessage["content"]): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw new TypeError("a message's content is a string or an array");
  return content
    .map(({ type, value }) => {
      if (type === "tool-call" || type === "tool-response") {
        const why = "the session makes calls and gives their results itself: give create() tools";
        throw exception("NotSupportedError", `a prompt has no ${type}, ${why} with execute`);
      }
      if (type !== "text") {
        throw exception("NotSupportedError", `this model reads text, and no ${String(type)}`);
      }
      if (typeof value !== "string") throw new TypeError("a text's value must be a string");
      return value;
    })
    .join("");
}
