/** A loaded model: requests become prompts, which the scheduler continues. */
import { DeviceLostError, EngineUnloaded, InvalidRequestError, throwIfAborted } from "../errors.js";
import type { PackManifest } from "../generated/pack.js";
import type { Program } from "../generated/program.js";
import type { Capacity } from "../gpu/sizes.js";
import type { Vocabulary } from "../grammar/spec.js";
import type { PagePool } from "../kv/page_pool.js";
import type { Sequence } from "../kv/sequence.js";
import { KvStore, type SavedPrefix } from "../store/kv_store.js";
import type { PackSource } from "../store/pack_source.js";
import { sha256 } from "../store/sha256.js";
import type { Store } from "../store/store.js";
import { detokenize } from "../text/detokenizer.js";
import { VERSION } from "../version.js";
import type { ReadAnswer } from "./answering.js";
import type { Built } from "./build.js";
import type { Constraint } from "./constraint.js";
import { addBytes, draftInfo, pagesOf, type Runner, runnerOf } from "./draft.js";
import type { Drafter } from "./drafter.js";
import type { Executor } from "./executor.js";
import { IdleMoments, type Unready } from "./idle.js";
import type { EngineInfo, EngineStats } from "./info.js";
import { KvExchange, type PageStore, position } from "./kv_exchange.js";
import { KvMemory, type PrefixCacheOptions } from "./kv_memory.js";
import type { Losses } from "./losses.js";
import { Matchers } from "./matchers.js";
import { type Fitted, isMessages, Prompts } from "./prompts.js";
import { type DeviceState, FIRST_DEVICE, type Recovered, Recovery } from "./recovery.js";
import type { Delta, GenerateRequest, GenerateResult, Prompt, PromptRequest } from "./request.js";
import { GREEDY, isToken, SamplingRow, seedBits } from "./sampling.js";
import { SavedPrefixes } from "./saved_prefixes.js";
import { Scheduler } from "./scheduler.js";
import type { TextParts } from "./text_parts.js";
import type { TuningReport } from "./tune.js";
import { Watchers } from "./watchers.js";

export interface GenerateListener {
  /** The request is valid and waits its turn. */
  accepted?(promptTokens: number): void;
  delta(delta: Delta): void;
}

const isText = (prompt: Prompt) => typeof prompt === "object" && "text" in prompt;

/** Of an answer that the model does not end. */
const NO_END: ReadonlySet<number> = new Set();

function choiceOf(built: Omit<Built<unknown>, "beside">) {
  const { choice, report } = built;
  const draft = draftInfo(built);
  const bytes = addBytes(choice.needs.bytes, draft?.bytes);
  return { tier: choice.name, bytes, draft, adapter: report };
}

export class LanguageModel {
  readonly id = crypto.randomUUID();
  readonly scheduler: Scheduler;
  readonly prompts: Prompts;
  /** What goes to other engines, and comes from them. */
  readonly exchange: KvExchange;
  /** What belongs to the device of now. */
  #built: Omit<Built<unknown>, "beside">;
  #runner: Runner;
  #choice: ReturnType<typeof choiceOf>;
  #recovery: Recovery<Built<void>> | undefined;
  readonly #watchers: Watchers<EngineStats>;
  readonly #deviceWatchers: Watchers<DeviceState>;
  readonly #eos: ReadonlySet<number>;
  readonly #contextLength: number;
  #prefixes: Promise<SavedPrefixes> | undefined;
  /** Of answers that must match a grammar. */
  matchers: Matchers;
  readonly #idle = new IdleMoments([() => this.#unreadyKernels(), () => this.#unreadyGrammars()]);

  constructor(
    built: Omit<Built<unknown>, "beside">,
    private readonly manifest: PackManifest,
    readonly program: Program,
    readonly text: TextParts,
    private readonly setting: Capacity & {
      tuning: TuningReport | null;
      prefixCache: PrefixCacheOptions;
    },
  ) {
    this.#built = built;
    const { prefixCache } = setting;
    this.#runner = runnerOf(built, prefixCache);
    this.#choice = choiceOf(built);
    const kv = new KvMemory(pagesOf(built.executor), program.page_size, prefixCache);
    this.scheduler = new Scheduler(this.#runner, kv, text.tokenizer.bytes);
    this.exchange = new KvExchange(this.id, this.scheduler, this.#pages(), (tokens, signal) =>
      this.#compute(tokens, signal),
    );
    this.#watchers = new Watchers(() => this.stats());
    this.#deviceWatchers = new Watchers(() => this.deviceState());
    this.scheduler.onStep = () => this.#watchers.changed(false);
    this.scheduler.onIdle = () => {
      this.#watchers.changed(true);
      this.#idle.begin();
    };
    this.#eos = new Set(manifest.tokens.eos);
    this.#contextLength = setting.contextLength;
    this.matchers = new Matchers(this.#vocabulary(), manifest.grammars);
    this.prompts = new Prompts(text, manifest.model.vocab_size, setting.contextLength);
  }

  /** What grammars need to know of the tokens. */
  #vocabulary(): Vocabulary {
    const { bytes } = this.text.tokenizer;
    return {
      size: this.manifest.model.vocab_size,
      stopTokens: [...this.#eos],
      bytes: (id) => bytes.of(id),
      // Grammars of answers are made of marks like any text.
      isSpecial: (id) => bytes.isSpecial(id) && !this.prompts.marks.has(id),
    };
  }

  /** On the device of now; another one after a loss. */
  get executor(): Executor {
    return this.#built.executor;
  }

  get source(): PackSource {
    return this.#built.source;
  }

  /** What guesses tokens, if there is a draft. */
  get drafter(): Drafter | undefined {
    return this.#runner.drafter;
  }

  /** From now on a lost device is replaced by what `rebuild` makes, and requests go on there. */
  recoverWith(losses: Losses, rebuild: Recovered<Built<void>>["rebuild"]): void {
    const { scheduler } = this;
    const recovery = new Recovery<Built<void>>(losses, {
      suspend: (error) => {
        scheduler.suspend(error);
        this.exchange.reservations.clear("their device was lost");
      },
      rebuild,
      resume: (built) => this.#adopt(built),
      stop: (error) => scheduler.stop(error),
      changed: () => {
        this.#deviceWatchers.changed(false);
        this.#watchers.changed(false);
      },
    });
    this.#recovery = recovery;
    scheduler.onFailure = (error) => {
      if (error instanceof DeviceLostError) recovery.begin(error);
      else scheduler.stop(error);
    };
  }

  /** All that belongs to a device is made for another. */
  #adopt(built: Built<void>): void {
    Object.assign(built.executor.hostMs, this.executor.hostMs);
    this.#built = built;
    this.#runner = runnerOf(built, this.setting.prefixCache);
    this.#choice = choiceOf(built);
    this.#prefixes = undefined;
    this.#idle.forgive();
    this.scheduler.resume(this.#runner);
    this.finishWhenIdle();
  }

  /** Reads and writes the pages of whatever device there is; work on those of a lost one fails. */
  #pages(): PageStore {
    const { scheduler } = this;
    const on = (pool: PagePool): Executor => {
      if (pool === scheduler.kv.pool) return this.executor;
      throw new DeviceLostError("the keys and values were on a GPU device that was lost");
    };
    return {
      page: this.executor.page,
      readPages: async (pool, pages) => on(pool).readPages(pool, pages),
      writePages: (pool, pages, content) => on(pool).writePages(pool, pages, content),
    };
  }

  /** Whether there is a device, and what has become of lost ones. */
  deviceState(): DeviceState {
    return this.#recovery?.state ?? FIRST_DEVICE;
  }

  /** Tells of {@link deviceState} now and whenever it is another. @returns rejects when `signal` ends it */
  watchDevice(tell: (state: DeviceState) => void, signal: AbortSignal): Promise<never> {
    return this.#deviceWatchers.watch(0, tell, signal);
  }

  /** Does work on KV pages, and does it again when they were lost with their device. */
  async #onAnyDevice<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      const { executor } = this;
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof DeviceLostError)) throw error;
        await this.#recovery?.settled();
        if (this.executor === executor) throw error;
      }
    }
  }

  info(): EngineInfo {
    const { model, quantization } = this.manifest;
    const { maxBatch, kvTokens } = this.setting;
    const { tier, bytes, draft, adapter } = this.#choice;
    return {
      id: this.id,
      model: {
        name: model.name,
        architecture: model.architecture,
        parameters: model.parameters,
        vocabSize: model.vocab_size,
      },
      quantization,
      tier,
      contextLength: this.#contextLength,
      maxBatch,
      kvTokens,
      bytes,
      draft,
      embedding: null,
      adapter,
      launches: this.executor.launches(),
      tuning: this.setting.tuning,
      cache: { kind: this.source.storeKind, problem: this.source.cacheProblem ?? null },
    };
  }

  stats(): EngineStats {
    const { source, draft } = this.#built;
    const { state, losses, recoveryMs } = this.deviceState();
    return {
      device: { state, losses, recoveryMs },
      ...this.executor.gpu.counters,
      ...this.scheduler.stats(),
      networkBytes: source.networkBytes + (draft?.source.networkBytes ?? 0),
      cacheBytes: source.cacheBytes + (draft?.source.cacheBytes ?? 0),
    };
  }

  /** Tells of {@link stats} at most every so many milliseconds while steps run. @returns rejects when `signal` ends it */
  watch(every: number, tell: (stats: EngineStats) => void, signal: AbortSignal): Promise<never> {
    return this.#watchers.watch(every, tell, signal);
  }

  /** Token ids of a text, as the model reads it. */
  tokenize(text: string): number[] {
    return this.text.tokenizer.encode(text);
  }

  /** The text of token ids, control tokens in their own words. @throws InvalidRequestError about one that is no token */
  detokenize(ids: readonly number[]): string {
    const { bytes } = this.text.tokenizer;
    const bad = ids.find((id) => !bytes.has(id));
    if (bad === undefined) return detokenize(bytes, ids);
    throw new InvalidRequestError(`ids has ${bad}, which is no token of this model`, {
      param: "ids",
    });
  }

  /** Says which engines' keys and values are this one's: those of the same weights and pages. */
  async kvKind(): Promise<string> {
    const weights = this.manifest.files.filter(({ role }) => role === "weights");
    const { page_size: pageSize } = this.program;
    const { bytes, dtype } = this.executor.page;
    const hashes = weights.map(({ sha256 }) => sha256);
    return sha256(JSON.stringify([hashes, dtype, pageSize, bytes]));
  }

  /** Says what answers: pack, tier and version of this package; the same at every load of these. */
  async fingerprint(): Promise<string> {
    const hash = await sha256(JSON.stringify([this.manifest, this.#choice.tier, VERSION]));
    return `fp_${hash.slice(0, 10)}`;
  }

  /** Has keys and values computed. @returns a sequence that holds them, once the steps that compute them are submitted */
  #compute(tokens: Int32Array, signal: AbortSignal): Promise<Sequence> {
    const ended = new AbortController();
    return new Promise((resolve, reject) => {
      const computed = (sequence: Sequence) => {
        resolve(sequence.fork(-1));
        ended.abort(); // nobody wants the token that comes next
      };
      const sampling = new SamplingRow(GREEDY, {}, 0n);
      const eos = this.#eos;
      const spec = {
        prompt: tokens,
        sampling,
        options: GREEDY,
        maxTokens: 1,
        stop: [],
        eos,
        priority: 0,
        streams: false,
        cache: true,
        computed,
      };
      this.#idle.end();
      this.scheduler
        .generate(spec, () => {}, AbortSignal.any([signal, ended.signal]))
        .catch(reject);
    });
  }

  /** Answers a request, beside others. @throws InvalidRequestError, TemplateError, AbortError, DeviceError, DeviceLostError */
  async generate(
    request: GenerateRequest,
    listener: GenerateListener,
    signal: AbortSignal,
  ): Promise<GenerateResult> {
    throwIfAborted(signal);
    this.#check(request);
    const fitted = this.prompts.fit(request);
    const chat = request.tools !== undefined || isMessages(request.messages);
    const asked = request.grammar && this.matchers.resolve(request.grammar);
    const answer = chat ? this.prompts.answering.of(request, fitted.tokens, asked) : undefined;
    const grammar = answer ? answer.grammar : asked;
    const encode = (text: string) => this.tokenize(text);
    const constraint =
      grammar && (await this.matchers.begin(grammar, encode, request.jumps ?? true));
    try {
      return await this.#answer(request, { ...fitted, answer, constraint }, listener, signal);
    } finally {
      constraint?.free();
    }
  }

  async #answer(
    request: GenerateRequest,
    prepared: Fitted & { answer: ReadAnswer | undefined; constraint: Constraint | undefined },
    listener: GenerateListener,
    signal: AbortSignal,
  ): Promise<GenerateResult> {
    const { tokens, droppedMessages, window, ends, answer, constraint } = prepared;
    if (droppedMessages === 0) position(request.begin ?? 0, tokens.length, "begin");
    listener.accepted?.(tokens.length);
    this.#idle.end();
    const { sampling: options, maxTokens, stop, priority = 0, streams = true } = request;
    const { speculation = "off" } = request;
    const room = this.#contextLength - (window ? 0 : tokens.length);
    const claim = () => this.exchange.reservations.claim(tokens);
    const result = await this.scheduler
      .generate(
        {
          prompt: tokens,
          computed: claim,
          sampling: new SamplingRow(
            options,
            this.text.defaults,
            seedBits(options.seed),
            constraint !== undefined,
          ),
          options,
          ...(constraint ? { constraint } : {}),
          maxTokens: window ? (maxTokens ?? room) : Math.min(maxTokens ?? room, room),
          ...(window ? { window } : {}),
          stop,
          ...(answer ? { keep: answer.keep } : {}),
          eos: request.ignoreEos ? NO_END : new Set([...this.#eos, ...ends]),
          continues: isText(request.messages),
          priority,
          streams,
          cache: true,
          speculation,
        },
        answer ? (delta) => listener.delta(answer.read(delta)) : listener.delta,
        signal,
      )
      .finally(claim);
    const rest = answer?.rest();
    if (rest) listener.delta(rest);
    const about = { ...result, promptTokens: tokens.length, droppedMessages };
    return answer ? answer.result(about) : about;
  }

  /** Computes a prompt, as far as it is not cached, and saves it. @throws as `engine.kv.save` */
  async savePrefix(
    store: Store,
    name: string,
    prompt: PromptRequest,
    signal: AbortSignal,
  ): Promise<SavedPrefix> {
    const tokens = this.prompts.tokens(prompt);
    const request: GenerateRequest = {
      messages: [...tokens], // whatever they are of: nobody reads the answer
      sampling: GREEDY,
      maxTokens: 1, // one more than is wanted: a request draws
      stop: [],
      streams: false,
    };
    return this.#onAnyDevice(async () => {
      const prefixes = await this.#savedPrefixes();
      const compute = () => this.generate(request, { delta: () => {} }, signal);
      return prefixes.save(this.saves(store), name, tokens, compute, signal);
    });
  }

  /** Puts a saved prefix into the prefix cache; undefined when there is none. @throws as `engine.kv.restore` */
  async restorePrefix(store: Store, name: string): Promise<SavedPrefix | undefined> {
    return this.#onAnyDevice(async () => {
      const failure = this.executor.gpu.failure();
      if (failure) throw failure;
      return (await this.#savedPrefixes()).restore(this.saves(store), name);
    });
  }

  /** What is saved of this pack. */
  saves(store: Store): KvStore {
    return new KvStore(store, this.source.url);
  }

  #savedPrefixes(): Promise<SavedPrefixes> {
    const { tier } = this.#choice;
    const { executor } = this;
    this.#prefixes ??= sha256(JSON.stringify(this.manifest)).then((pack) => {
      return new SavedPrefixes(executor, this.scheduler, { pack, tier });
    });
    return this.#prefixes;
  }

  /**
   * From now on what the first token does not take is made ready: its kernels compile at once, where that is beside everything else, and
   * run for the first time once no request has come for a while, one function after another.
   */
  finishWhenIdle(): void {
    this.#runner.compileRest();
    this.#idle.begin();
  }

  #unreadyKernels(): ReturnType<Unready> {
    const [name] = this.executor.gpu.failure() ? [] : this.#runner.unfinished;
    return name === undefined ? undefined : () => this.#finish(name);
  }

  #unreadyGrammars(): ReturnType<Unready> {
    const idle = !this.executor.gpu.failure() && !this.matchers.prepared;
    return idle ? () => this.matchers.prepare() : undefined;
  }

  /** Makes everything ready at once. @throws DeviceError */
  async finish(): Promise<void> {
    this.#idle.end();
    for (const name of this.#runner.unfinished) await this.#finish(name);
  }

  #finish(name: string): Promise<void> {
    return this.scheduler.exclusive((scratch) => this.#runner.finish(name, scratch));
  }

  unload(): void {
    this.#idle.close();
    this.exchange.reservations.clear("the engine was unloaded");
    this.matchers.close();
    const unloaded = new EngineUnloaded("the engine was unloaded");
    this.#recovery?.end(unloaded);
    this.scheduler.stop(unloaded);
    this.executor.gpu.destroy();
  }

  /** What only the model knows to be wrong. */
  #check({ sampling, speculation, maxTokens }: GenerateRequest): void {
    const drafts = typeof speculation === "object" && speculation.from === "draft";
    if (drafts && !this.#choice.draft) {
      throw new InvalidRequestError("no draft was loaded: give Engine.load a draft", {
        param: "webbuild.speculation.from",
      });
    }
    // Other engines' requests come as they are.
    if (maxTokens !== null && !(maxTokens >= 1)) {
      throw new InvalidRequestError("max_tokens must be 1 or more", { param: "max_tokens" });
    }
    const vocab = this.manifest.model.vocab_size;
    const outside = sampling.logitBias.find(([id]) => !isToken(id, vocab));
    if (outside) {
      throw new InvalidRequestError(
        `logit_bias: token ${outside[0]} is outside the vocabulary of ${vocab}`,
        {
          param: "logit_bias",
        },
      );
    }
    const { logprobs } = sampling;
    if (logprobs !== null && !(Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= 20)) {
      throw new InvalidRequestError("top_logprobs must be 0 to 20", { param: "top_logprobs" });
    }
    if (logprobs !== null && !this.executor.has("logprobs")) {
      throw new InvalidRequestError("this pack was made without log-probabilities", {
        param: "logprobs",
      });
    }
  }
}
