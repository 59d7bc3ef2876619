/** `engine.completions`: OpenAI's text completions over the worker's `generate`. */
import type { Delta, GenerateRequest, GenerateResult, TokenLogprob } from "../engine/request.js";
import type { Calls } from "../worker/client.js";
import type { GenerateEvent } from "../worker/protocol.js";
import type { RequestOptions } from "./chat.js";
import { answerAll, type Streamed, streamAll } from "./choices.js";
import { completionHead, usageOf } from "./completion_parts.js";
import { type ParsedCompletion, parseCompletionRequest } from "./completion_request.js";
import type { CompletionStream } from "./stream.js";
import type {
  Completion,
  CompletionChunk,
  CompletionCreateParams,
  CompletionCreateParamsNonStreaming,
  CompletionCreateParamsStreaming,
  CompletionLogprobs,
} from "./text_types.js";
import type { CompletionUsage } from "./types.js";

export class Completions {
  constructor(
    private readonly call: Pick<Calls, "generate" | "detokenize">,
    private readonly model: string,
  ) {}

  /**
   * Goes on with texts.
   *
   * @throws InvalidRequestError, ContextLengthExceeded, AbortError, DeviceLostError, EngineUnloaded
   */
  create(params: CompletionCreateParamsNonStreaming, options?: RequestOptions): Promise<Completion>;
  create(
    params: CompletionCreateParamsStreaming,
    options?: RequestOptions,
  ): Promise<CompletionStream<CompletionChunk>>;
  create(
    params: CompletionCreateParams,
    options?: RequestOptions,
  ): Promise<Completion | CompletionStream<CompletionChunk>>;
  async create(
    params: CompletionCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<Completion | CompletionStream<CompletionChunk>> {
    const request = parseCompletionRequest(params);
    const echoes = await this.#echoes(request);
    return request.stream
      ? this.#stream(request, echoes, signal)
      : this.#whole(request, echoes, signal);
  }

  /** What each choice's text begins with. */
  #echoes({ choices, echo }: ParsedCompletion): Promise<string[]> {
    return Promise.all(
      choices.map(async ({ messages: { text } }) => {
        if (!echo) return "";
        return typeof text === "string" ? text : this.call.detokenize(text);
      }),
    );
  }

  async #whole(
    { choices, n }: ParsedCompletion,
    echoes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Completion> {
    const head = completionHead("cmpl", this.model);
    const answers = await answerAll(choices, signal, async (generate, index, own) => {
      const deltas: Delta[] = [];
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "accepted") head.system_fingerprint = event.fingerprint;
        else deltas.push(...event.deltas);
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      const choice = {
        index,
        text: (echoes[index] ?? "") + textOf(deltas),
        logprobs: logprobsOf(generate)?.read(deltas) ?? null,
        finish_reason: finishOf(result),
      };
      return { choice, result };
    });
    return {
      ...head,
      object: "text_completion",
      choices: answers.map(({ choice }) => choice),
      usage: countsOf(
        answers.map(({ result }) => result),
        n,
      ),
    };
  }

  #stream(
    { choices, n, includeUsage }: ParsedCompletion,
    echoes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<CompletionStream<CompletionChunk>> {
    const head = completionHead("cmpl", this.model);
    const chunk = (
      choices: CompletionChunk["choices"],
      usage: CompletionUsage | null = null,
    ): CompletionChunk => ({
      ...head,
      object: "text_completion",
      choices,
      ...(includeUsage ? { usage } : {}),
    });
    const answer = async (
      to: Streamed<CompletionChunk>,
      generate: GenerateRequest,
      index: number,
      own: AbortSignal,
    ) => {
      const logprobs = logprobsOf(generate);
      const push = (
        text: string,
        rest: Partial<Pick<CompletionChunk["choices"][number], "logprobs" | "finish_reason">> = {},
      ) => to.push(chunk([{ index, text, logprobs: null, finish_reason: null, ...rest }]));
      const onEvent = (event: GenerateEvent) => {
        if (event.kind === "accepted") {
          head.system_fingerprint = event.fingerprint;
          if (echoes[index]) push(echoes[index]);
          to.accept();
          return;
        }
        const text = textOf(event.deltas);
        const some = logprobs?.read(event.deltas);
        if (text !== "" || some?.tokens.length) push(text, { logprobs: some ?? null });
      };
      const result = await this.call.generate(generate, { signal: own, onEvent });
      push("", { finish_reason: finishOf(result) });
      return result;
    };
    return streamAll(choices, signal, answer, (to, results: GenerateResult[]) => {
      if (includeUsage) to.push(chunk([], countsOf(results, n)));
    });
  }
}

const textOf = (deltas: readonly Delta[]) => deltas.map((d) => d.text).join("");

const countsOf = (results: readonly GenerateResult[], n: number) =>
  usageOf(
    results,
    results.filter((_, i) => i % n === 0),
  );

const logprobsOf = ({ sampling }: GenerateRequest) =>
  sampling.logprobs === null ? undefined : new OldLogprobs();

/** Log-probabilities in the shape that text completions have; knows where in the text it is. */
class OldLogprobs {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #offset = 0;

  read(deltas: readonly Delta[]): CompletionLogprobs {
    const read: CompletionLogprobs = {
      tokens: [],
      token_logprobs: [],
      top_logprobs: [],
      text_offset: [],
    };
    for (const token of deltas.flatMap((d) => d.logprobs)) {
      read.tokens.push(nameOf(token));
      read.token_logprobs.push(token.logprob);
      const likeliest = [...token.top, token].map((t) => [nameOf(t), t.logprob] as const);
      read.top_logprobs.push(Object.fromEntries(likeliest));
      read.text_offset.push(this.#offset);
      const bytes = Uint8Array.from(token.bytes);
      this.#offset += this.#decoder.decode(bytes, { stream: true }).length;
    }
    return read;
  }
}

/** A token as a key: different tokens have different ones, where texts are not enough. */
function nameOf({ bytes }: TokenLogprob): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(bytes),
    );
  } catch {
    return `bytes:${bytes.map((b) => `\\x${b.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

/** A text has no tools to call. */
const finishOf = ({ finishReason }: GenerateResult): "stop" | "length" =>
  finishReason === "length" ? "length" : "stop";
