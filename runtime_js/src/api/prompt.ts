/** Prompts as they are given beside chats: messages, a text, or token ids. */
import type { Prompt as EnginePrompt } from "../engine/request.js";
import { invalid, show } from "./fields.js";
import { parseMessages } from "./messages.js";
import type { ChatCompletionMessageParam } from "./types.js";

/** Messages, which the model's chat template makes a text of; a text; or token ids. */
export type Prompt = ChatCompletionMessageParam[] | string | readonly number[];

/** Stands for messages where a request is checked that has its prompt elsewhere. */
export const NO_MESSAGES: ChatCompletionMessageParam[] = [{ role: "user", content: "" }];

/** @throws InvalidRequestError */
export function parsePrompt(prompt: Prompt): EnginePrompt {
  if (typeof prompt === "string") return prompt;
  return isTokens(prompt) ? parseTokens(prompt, "prompt") : parseMessages(prompt);
}

/** @throws InvalidRequestError about `param` */
export function parseTokens(ids: unknown, param: string): number[] {
  if (!Array.isArray(ids)) throw invalid(param, "must be an array of token ids");
  for (const id of ids as unknown[]) {
    if (!Number.isSafeInteger(id) || (id as number) < 0)
      throw invalid(param, `has ${show(id)}, which is no token id`);
  }
  return ids as number[];
}

export const isTokens = (prompt: unknown): prompt is readonly number[] =>
  Array.isArray(prompt) && typeof prompt[0] === "number";
