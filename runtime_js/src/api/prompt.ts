/** Prompts as they are given beside chats: messages, a text, or token ids. */
import type { Prompt as EnginePrompt, PromptRequest } from "../engine/request.js";
import { invalid, isRecord, namesIn, show } from "./fields.js";
import { parseMessages } from "./messages.js";
import { parseRequest } from "./request.js";
import type {
  ChatCompletionCreateParams,
  ChatCompletionMessageParam,
  WebbuildParams,
} from "./types.js";

/** What of a request its prompt depends on, besides messages. */
export interface PromptSettings {
  tools?: ChatCompletionCreateParams["tools"] | undefined;
  /** With `"none"` the model is not told of its tools. */
  tool_choice?: ChatCompletionCreateParams["tool_choice"] | undefined;
  reasoning_effort?: ChatCompletionCreateParams["reasoning_effort"] | undefined;
  webbuild?: Pick<WebbuildParams, "template"> | null | undefined;
}

/** A chat, so far as its prompt depends on it. */
export interface ChatPrompt extends PromptSettings {
  messages: ChatCompletionMessageParam[];
}

/** Messages, alone or in a chat, which the model's chat template makes a text of; a text; or token ids. */
export type Prompt = ChatCompletionMessageParam[] | ChatPrompt | string | readonly number[];

/** Stands for messages where a request is checked that has its prompt elsewhere. */
export const NO_MESSAGES: ChatCompletionMessageParam[] = [{ role: "user", content: "" }];

const CHAT_KEYS = ["messages", "tools", "tool_choice", "reasoning_effort", "webbuild"];

/** A prompt, and what it says about its chat. @throws InvalidRequestError about anything else in it */
export function settingsOf(prompt: Prompt): {
  given: Exclude<Prompt, ChatPrompt>;
  settings: PromptSettings;
} {
  if (!isRecord(prompt)) return { given: prompt as Exclude<Prompt, ChatPrompt>, settings: {} };
  const { messages: given, ...settings } = prompt as unknown as ChatPrompt;
  const names = [
    ...namesIn(prompt).filter((name) => !CHAT_KEYS.includes(name)),
    ...namesIn(settings.webbuild ?? {})
      .filter((name) => name !== "template")
      .map((name) => `webbuild.${name}`),
  ];
  if (names[0] !== undefined)
    throw invalid(`prompt.${names[0]}`, "is no part of a prompt: give it beside the prompt");
  return { given, settings };
}

/** A request's parameters with what its prompt says. */
export function withSettings<T extends { webbuild?: object | null | undefined }>(
  params: T,
  { webbuild, ...settings }: PromptSettings,
) {
  return {
    ...params,
    ...settings,
    ...(webbuild ? { webbuild: { ...params.webbuild, ...webbuild } } : {}),
  };
}

/** @param options of the request that it is for @throws InvalidRequestError */
export function parsePrompt(prompt: Prompt, options: PromptSettings = {}): PromptRequest {
  const { given, settings } = settingsOf(prompt);
  const params = { ...withSettings(options, settings), messages: NO_MESSAGES };
  const { tools, template } = parseRequest(params).choices[0];
  return {
    messages: parseGiven(given),
    ...(tools ? { tools } : {}),
    ...(template ? { template } : {}),
  };
}

/** @throws InvalidRequestError */
export function parseGiven(prompt: Exclude<Prompt, ChatPrompt>): EnginePrompt {
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
  return [...ids]; // it may be a page's reactive state, which can't be sent
}

export const isTokens = (prompt: unknown): prompt is readonly number[] =>
  Array.isArray(prompt) && typeof prompt[0] === "number";
