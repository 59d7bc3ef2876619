/** A loaded model: one request at a time, first come first served. */
import {
  ContextLengthExceeded,
  InvalidRequestError,
  rejectOnAbort,
  throwIfAborted,
} from "../errors.js";
import type { PackManifest } from "../generated/pack.js";
import type { Program } from "../generated/program.js";
import type { AdapterReport } from "../gpu/device.js";
import type { Requirements } from "../gpu/requirements.js";
import { PagePool } from "../kv/page_pool.js";
import { Sequence } from "../kv/sequence.js";
import type { PackSource } from "../store/pack_source.js";
import type { TemplateMessage } from "../text/chat_template.js";
import type { Executor } from "./executor.js";
import { generate } from "./generate.js";
import type { Delta, GenerateRequest, GenerateResult } from "./request.js";
import { SamplingRow, seedBits } from "./sampling.js";
import type { TextParts } from "./text_parts.js";
import type { TuningReport } from "./tune.js";

/** What `Engine.info` says. */
export interface EngineInfo {
  model: { name: string; architecture: string; parameters: number; vocabSize: number };
  quantization: string;
  tier: string;
  contextLength: number;
  /** GPU bytes. */
  bytes: Requirements["bytes"];
  adapter: AdapterReport;
  /** Launches of each function. */
  launches: Record<string, number>;
  /** With `tune: true`; else null. */
  tuning: TuningReport | null;
  /** Where the pack is kept; `problem` says why not all of it is. */
  cache: { kind: "opfs" | "cache" | "memory" | "none"; problem: string | null };
}

/** What `Engine.stats` says: counts since the load began, rates of the last request. */
export interface EngineStats {
  /** Steps submitted; a generation that ends before its limit has up to one more than tokens. */
  steps: number;
  submits: number;
  launches: number;
  writeBuffers: number;
  createdBuffers: number;
  createdBindGroups: number;
  createdPipelines: number;
  networkBytes: number;
  cacheBytes: number;
  requests: number;
  promptTokens: number;
  completionTokens: number;
  /** Prompt tokens per second until the first token, of the last request; 0 before one. */
  prefillTokensPerSecond: number;
  /** Tokens per second after the first one, of the last request; 0 before one. */
  decodeTokensPerSecond: number;
}

export interface GenerateListener {
  /** The request is valid and waits its turn. */
  accepted?(promptTokens: number): void;
  delta(delta: Delta): void;
}

/** Time without a request after which what no answer has needed yet is made ready. */
const IDLE_MS = 500;

/** The only sampler slot and batch row in use until requests are batched. */
const SLOT = 0;

export class LanguageModel {
  readonly #pool: PagePool;
  readonly #eos: ReadonlySet<number>;
  readonly #contextLength: number;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #unloaded = false;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;
  #promptTokens = 0;
  #completionTokens = 0;
  #prefillRate = 0;
  #decodeRate = 0;

  constructor(
    readonly executor: Executor,
    private readonly manifest: PackManifest,
    readonly program: Program,
    private readonly source: PackSource,
    readonly text: TextParts,
    private readonly choice: {
      tier: string;
      contextLength: number;
      bytes: Requirements["bytes"];
      adapter: AdapterReport;
      tuning: TuningReport | null;
    },
  ) {
    const pages = executor.symbols.maxima[executor.symbols.index.get("pages") as number] as number;
    this.#pool = new PagePool(pages);
    this.#eos = new Set(manifest.tokens.eos);
    this.#contextLength = choice.contextLength;
  }

  info(): EngineInfo {
    const { model, quantization } = this.manifest;
    const { tier, bytes, adapter, tuning } = this.choice;
    return {
      model: {
        name: model.name,
        architecture: model.architecture,
        parameters: model.parameters,
        vocabSize: model.vocab_size,
      },
      quantization,
      tier,
      contextLength: this.#contextLength,
      bytes,
      adapter,
      launches: this.executor.launches(),
      tuning,
      cache: { kind: this.source.storeKind, problem: this.source.cacheProblem ?? null },
    };
  }

  stats(): EngineStats {
    const { networkBytes, cacheBytes } = this.source;
    return {
      ...this.executor.gpu.counters,
      networkBytes,
      cacheBytes,
      requests: this.#requests,
      promptTokens: this.#promptTokens,
      completionTokens: this.#completionTokens,
      prefillTokensPerSecond: this.#prefillRate,
      decodeTokensPerSecond: this.#decodeRate,
    };
  }

  /** Token ids of a text, as the model reads it. */
  tokenize(text: string): number[] {
    return this.text.tokenizer.encode(text);
  }

  /** The prompt that these messages become. @throws TemplateError */
  prompt(messages: TemplateMessage[]): { text: string; tokens: number[] } {
    if (this.text.template instanceof Error) throw this.text.template;
    const text = this.text.template.render(messages);
    return { text, tokens: this.text.tokenizer.encode(text) };
  }

  /** Answers one request after those before it. @throws InvalidRequestError, TemplateError, AbortError, DeviceLostError */
  async generate(
    request: GenerateRequest,
    listener: GenerateListener,
    signal: AbortSignal,
  ): Promise<GenerateResult> {
    throwIfAborted(signal);
    this.#check(request);
    const { tokens } = this.prompt(request.messages);
    this.#checkLength(tokens.length);
    listener.accepted?.(tokens.length);
    // Aborted, it rejects at once; its turn in the queue ends when the GPU has let go of its pages.
    const cancelled = rejectOnAbort(signal);
    const answer = this.#enqueue(() => this.#run(request, tokens, listener.delta, signal));
    return Promise.race([answer, cancelled.promise]).finally(cancelled.dispose);
  }

  /**
   * From now on what the first token does not take is made ready: its kernels compile at once, beside everything else, and
   * run for the first time once no request has come for a while, one function after another.
   */
  finishWhenIdle(): void {
    this.executor.compileRest();
    this.#whenIdle(IDLE_MS);
  }

  #whenIdle(after: number): void {
    clearTimeout(this.#idle);
    const [name] = this.executor.unfinished;
    if (name === undefined || this.#unloaded || this.executor.gpu.failure()) return;
    this.#idle = setTimeout(async () => {
      try {
        await this.#enqueue(() => this.executor.finish(name));
      } catch {
        clearTimeout(this.#idle); // the request that needs it is told
      }
    }, after);
    // A program that has nothing else to do may end.
    (this.#idle as { unref?: () => void }).unref?.();
  }

  /** Makes everything ready at once. @throws DeviceError */
  async finish(): Promise<void> {
    for (const name of this.executor.unfinished) {
      await this.#enqueue(() => this.executor.finish(name));
    }
  }

  unload(): void {
    this.#unloaded = true;
    clearTimeout(this.#idle);
    this.executor.gpu.destroy();
  }

  /** What only the model knows to be wrong. */
  #check({ sampling }: GenerateRequest): void {
    const vocab = this.manifest.model.vocab_size;
    const outside = sampling.logitBias.find(([id]) => id >= vocab);
    if (outside) {
      throw new InvalidRequestError(
        `logit_bias: token ${outside[0]} is outside the vocabulary of ${vocab}`,
        {
          param: "logit_bias",
        },
      );
    }
    if (sampling.logprobs !== null && !this.executor.has("logprobs")) {
      throw new InvalidRequestError("this pack was made without log-probabilities", {
        param: "logprobs",
      });
    }
  }

  #checkLength(promptTokens: number): void {
    const contextLength = this.#contextLength;
    if (promptTokens === 0) {
      throw new InvalidRequestError("the messages make an empty prompt", { param: "messages" });
    }
    if (promptTokens >= contextLength) {
      throw new ContextLengthExceeded(
        `the prompt has ${promptTokens} tokens, the context holds ${contextLength} with the answer: ` +
          "shorten the messages, or load the engine with a larger contextLength",
        { param: "messages", promptTokens, contextLength },
      );
    }
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    this.#waiting++;
    const result = this.#queue.then(work).finally(() => {
      if (--this.#waiting === 0) this.#whenIdle(IDLE_MS);
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  async #run(
    request: GenerateRequest,
    prompt: number[],
    onDelta: (delta: Delta) => void,
    signal: AbortSignal,
  ): Promise<GenerateResult> {
    throwIfAborted(signal);
    const failure = this.executor.gpu.failure();
    if (failure) throw failure;
    const { sampling: options } = request;
    const sampling = new SamplingRow(options, this.text.defaults, seedBits(options.seed));
    if (sampling.usesBias) this.executor.writeBias(SLOT, options.logitBias);
    if (sampling.usesPenalties) this.executor.clearCounts(SLOT);
    const room = this.#contextLength - prompt.length;
    const sequence = new Sequence(this.#pool, this.program.page_size, SLOT);
    const began = performance.now();
    let first = began;
    let tokens = 0;
    try {
      const { finishReason, completionTokens } = await generate(
        this.executor,
        this.text.tokenizer.bytes,
        {
          prompt: Int32Array.from(prompt),
          sequence,
          sampling,
          options,
          maxTokens: Math.min(request.maxTokens ?? room, room),
          stop: request.stop,
          eos: this.#eos,
        },
        (delta) => {
          if (tokens === 0) first = performance.now();
          tokens += delta.tokens;
          onDelta(delta);
        },
        signal,
      );
      return { finishReason, promptTokens: prompt.length, completionTokens };
    } finally {
      sequence.release();
      this.#requests++;
      this.#promptTokens += prompt.length;
      this.#completionTokens += tokens;
      this.#prefillRate = rate(prompt.length, first - began);
      this.#decodeRate = rate(tokens - 1, performance.now() - first);
    }
  }
}

const rate = (tokens: number, ms: number): number =>
  tokens > 0 && ms > 0 ? (tokens * 1000) / ms : 0;
