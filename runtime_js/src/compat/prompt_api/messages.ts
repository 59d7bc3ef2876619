/** Prompts in the Prompt API's forms, checked, as messages of a chat. */
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
  /** Refused: an answer can't be begun here. */
  prefix?: boolean;
}

/** A text is what the user says. */
export type LanguageModelPrompt = string | LanguageModelMessage[];

/** A checked message. */
export interface Message {
  role: LanguageModelMessageRole;
  content: string;
}

/**
 * @param first whether a system message may come first
 * @throws TypeError, SyntaxError, NotSupportedError
 */
export function readPrompt(input: LanguageModelPrompt, first: boolean): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  if (!Array.isArray(input)) throw new TypeError("a prompt is a string, or an array of messages");
  if (input.length === 0) return [{ role: "user", content: "" }];
  return input.map(({ role, content, prefix }, i) => {
    if (role !== "system" && role !== "user" && role !== "assistant") {
      throw new TypeError(`a message's role is system, user or assistant, not ${String(role)}`);
    }
    if (prefix) {
      if (role !== "assistant" || i < input.length - 1) {
        throw exception("SyntaxError", "only the last message, the assistant's, can be a prefix");
      }
      throw exception("NotSupportedError", "an answer can't be given its beginning");
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
      if (type !== "text") {
        throw exception("NotSupportedError", `this model reads text, and no ${String(type)}`);
      }
      if (typeof value !== "string") throw new TypeError("a text's value must be a string");
      return value;
    })
    .join("");
}
