/** `engine.chat.completions`: OpenAI's chat completions over the worker's `generate`. */
import type { Delta, GenerateResult, TokenLogprobs } from "../engine/request.js";
import { abortError } from "../errors.js";
import type { Calls } from "../worker/client.js";
import type { GenerateEvent } from "../worker/protocol.js";
import { type ParsedRequest, parseRequest } from "./request.js";
import { ChatCompletionStream } from "./stream.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
  ChoiceLogprobs,
  CompletionUsage,
} from "./types.js";

export interface RequestOptions {
  /** Ends the request, waiting or running; it rejects with AbortError. */
  signal?: AbortSignal | undefined;
}

export class ChatCompletions {
  constructor(
    private readonly call: Calls,
    private readonly model: string,
  ) {}

  /**
   * Answers a conversation.
   *
   * @throws InvalidRequestError, ContextLengthExceeded, TemplateError, AbortError, DeviceLostError, EngineUnloaded
   */
  create(
    params: ChatCompletionCreateParamsNonStreaming,
    options?: RequestOptions,
  ): Promise<ChatCompletion>;
  create(
    params: ChatCompletionCreateParamsStreaming,
    options?: RequestOptions,
  ): Promise<ChatCompletionStream>;
  create(
    params: ChatCompletionCreateParams,
    options?: RequestOptions,
  ): Promise<ChatCompletion | ChatCompletionStream>;
  async create(
    params: ChatCompletionCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatCompletionStream> {
    const request = parseRequest(params);
    if (signal?.aborted) throw abortError(signal);
    return request.stream ? this.#stream(request, signal) : this.#whole(request, signal);
  }

  /** What all chunks of an answer share. */
  #head() {
    return {
      id: `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: this.model,
    };
  }

  async #whole(
    { generate }: ParsedRequest,
    signal: AbortSignal | undefined,
  ): Promise<ChatCompletion> {
    const head = this.#head();
    const deltas: Delta[] = [];
    const onEvent = (event: GenerateEvent) => {
      if (event.kind === "deltas") deltas.push(...event.deltas);
    };
    const result = await this.call.generate(generate, { signal, onEvent });
    const content = deltas.map((d) => d.text).join("");
    const withLogprobs = generate.sampling.logprobs !== null;
    return {
      ...head,
      object: "chat.completion",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content, refusal: null },
          finish_reason: result.finishReason,
          logprobs: withLogprobs ? choiceLogprobs(deltas) : null,
        },
      ],
      usage: usageOf(result),
    };
  }

  /** Resolves once the engine has accepted the request, so that a refusal rejects here and not while iterating. */
  async #stream(
    { generate, includeUsage }: ParsedRequest,
    signal: AbortSignal | undefined,
  ): Promise<ChatCompletionStream> {
    const head = { ...this.#head(), object: "chat.completion.chunk" as const };
    const stream = new ChatCompletionStream(new AbortController());
    const withLogprobs = generate.sampling.logprobs !== null;
    type Choice = ChatCompletionChunk["choices"][number];
    const push = (choices: Choice[], usage: CompletionUsage | null = null) =>
      stream.push({ ...head, choices, ...(includeUsage ? { usage } : {}) });
    const choice = (delta: Choice["delta"], rest: Partial<Choice> = {}): Choice => ({
      index: 0,
      delta,
      finish_reason: null,
      logprobs: null,
      ...rest,
    });

    const onAbort = () => {
      stream.end(abortError(signal));
      stream.controller.abort(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    let accept: () => void = () => {};
    const accepted = new Promise<void>((resolve) => {
      accept = resolve;
    });
    const onEvent = (event: GenerateEvent) => {
      if (event.kind === "accepted") {
        push([choice({ role: "assistant", content: "", refusal: null })]);
        accept();
        return;
      }
      const content = event.deltas.map((d) => d.text).join("");
      const logprobs = withLogprobs ? { logprobs: choiceLogprobs(event.deltas) } : {};
      const empty = content === "" && !logprobs.logprobs?.content?.length;
      if (!empty) push([choice({ content }, logprobs)]);
    };
    const running = this.call
      .generate(generate, { signal: stream.controller.signal, onEvent })
      .then((result) => {
        push([choice({}, { finish_reason: result.finishReason })]);
        if (includeUsage) push([], usageOf(result));
        stream.end();
      })
      .finally(() => signal?.removeEventListener("abort", onAbort));
    running.catch((error: unknown) => stream.end(error));
    await Promise.race([accepted, running]);
    return stream;
  }
}

function usageOf({ promptTokens, completionTokens }: GenerateResult): CompletionUsage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function choiceLogprobs(deltas: readonly Delta[]): ChoiceLogprobs {
  const content = deltas
    .flatMap((d) => d.logprobs)
    .map(({ top, ...token }: TokenLogprobs) => ({ ...token, top_logprobs: top }));
  return { content, refusal: null };
}
