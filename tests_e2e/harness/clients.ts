// What three clients, unmodified, do at an endpoint, in one module for pages: `await import("./clients.js")`. Each gives plain data.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { HumanMessage } from "@langchain/core/messages";
import { tool as langchainTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const MODEL = "webbuild-demo";
const QUESTION = "Name a colour.";
const TOKENS = 12;
/** No token ends the answer. */
const ENDLESS = { logit_bias: { "0": -100, "1": -100, "2": -100 } };
const MANY = 600;

const WEATHER = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Oslo"] } },
  required: ["city"],
  additionalProperties: false,
} as const;
const ABOUT_WEATHER = "The weather in a city";

/** What a client's error says. */
export interface Failure {
  name: string;
  status: number | undefined;
  message: string;
}

export interface Streamed {
  text: string;
  pieces: number;
  completionTokens: number | undefined;
}

export interface Client {
  answer(): Promise<{ text: string; completionTokens: number | undefined }>;
  stream(): Promise<Streamed>;
  /** Aborts a stream after its first text. @returns pieces that came, and the name of the error if there is one */
  abortStream(): Promise<{ pieces: number; error: string | null }>;
  /** Aborts an answer that is not streamed when `running` resolves. */
  abortAnswer(running: () => Promise<void>): Promise<Failure>;
  /** Asks what is refused. */
  refused(): Promise<Failure>;
  /** Asks a model that is not there. */
  unknownModel(): Promise<Failure>;
  /** Is made to call a function. @returns its name and its arguments */
  callTool(): Promise<{ name: string; args: unknown }>;
  /** An object of a JSON schema with `city`. */
  object(): Promise<unknown>;
}

async function failure(promise: PromiseLike<unknown>): Promise<Failure> {
  try {
    await promise;
  } catch (error) {
    const { name, message, status, statusCode } = error as Failure & { statusCode?: number };
    return { name, message, status: status ?? statusCode };
  }
  throw new Error("it was not refused");
}

/** Aborts `start`'s promise once it runs. */
async function aborted(
  start: (signal: AbortSignal) => PromiseLike<unknown>,
  running: () => Promise<void>,
): Promise<Failure> {
  const controller = new AbortController();
  const failed = failure(start(controller.signal));
  await running();
  controller.abort();
  return failed;
}

function openai(baseURL: string): Client {
  const client = new OpenAI({
    baseURL,
    apiKey: "none",
    dangerouslyAllowBrowser: true,
    maxRetries: 0,
  });
  const { completions } = client.chat;
  const messages = [{ role: "user" as const, content: QUESTION }];
  const ask = { model: MODEL, messages, temperature: 0, max_tokens: TOKENS };
  const long = { ...ask, ...ENDLESS, max_tokens: MANY };
  return {
    async answer() {
      const { choices, usage } = await completions.create(ask);
      return {
        text: choices[0]?.message.content ?? "",
        completionTokens: usage?.completion_tokens,
      };
    },
    async stream() {
      const seen: Streamed = { text: "", pieces: 0, completionTokens: undefined };
      const usage = { stream: true, stream_options: { include_usage: true } } as const;
      for await (const chunk of await completions.create({ ...ask, ...usage })) {
        const text = chunk.choices[0]?.delta.content;
        if (text) seen.pieces++;
        seen.text += text ?? "";
        seen.completionTokens = chunk.usage?.completion_tokens ?? seen.completionTokens;
      }
      return seen;
    },
    async abortStream() {
      let pieces = 0;
      const stream = await completions.create({ ...long, stream: true });
      for await (const { choices } of stream) {
        if (!choices[0]?.delta.content) continue;
        pieces++;
        stream.controller.abort();
      }
      return { pieces, error: null };
    },
    abortAnswer: (running) => aborted((signal) => completions.create(long, { signal }), running),
    refused: () => failure(completions.create({ ...ask, temperature: 3 })),
    unknownModel: () => failure(completions.create({ ...ask, model: "gpt-4o" })),
    async callTool() {
      const weather = { name: "weather", description: ABOUT_WEATHER, parameters: WEATHER };
      const { choices } = await completions.create({
        ...ask,
        max_tokens: 60,
        tools: [{ type: "function", function: weather }],
        tool_choice: { type: "function", function: { name: "weather" } },
      });
      const [call] = choices[0]?.message.tool_calls ?? [];
      if (call?.type !== "function") throw new Error("no call");
      return { name: call.function.name, args: JSON.parse(call.function.arguments) };
    },
    async object() {
      const { choices } = await completions.create({
        ...ask,
        max_tokens: 60,
        response_format: {
          type: "json_schema",
          json_schema: { name: "weather", schema: WEATHER, strict: true },
        },
      });
      return JSON.parse(choices[0]?.message.content ?? "");
    },
  };
}

function aiSdk(baseURL: string): Client {
  const provider = createOpenAICompatible({
    name: "webbuild",
    baseURL,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const ask = {
    model: provider(MODEL),
    prompt: QUESTION,
    temperature: 0,
    maxOutputTokens: TOKENS,
    maxRetries: 0,
  };
  const long = { ...ask, maxOutputTokens: MANY, providerOptions: { webbuild: ENDLESS } };
  const quiet = { onError: () => {} };
  return {
    async answer() {
      const { text, usage } = await generateText(ask);
      return { text, completionTokens: usage.outputTokens };
    },
    async stream() {
      const seen: Streamed = { text: "", pieces: 0, completionTokens: undefined };
      const result = streamText(ask);
      for await (const text of result.textStream) {
        seen.pieces++;
        seen.text += text;
      }
      seen.completionTokens = (await result.usage).outputTokens;
      return seen;
    },
    async abortStream() {
      const controller = new AbortController();
      let pieces = 0;
      const result = streamText({ ...long, ...quiet, abortSignal: controller.signal });
      for await (const _ of result.textStream) {
        pieces++;
        controller.abort();
      }
      return { pieces, error: null };
    },
    abortAnswer: (running) =>
      aborted((abortSignal) => generateText({ ...long, abortSignal }), running),
    refused: () => failure(generateText({ ...ask, temperature: 3 })),
    unknownModel: () => failure(generateText({ ...ask, model: provider("gpt-4o") })),
    async callTool() {
      const weather = tool({
        description: ABOUT_WEATHER,
        inputSchema: jsonSchema<{ city: string }>(WEATHER as never),
        execute: async () => "sunny",
      });
      const { toolCalls } = await generateText({
        ...ask,
        maxOutputTokens: 60,
        tools: { weather },
        toolChoice: { type: "tool", toolName: "weather" },
      });
      const [call] = toolCalls;
      return { name: call?.toolName ?? "", args: call?.input };
    },
    async object() {
      const { output } = await generateText({
        ...ask,
        maxOutputTokens: 60,
        output: Output.object({ schema: jsonSchema<{ city: string }>(WEATHER as never) }),
      });
      return output;
    },
  };
}

function langchain(baseURL: string): Client {
  const fields = {
    model: MODEL,
    apiKey: "none",
    temperature: 0,
    maxTokens: TOKENS,
    maxRetries: 0,
    configuration: { baseURL, dangerouslyAllowBrowser: true },
  };
  const chat = new ChatOpenAI(fields);
  const long = new ChatOpenAI({ ...fields, maxTokens: MANY, modelKwargs: ENDLESS });
  const structured = new ChatOpenAI({ ...fields, maxTokens: 60 });
  const question = [new HumanMessage(QUESTION)];
  const schema = z.object({ city: z.enum(["Paris", "Oslo"]) });
  return {
    async answer() {
      const answer = await chat.invoke(question);
      return { text: answer.text, completionTokens: outputTokens(answer) };
    },
    async stream() {
      const seen: Streamed = { text: "", pieces: 0, completionTokens: undefined };
      for await (const chunk of await chat.stream(question)) {
        if (chunk.text) seen.pieces++;
        seen.text += chunk.text;
        seen.completionTokens = outputTokens(chunk) ?? seen.completionTokens;
      }
      return seen;
    },
    async abortStream() {
      const controller = new AbortController();
      const { signal } = controller;
      let pieces = 0;
      try {
        for await (const { text } of await long.stream(question, { signal })) {
          if (!text) continue;
          pieces++;
          controller.abort();
        }
      } catch (error) {
        return { pieces, error: (error as Error).name };
      }
      return { pieces, error: null };
    },
    abortAnswer: (running) => aborted((signal) => long.invoke(question, { signal }), running),
    refused: () => failure(new ChatOpenAI({ ...fields, temperature: 3 }).invoke(question)),
    unknownModel: () => failure(new ChatOpenAI({ ...fields, model: "gpt-4o" }).invoke(question)),
    async callTool() {
      const weather = langchainTool(() => "sunny", {
        name: "weather",
        description: ABOUT_WEATHER,
        schema,
      });
      const bound = structured.bindTools([weather], { tool_choice: "weather" });
      const [call] = (await bound.invoke(question)).tool_calls ?? [];
      return { name: call?.name ?? "", args: call?.args };
    },
    object: () =>
      structured
        .withStructuredOutput(schema, { name: "weather", method: "jsonSchema" })
        .invoke(question),
  };
}

/** LangChain's type of it depends on what the model is told to return. */
const outputTokens = (message: { usage_metadata?: unknown }): number | undefined =>
  (message.usage_metadata as { output_tokens: number } | undefined)?.output_tokens;

/** The clients by name, at an endpoint. */
export const clients = (baseURL: string): Record<"openai" | "ai" | "langchain", Client> => ({
  openai: openai(baseURL),
  ai: aiSdk(baseURL),
  langchain: langchain(baseURL),
});
