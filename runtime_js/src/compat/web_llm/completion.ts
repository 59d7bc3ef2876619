/** WebLLM's text completions: this package's, read as an answer of a chat, which has WebLLM's usage and interruption. */
import type {
  ChatCompletionStream,
  ChatCompletionChunk as Chunk,
  CompletionCreateParamsStreaming,
  CompletionStream,
  CompletionChunk as Part,
} from "../../index.js";
import type { RequestDefaults } from "./config.js";
import { toExtensions, withoutExtras } from "./request.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  CompletionCreateParamsBase,
} from "./types.js";

/** @param most tokens of an answer that names no limit */
export function toCompletionRequest(
  request: CompletionCreateParamsBase,
  { slide, repetition_penalty, ...defaults }: RequestDefaults,
  most: number,
): CompletionCreateParamsStreaming {
  const {
    model: _,
    logprobs,
    top_logprobs,
    max_tokens,
    stream: __,
    ...params
  } = withoutExtras(request);
  const extensions = toExtensions(request, { slide, repetition_penalty });
  return {
    ...defaults,
    ...params,
    max_tokens: max_tokens ?? most,
    ...(logprobs ? { logprobs: top_logprobs ?? 0 } : {}),
    ...(Object.keys(extensions).length > 0 ? { webbuild: extensions } : {}),
    stream: true,
    stream_options: { include_usage: true },
  } as CompletionCreateParamsStreaming;
}

type Logprobs = NonNullable<Chunk["choices"][number]["logprobs"]>;

/** The stream, as one of chat chunks. @param most alternatives of a token */
export function asChat(stream: CompletionStream<Part>, most: number): ChatCompletionStream {
  async function* chunks() {
    for await (const { choices, usage, ...head } of stream) {
      yield {
        ...head,
        object: "chat.completion.chunk" as const,
        choices: choices.map(({ index, text, finish_reason, logprobs }) => ({
          index,
          delta: { content: text },
          finish_reason,
          logprobs: logprobs && chatLogprobs(logprobs, most),
        })),
        ...(usage && { usage }),
      };
    }
  }
  const { controller } = stream;
  return { controller, [Symbol.asyncIterator]: chunks } as unknown as ChatCompletionStream;
}

function chatLogprobs(
  { tokens, token_logprobs, top_logprobs }: NonNullable<Part["choices"][number]["logprobs"]>,
  most: number,
): Logprobs {
  const entry = ([token, logprob]: [string, number]) => ({ token, logprob, bytes: bytesOf(token) });
  const content = tokens.map((token, i) => ({
    ...entry([token, token_logprobs[i] as number]),
    top_logprobs: Object.entries(top_logprobs[i] ?? {})
      .sort(([, a], [, b]) => b - a)
      .slice(0, most)
      .map(entry),
  }));
  return { content, refusal: null };
}

/** Of a token's name, which is `bytes:\xe2\x96` where it is no whole character. */
function bytesOf(token: string): number[] {
  if (!/^bytes:(\\x[0-9a-f]{2})+$/.test(token)) return [...new TextEncoder().encode(token)];
  return [...token.matchAll(/\\x(..)/g)].map(([, hex]) => Number.parseInt(hex as string, 16));
}

/** A chat chunk, or a whole chat, in WebLLM's shape of a completion. */
export function toCompletion({
  choices,
  usage,
  ...head
}: ChatCompletion | ChatCompletionChunk): Completion {
  return {
    ...head,
    object: "text_completion",
    choices: choices.map((choice) => ({
      index: choice.index,
      text: ("message" in choice ? choice.message.content : choice.delta.content) ?? "",
      finish_reason: choice.finish_reason,
      logprobs: choice.logprobs,
    })),
    ...(usage && { usage }),
  } as Completion;
}
