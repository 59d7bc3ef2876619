/** A loaded encoder: texts become vectors. Texts of all requests share steps, in turns. */
import {
  abortError,
  ContextLengthExceeded,
  DeviceLostError,
  EngineUnloaded,
  InvalidRequestError,
} from "../errors.js";
import type { EmbeddingInfo, PackManifest } from "../generated/pack.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type { Built } from "./build.js";
import type { EncodedText, Encoder, Pooling } from "./encoder.js";
import type { EngineInfo } from "./info.js";
import type { Losses } from "./losses.js";
import { type DeviceState, type Recovered, Recovery } from "./recovery.js";
import { Watchers } from "./watchers.js";

/** Plain data, which crosses from the page to the worker. */
export interface EmbedRequest {
  /** Texts, which get the model's special tokens, or token ids as they are. At least one. */
  input: (string | number[])[];
  /** Default: the pack's. */
  pooling?: Pooling;
  /** Whether vectors are scaled to length 1; default: the pack's, and true with `dimensions`. */
  normalize?: boolean;
  /** Keep so many numbers of each vector. */
  dimensions?: number;
  /** Cut what is too long, instead of refusing it. */
  truncate?: boolean;
}

export interface EmbedResult {
  /** f32[texts, dimensions] */
  vectors: Float32Array;
  dimensions: number;
  /** Of all texts, special tokens among them. */
  tokens: number;
}

/** Steps under way at once: the GPU has the next one when it has done one. */
const AHEAD = 2;

/** A request with texts that are not answered yet. */
interface Call {
  texts: Int32Array[];
  pooling: Pooling;
  /** The next text to go into a step. */
  next: number;
  /** How many are not answered. */
  left: number;
  vectors: Float32Array;
  done(): void;
  fail(error: unknown): void;
  ended: boolean;
}

export class EmbeddingModel {
  readonly id = crypto.randomUUID();
  readonly #about: EmbeddingInfo;
  readonly #width: number;
  readonly #recovery: Recovery<Built<void, Encoder>>;
  readonly #deviceWatchers: Watchers<DeviceState>;
  #built: Omit<Built<unknown, Encoder>, "beside">;
  #calls: Call[] = [];
  #pumping = false;

  constructor(
    built: Omit<Built<unknown, Encoder>, "beside">,
    private readonly manifest: PackManifest,
    private readonly tokenizer: Tokenizer,
    private readonly contextLength: number,
    { losses, again }: { losses: Losses; again: Recovered<Built<void, Encoder>>["rebuild"] },
  ) {
    this.#built = built;
    this.#about = manifest.embedding as EmbeddingInfo;
    this.#width = manifest.model.hidden_size;
    this.#deviceWatchers = new Watchers(() => this.deviceState());
    this.#recovery = new Recovery<Built<void, Encoder>>(losses, {
      suspend: () => {},
      rebuild: again,
      resume: (made) => {
        this.#built = made;
      },
      stop: () => {},
      changed: () => this.#deviceWatchers.changed(false),
    });
  }

  info(): EngineInfo {
    const { model, quantization } = this.manifest;
    const { choice, report, executor, source } = this.#built;
    const { pooling, normalize } = this.#about;
    return {
      id: this.id,
      model: {
        name: model.name,
        architecture: model.architecture,
        parameters: model.parameters,
        vocabSize: model.vocab_size,
      },
      quantization,
      tier: choice.name,
      contextLength: this.contextLength,
      maxBatch: executor.texts,
      kvTokens: 0,
      bytes: choice.needs.bytes,
      draft: null,
      embedding: { dimensions: this.#width, pooling, normalize },
      adapter: report,
      launches: executor.launches(),
      tuning: null,
      cache: { kind: source.storeKind, problem: source.cacheProblem ?? null },
    };
  }

  /** Token ids of a text alone. */
  tokenize(text: string): number[] {
    return this.tokenizer.encode(text);
  }

  /** Whether there is a device, and what has become of lost ones. */
  deviceState(): DeviceState {
    return this.#recovery.state;
  }

  /** Tells of {@link deviceState} now and whenever it is another. @returns rejects when `signal` ends it */
  watchDevice(tell: (state: DeviceState) => void, signal: AbortSignal): Promise<never> {
    return this.#deviceWatchers.watch(0, tell, signal);
  }

  /**
   * Vectors of texts, in their order. An abort is heard between steps.
   *
   * @throws InvalidRequestError, ContextLengthExceeded before any work · AbortError, EngineUnloaded, DeviceError,
   *   DeviceLostError
   */
  async embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResult> {
    const dimensions = request.dimensions ?? this.#width;
    if (dimensions > this.#width) {
      throw new InvalidRequestError(
        `dimensions is ${dimensions}, and vectors of ${this.manifest.model.name} have ${this.#width}`,
        { param: "dimensions" },
      );
    }
    const texts = request.input.map((one, i) => this.#tokens(one, i, request.truncate ?? false));
    const vectors = await this.#run(texts, request.pooling ?? this.#about.pooling, signal);
    const whole = request.dimensions === undefined;
    const normalize = request.normalize ?? (this.#about.normalize || !whole);
    const tokens = texts.reduce((sum, { length }) => sum + length, 0);
    return { vectors: shaped(vectors, this.#width, dimensions, normalize), dimensions, tokens };
  }

  /** What one of the inputs is to the model. @throws InvalidRequestError, ContextLengthExceeded */
  #tokens(input: string | number[], at: number, truncate: boolean): Int32Array {
    const param = "input";
    const vocab = this.manifest.model.vocab_size;
    const limit = this.contextLength;
    const ids = typeof input === "string" ? this.tokenizer.encode(input, true) : input;
    const outside = ids.find((id) => id >= vocab);
    if (outside !== undefined) {
      throw new InvalidRequestError(
        `input ${at} has token ${outside}, outside the vocabulary of ${vocab}`,
        { param },
      );
    }
    if (ids.length === 0) throw new InvalidRequestError(`input ${at} has no tokens`, { param });
    if (ids.length <= limit) return Int32Array.from(ids);
    if (!truncate) {
      throw new ContextLengthExceeded(
        `input ${at} has ${ids.length} tokens and the model takes ${limit}: cut it into parts, or give webbuild.truncate to have its end left out`,
        { param, promptTokens: ids.length, limit, contextLength: limit },
      );
    }
    const behind = typeof input === "string" ? this.#behind(ids, input) : 0;
    return Int32Array.from([...ids.slice(0, limit - behind), ...ids.slice(ids.length - behind)]);
  }

  /** How many special tokens stand behind a text. */
  #behind(ids: readonly number[], text: string): number {
    const bare = this.tokenizer.encode(text);
    const added = ids.length - bare.length;
    for (let before = 0; before <= added; before++) {
      if (bare.every((id, i) => ids[before + i] === id)) return added - before;
    }
    return 0;
  }

  #run(texts: Int32Array[], pooling: Pooling, signal: AbortSignal): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const end = () => {
        call.ended = true;
        this.#calls = this.#calls.filter((other) => other !== call);
        signal.removeEventListener("abort", onAbort);
      };
      const call: Call = {
        texts,
        pooling,
        next: 0,
        left: texts.length,
        vectors: new Float32Array(texts.length * this.#width),
        ended: false,
        done: () => {
          end();
          resolve(call.vectors);
        },
        fail: (error) => {
          end();
          reject(error);
        },
      };
      const onAbort = () => call.fail(abortError(signal));
      signal.addEventListener("abort", onAbort, { once: true });
      this.#calls.push(call);
      if (!this.#pumping) void this.#pump();
    });
  }

  /** Runs steps until nobody waits. */
  async #pump(): Promise<void> {
    this.#pumping = true;
    const under: Promise<void>[] = [];
    for (;;) {
      const step = this.#fill();
      if (step.length > 0) under.push(this.#step(step));
      else if (under.length === 0) break;
      if (step.length === 0 || under.length === AHEAD) await under.shift();
    }
    this.#pumping = false;
  }

  /** The next step's texts: one of each request in turn, as many as fit. */
  #fill(): { call: Call; index: number }[] {
    const { executor } = this.#built;
    const step: { call: Call; index: number }[] = [];
    let tokens = 0;
    for (let found = true; found; ) {
      found = false;
      for (const call of this.#calls) {
        const text = call.texts[call.next];
        if (!text) continue;
        if (step.length === executor.texts || tokens + text.length > executor.tokens) return step;
        tokens += text.length;
        step.push({ call, index: call.next++ });
        found = true;
      }
    }
    return step;
  }

  /** Never rejects: those whose texts they are learn of failures. */
  async #step(step: readonly { call: Call; index: number }[]): Promise<void> {
    const texts = step.map(
      ({ call, index }): EncodedText => ({
        tokens: call.texts[index] as Int32Array,
        pooling: call.pooling,
      }),
    );
    let vectors: Float32Array;
    try {
      vectors = await this.#onAnyDevice((encoder) => encoder.step(texts));
    } catch (error) {
      for (const { call } of step) call.fail(error);
      return;
    }
    const width = this.#width;
    step.forEach(({ call, index }, i) => {
      if (call.ended) return;
      call.vectors.set(vectors.subarray(i * width, (i + 1) * width), index * width);
      if (--call.left === 0) call.done();
    });
  }

  /** Does a step, and does it again on another device when the first is lost. */
  async #onAnyDevice<T>(work: (encoder: Encoder) => Promise<T>): Promise<T> {
    for (;;) {
      const { executor } = this.#built;
      try {
        return await work(executor);
      } catch (error) {
        if (!(error instanceof DeviceLostError)) throw error;
        const first = executor === this.#built.executor && this.#recovery.state.state === "ready";
        if (first) this.#recovery.begin(error);
        await this.#recovery.settled();
      }
    }
  }

  unload(): void {
    const unloaded = new EngineUnloaded("the engine was unloaded");
    this.#recovery.end(unloaded);
    for (const call of [...this.#calls]) call.fail(unloaded);
    this.#built.executor.gpu.destroy();
  }
}

/** The first `dimensions` numbers of vectors of `width`, scaled to length 1 if asked for. */
function shaped(
  vectors: Float32Array,
  width: number,
  dimensions: number,
  normalize: boolean,
): Float32Array {
  const result = new Float32Array((vectors.length / width) * dimensions);
  for (let from = 0, to = 0; from < vectors.length; from += width, to += dimensions) {
    const vector = vectors.subarray(from, from + dimensions);
    const length = normalize ? Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0)) : 1;
    for (let i = 0; i < dimensions; i++) result[to + i] = (vector[i] as number) / (length || 1);
  }
  return result;
}
