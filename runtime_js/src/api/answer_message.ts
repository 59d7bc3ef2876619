/** What the engine tells of an answer, as OpenAI's messages and deltas. */
import type { Delta } from "../engine/request.js";
import type { ChatCompletion, ChatCompletionChunk, ToolCall } from "./types.js";

type Message = ChatCompletion["choices"][number]["message"];
type ChunkDelta = ChatCompletionChunk["choices"][number]["delta"];

/** The message of a whole answer. */
export function messageOf(deltas: readonly Delta[]): Message {
  const content = deltas.map(({ text }) => text).join("");
  const reasoning = reasoningIn(deltas);
  const calls: ToolCall[] = [];
  for (const { index, id, name, arguments: args } of deltas.flatMap((d) => d.toolCalls ?? [])) {
    if (id !== undefined && name !== undefined) {
      calls[index] = { id, type: "function", function: { name, arguments: args } };
    } else if (calls[index]) calls[index].function.arguments += args;
  }
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** What became certain together, as deltas of chunks: a call's first has its id and name and no arguments, as OpenAI's has. */
export function chunkDeltas(deltas: readonly Delta[]): ChunkDelta[] {
  const content = deltas.map(({ text }) => text).join("");
  const reasoning = reasoningIn(deltas);
  const texts: ChunkDelta = {
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(content === "" ? {} : { content }),
  };
  const chunks: ChunkDelta[] = Object.keys(texts).length > 0 ? [texts] : [];
  let last: { index: number; function: { arguments: string } } | undefined;
  for (const { index, id, name, arguments: args } of deltas.flatMap((d) => d.toolCalls ?? [])) {
    if (id !== undefined && name !== undefined) {
      const first = { index, id, type: "function" as const, function: { name, arguments: "" } };
      chunks.push({ tool_calls: [first] });
      last = undefined;
    }
    if (args === "") continue;
    if (last?.index === index) last.function.arguments += args;
    else {
      last = { index, function: { arguments: args } };
      chunks.push({ tool_calls: [last] });
    }
  }
  return chunks;
}

/** undefined where the model thought nothing. */
function reasoningIn(deltas: readonly Delta[]): string | undefined {
  const text = deltas.map(({ reasoning = "" }) => reasoning).join("");
  return text === "" ? undefined : text;
}
