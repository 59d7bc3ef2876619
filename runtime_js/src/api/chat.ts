/** `engine.chat.completions`: OpenAI's chat completions over the worker's `generate`. */
import type { Delta, GenerateRequest, GenerateResult, TokenLogprobs } from "../engine/request.js";
import { abortError, ContextLengthExceeded } from "../errors.js";
import type { Calls } from "../worker/client.js";
import type { GenerateEvent } from "../worker/protocol.js";
import { type ParsedRequest, parseRequest } from "./request.js";
import { ChatCompletionStream } from "./stream.js";
import { summarised } from "./summarise.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
  ChatCompletionMessageParam,
  ChoiceLogprobs,
  CompletionUsage,
} from "./types.js";

export interface RequestOptions {
  /** Ends the request, waiting or running; it rejects with AbortError. */
  signal?: AbortSignal | undefined;
  /** Called once the engine has taken the request of an answer that is not streamed: what is refused is refused before. */
  onAccepted?: (() => void) | undefined;
}

export class ChatCompletions {
  constructor(
    private readonly call: Pick<Calls, "generate">,
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
    { signal, onAccepted }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatCompletionStream> {
    return this.answer(parseRequest(params), params.messages, signal, onAccepted);
  }

  /** @internal Answers what has been checked. @param messages as they were given; undefined where a prompt was given instead */
  async answer(
    request: ParsedRequest,
    messages: ChatCompletionMessageParam[] | undefined,
    signal: AbortSignal | undefined,
    onAccepted?: () => void,
  ): Promise<ChatCompletion | ChatCompletionStream> {
    try {
      return await this.#once(request, signal, onAccepted);
    } catch (error) {
      const { summarise } = request;
      // It was refused before any work was done.
      if (!summarise || !messages || !(error instanceof ContextLengthExceeded)) throw error;
      const shorter = await summarised(summarise, messages, error, signal);
      for (const choice of request.choices) choice.messages = shorter;
      return this.#once(request, signal, onAccepted);
    }
  }

  async #once(
    request: ParsedRequest,
    signal: AbortSignal | undefined,
    onAccepted?: () => void,
  ): Promise<ChatCompletion | ChatCompletionStream> {
    if (signal?.aborted) throw abortError(signal);
    return request.stream
      ? this.#stream(request, signal)
      : this.#whole(request, signal, onAccepted);
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
    { choices }: ParsedRequest,
    signal: AbortSignal | undefined,
    onAccepted?: () => void,
  ): Promise<ChatCompletion> {
    const head = this.#head();
    const answers = await this.#answer(choices, signal, async (generate, index, own) => {
      const deltas: Delta[] = [];
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "deltas") deltas.push(...event.deltas);
        else if (index === 0) onAccepted?.(); // they have one prompt
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      const choice = {
        index,
        message: {
          role: "assistant" as const,
          content: deltas.map((d) => d.text).join(""),
          refusal: null,
        },
        finish_reason: result.finishReason,
        logprobs: generate.sampling.logprobs !== null ? choiceLogprobs(deltas) : null,
      };
      return { choice, result };
    });
    return {
      ...head,
      object: "chat.completion",
      choices: answers.map(({ choice }) => choice),
      usage: usageOf(
        choices[0],
        answers.map(({ result }) => result),
      ),
    };
  }

  /** Runs one call for each choice; the first that fails ends the others. */
  async #answer<T>(
    choices: readonly GenerateRequest[],
    signal: AbortSignal | undefined,
    run: (generate: GenerateRequest, index: number, signal: AbortSignal) => Promise<T>,
  ): Promise<T[]> {
    const all = new AbortController();
    const onAbort = () => all.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.all(choices.map((generate, i) => run(generate, i, all.signal)));
    } catch (error) {
      all.abort(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves once the engine has accepted the request, so that a refusal rejects here and not while iterating. */
  async #stream(
    { choices, includeUsage }: ParsedRequest,
    signal: AbortSignal | undefined,
  ): Promise<ChatCompletionStream> {
    const head = { ...this.#head(), object: "chat.completion.chunk" as const };
    const stream = new ChatCompletionStream(new AbortController());
    type Choice = ChatCompletionChunk["choices"][number];
    const push = (choices: Choice[], usage: CompletionUsage | null = null) =>
      stream.push({ ...head, choices, ...(includeUsage ? { usage } : {}) });

    const onAbort = () => {
      stream.end(abortError(signal));
      stream.controller.abort(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    let accept: () => void = () => {};
    const accepted = new Promise<void>((resolve) => {
      accept = resolve;
    });
    const answer = async (generate: GenerateRequest, index: number, own: AbortSignal) => {
      const withLogprobs = generate.sampling.logprobs !== null;
      const pushChoice = (delta: Choice["delta"], rest: Partial<Choice> = {}) =>
        push([{ index, delta, finish_reason: null, logprobs: null, ...rest }]);
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "accepted") {
          pushChoice({ role: "assistant", content: "", refusal: null });
          accept(); // they have one prompt: what is accepted for one is for all
          return;
        }
        const content = event.deltas.map((d) => d.text).join("");
        const logprobs = withLogprobs ? { logprobs: choiceLogprobs(event.deltas) } : {};
        const empty = content === "" && !logprobs.logprobs?.content?.length;
        if (!empty) pushChoice({ content }, logprobs);
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      pushChoice({}, { finish_reason: result.finishReason });
      return result;
    };
    const running = this.#answer(choices, stream.controller.signal, answer)
      .then((results) => {
        if (includeUsage) push([], usageOf(choices[0], results));
        stream.end();
      })
      .finally(() => signal?.removeEventListener("abort", onAbort));
    running.catch((error: unknown) => stream.end(error));
    await Promise.race([accepted, running]);
    return stream;
  }
}

function usageOf(
  { overflow }: GenerateRequest,
  results: readonly GenerateResult[],
): CompletionUsage {
  const { promptTokens = 0, cachedTokens = 0, droppedMessages = 0 } = results[0] ?? {};
  const completionTokens = results.reduce((sum, r) => sum + r.completionTokens, 0);
  const slides = results.reduce((sum, r) => sum + r.slides, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    ...(overflow === "slide" ? { context: { dropped_messages: droppedMessages, slides } } : {}),
  };
}

function choiceLogprobs(deltas: readonly Delta[]): ChoiceLogprobs {
  const content = deltas
    .flatMap((d) => d.logprobs)
    .map(({ top, ...token }: TokenLogprobs) => ({ ...token, top_logprobs: top }));
  return { content, refusal: null };
}
