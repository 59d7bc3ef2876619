/** `engine.chat.completions`: OpenAI's chat completions over the worker's `generate`. */
import type { Delta, GenerateRequest, GenerateResult, TokenLogprobs } from "../engine/request.js";
import { abortError, ContextLengthExceeded } from "../errors.js";
import type { Calls } from "../worker/client.js";
import type { GenerateEvent } from "../worker/protocol.js";
import { chunkDeltas, messageOf } from "./answer_message.js";
import { answerAll, type Streamed, streamAll } from "./choices.js";
import { completionHead, usageOf } from "./completion_parts.js";
import { type ParsedRequest, parseRequest } from "./request.js";
import type { ChatCompletionStream } from "./stream.js";
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

  async #whole(
    { choices, serviceTier }: ParsedRequest,
    signal: AbortSignal | undefined,
    onAccepted?: () => void,
  ): Promise<ChatCompletion> {
    const head = this.#head(serviceTier);
    const answers = await answerAll(choices, signal, async (generate, index, own) => {
      const deltas: Delta[] = [];
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "accepted") {
          head.system_fingerprint = event.fingerprint;
          if (index === 0) onAccepted?.(); // they have one prompt
        } else deltas.push(...event.deltas);
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      const choice = {
        index,
        message: messageOf(deltas),
        finish_reason: result.finishReason,
        logprobs: generate.sampling.logprobs !== null ? choiceLogprobs(deltas) : null,
      };
      return { choice, result };
    });
    return {
      ...head,
      object: "chat.completion",
      choices: answers.map(({ choice }) => choice),
      usage: chatUsage(
        choices[0],
        answers.map(({ result }) => result),
      ),
    };
  }

  #stream(
    { choices, includeUsage, serviceTier }: ParsedRequest,
    signal: AbortSignal | undefined,
  ): Promise<ChatCompletionStream> {
    const head = this.#head(serviceTier);
    const chunk = (
      choices: ChatCompletionChunk["choices"],
      usage: CompletionUsage | null = null,
    ): ChatCompletionChunk => ({
      ...head,
      object: "chat.completion.chunk",
      choices,
      ...(includeUsage ? { usage } : {}),
    });
    type Choice = ChatCompletionChunk["choices"][number];
    const answer = async (
      to: Streamed<ChatCompletionChunk>,
      generate: GenerateRequest,
      index: number,
      own: AbortSignal,
    ) => {
      const withLogprobs = generate.sampling.logprobs !== null;
      const push = (delta: Choice["delta"], rest: Partial<Choice> = {}) =>
        to.push(chunk([{ index, delta, finish_reason: null, logprobs: null, ...rest }]));
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "accepted") {
          head.system_fingerprint = event.fingerprint;
          push({ role: "assistant", content: "", refusal: null });
          to.accept();
          return;
        }
        const [first, ...others] = chunkDeltas(event.deltas);
        const logprobs = withLogprobs ? { logprobs: choiceLogprobs(event.deltas) } : {};
        const empty = !first && !logprobs.logprobs?.content?.length;
        if (!empty) push(first ?? { content: "" }, logprobs);
        for (const delta of others) push(delta);
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      push({}, { finish_reason: result.finishReason });
      return result;
    };
    return streamAll(choices, signal, answer, (to, results: GenerateResult[]) => {
      if (includeUsage) to.push(chunk([], chatUsage(choices[0], results)));
    });
  }

  /** What all chunks of an answer share. */
  #head(serviceTier: "default" | undefined) {
    return {
      ...completionHead("chatcmpl", this.model),
      ...(serviceTier ? { service_tier: serviceTier } : {}),
    };
  }
}

function chatUsage(
  { overflow }: GenerateRequest,
  results: readonly GenerateResult[],
): CompletionUsage {
  const { droppedMessages } = results[0] as GenerateResult;
  const slides = results.reduce((sum, r) => sum + r.slides, 0);
  return {
    ...usageOf(results, results.slice(0, 1)), // they have one prompt
    ...(overflow === "slide" ? { context: { dropped_messages: droppedMessages, slides } } : {}),
  };
}

function choiceLogprobs(deltas: readonly Delta[]): ChoiceLogprobs {
  const content = deltas
    .flatMap((d) => d.logprobs)
    .map(({ top, ...token }: TokenLogprobs) => ({ ...token, top_logprobs: top }));
  return { content, refusal: null };
}
