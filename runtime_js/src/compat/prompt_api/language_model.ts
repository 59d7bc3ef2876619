/** Chrome's Prompt API over an engine: a session is a conversation, and prompts of it are answered one after another. */
import {
  type CompletionUsage,
  type Engine,
  type EngineOptions,
  TemplateError,
} from "../../index.js";
import { unlessAborted } from "./aborted.js";
import { answer } from "./answer.js";
import { Conversation } from "./conversation.js";
import { exception, toException } from "./errors.js";
import {
  type LanguageModelPrompt,
  type Message,
  readMessages,
  readPrompt,
  type Said,
} from "./messages.js";
import { Model } from "./model.js";
import {
  type Availability,
  type LanguageModelCreateCoreOptions,
  type LanguageModelCreateOptions,
  type LanguageModelParams,
  type LanguageModelPromptOptions,
  type LanguageModelSamplingMode,
  MAX_TEMPERATURE,
  MAX_TOP_K,
  readSampling,
  type Sampling,
  unsupported,
} from "./options.js";
import { responseFormat } from "./response_constraint.js";
import { Tools } from "./tools.js";

/** Answers in a row that call tools; a small model may never come to an end by itself. */
const MOST_ROUNDS = 10;

type OverflowEvent = "contextoverflow" | "quotaoverflow";
type Handler = ((event: Event) => unknown) | null;

/** A session. */
export class LanguageModel extends EventTarget {
  /** Tokens of the last prompt and its answer (with tools: of the last round), and how many the prefix cache had. Not in the Prompt API. */
  lastUsage: CompletionUsage | undefined;
  readonly #engine: Engine;
  readonly #sampling: Sampling;
  readonly #conversation: Conversation;
  readonly #tools: Tools;
  readonly #destroyed = new AbortController();
  readonly #handlers = new Map<OverflowEvent, Handler>();
  /** The operation that the next one waits for. */
  #last: Promise<unknown> = Promise.resolve();

  /** @internal Sessions are made by `create` and `clone`. */
  constructor(engine: Engine, sampling: Sampling, conversation: Conversation, tools: Tools) {
    super();
    this.#engine = engine;
    this.#sampling = sampling;
    this.#conversation = conversation;
    this.#tools = tools;
  }

  /** Tokens of everything that has been said, and of the tools. */
  get contextUsage(): number {
    return this.#conversation.usage;
  }

  /** The most tokens that prompts and answers may have together. */
  get contextWindow(): number {
    return this.#engine.info.contextLength;
  }

  /** The older name of {@link contextUsage}. */
  get inputUsage(): number {
    return this.contextUsage;
  }

  /** The older name of {@link contextWindow}. */
  get inputQuota(): number {
    return this.contextWindow;
  }

  get temperature(): number | undefined {
    return this.#sampling.temperature;
  }

  get topK(): number | undefined {
    return this.#sampling.topK;
  }

  get samplingMode(): LanguageModelSamplingMode | null {
    return this.#sampling.mode;
  }

  get oncontextoverflow(): Handler {
    return this.#handlers.get("contextoverflow") ?? null;
  }

  set oncontextoverflow(handler: Handler) {
    this.#handle("contextoverflow", handler);
  }

  get onquotaoverflow(): Handler {
    return this.#handlers.get("quotaoverflow") ?? null;
  }

  set onquotaoverflow(handler: Handler) {
    this.#handle("quotaoverflow", handler);
  }

  /**
   * Answers, and keeps prompt and answer in the session. Tools that the model calls are run before it answers; what it says
   * beside calls is part of the answer.
   *
   * @throws TypeError; DOMExceptions: SyntaxError (an answer under a constraint was cut off), NotSupportedError, QuotaExceededError,
   *   AbortError (the prompt is then not kept), InvalidStateError (the session was destroyed), OperationError (tools were called
   *   and called, or the context was full within a call), UnknownError
   */
  async prompt(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): Promise<string> {
    let text = "";
    for await (const piece of this.#answer(input, options)) text += piece;
    return text;
  }

  /** The same, in pieces as they come; cancelling the stream aborts the prompt. */
  promptStreaming(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): ReadableStream<string> {
    const cancelled = new AbortController();
    const signal = AbortSignal.any([cancelled.signal, ...(options.signal ? [options.signal] : [])]);
    const pieces = this.#answer(input, { ...options, signal });
    return new ReadableStream<string>({
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => cancelled.abort(reason),
    });
  }

  /** Adds messages without asking for an answer, and computes them beforehand. @throws as {@link prompt} */
  async append(
    input: LanguageModelPrompt,
    { signal }: Pick<LanguageModelPromptOptions, "signal"> = {},
  ): Promise<void> {
    await this.#next(signal, async (signal) => {
      const said = readMessages(input, this.#conversation.empty);
      const { messages, turns } = await this.#fit(said);
      // One token is the least that can be asked for; what counts is the prefix cache.
      const asked = { ...this.#request(messages), max_tokens: 1 };
      await this.#engine.chat.completions.create(asked, { signal });
      await this.#conversation.commit([...turns, ...said]);
    });
  }

  /** Tokens that a prompt would add to {@link contextUsage}. */
  async measureContextUsage(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions = {},
  ): Promise<number> {
    const signal = this.#signal(options.signal);
    try {
      const { messages, prefix } = readPrompt(input, this.#conversation.empty);
      responseFormat(options, prefix);
      const begun: Message[] = prefix === "" ? [] : [{ role: "assistant", content: prefix }];
      const tokens = await this.#conversation.measure([...messages, ...begun]);
      if (signal.aborted) throw signal.reason;
      return tokens;
    } catch (error) {
      throw signal.aborted ? signal.reason : toException(error);
    }
  }

  /** The older name of {@link measureContextUsage}. */
  measureInputUsage(
    input: LanguageModelPrompt,
    options?: LanguageModelPromptOptions,
  ): Promise<number> {
    return this.measureContextUsage(input, options);
  }

  /** A session that goes on from here on its own; what both begin with is computed and kept once. */
  async clone({ signal }: Pick<LanguageModelPromptOptions, "signal"> = {}): Promise<LanguageModel> {
    const own = this.#signal(signal);
    if (own.aborted) throw own.reason;
    const Session = this.constructor as typeof LanguageModel;
    return new Session(this.#engine, this.#sampling, this.#conversation.copy(), this.#tools);
  }

  /** Ends prompts under way with AbortError; later ones reject with InvalidStateError. The engine stays loaded. */
  destroy(): void {
    this.#destroyed.abort(exception("AbortError", "the session was destroyed"));
  }

  #handle(type: OverflowEvent, handler: Handler): void {
    const before = this.#handlers.get(type);
    if (before) this.removeEventListener(type, before);
    this.#handlers.set(type, handler);
    if (handler) this.addEventListener(type, handler);
  }

  /** @throws InvalidStateError */
  #signal(signal: AbortSignal | undefined): AbortSignal {
    if (this.#destroyed.signal.aborted) {
      throw exception("InvalidStateError", "the session was destroyed");
    }
    return AbortSignal.any([this.#destroyed.signal, ...(signal ? [signal] : [])]);
  }

  /** Runs an operation after those before it, with a signal that is aborted with the session too. */
  async #next<T>(
    given: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = this.#signal(given);
    const before = this.#last;
    const running = (async () => {
      await unlessAborted(before, signal);
      return run(signal);
    })();
    // One that was given up before its turn holds nobody up, and lets nobody past.
    this.#last = Promise.allSettled([before, running]);
    try {
      return await running;
    } catch (error) {
      throw signal.aborted ? signal.reason : toException(error);
    }
  }

  async *#answer(
    input: LanguageModelPrompt,
    options: LanguageModelPromptOptions,
  ): AsyncGenerator<string, void, void> {
    const pieces: string[] = [];
    let wake = () => {};
    let ended = false;
    const running = this.#next(options.signal, async (signal) => {
      const { messages: said, prefix } = readPrompt(input, this.#conversation.empty);
      const format = responseFormat(options, prefix);
      const answered = await this.#converse(said, format, signal, () => {
        let length = 0; // the caller has the beginning
        return (text) => {
          const rest = text.slice(Math.max(0, prefix.length - length));
          length += text.length;
          if (rest === "") return;
          pieces.push(rest);
          wake();
        };
      });
      if (options.responseConstraint && answered.reason === "length") {
        throw exception("SyntaxError", "the answer was cut off before it met its constraint");
      }
      await this.#conversation.commit(answered.turns);
    }).finally(() => {
      ended = true;
      wake();
    });
    running.catch(() => {}); // it is told below
    for (;;) {
      const piece = pieces.shift();
      if (piece !== undefined) yield piece;
      else if (ended) break;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    await running;
  }

  /**
   * Asks, and asks again with the results of what the model called, until it answers.
   *
   * @param teller is made for each answer, and told its text
   * @returns what the conversation is then, and how the last answer ended
   */
  async #converse(
    prompt: Message[],
    format: object | undefined,
    signal: AbortSignal,
    teller: () => (text: string) => void,
  ) {
    const said: Said[] = [...prompt];
    for (let round = 0; round <= MOST_ROUNDS; round++) {
      const { messages, turns } = await this.#fit(said);
      const request = this.#request(messages);
      const asked = format ? { ...request, response_format: format as never } : request;
      const { message, reason, usage } = await answer(this.#engine, asked, signal, teller());
      if (usage) this.lastUsage = usage;
      said.push(message);
      if (!message.tool_calls) return { turns: [...turns, ...said], reason };
      if (round < MOST_ROUNDS) said.push(...(await this.#tools.run(message.tool_calls, signal)));
    }
    throw exception(
      "OperationError",
      `the model called tools ${MOST_ROUNDS} times and more without an answer: ask for less at a time, tell it in a system ` +
        "message when to stop, or run the calls of chat.completions.create of the engine yourself",
    );
  }

  /** What was dropped does not come back, whatever becomes of these. */
  async #fit(said: Said[]): Promise<{ messages: Said[]; turns: Said[] }> {
    const { dropped, ...fitted } = await this.#conversation.fit(said);
    if (dropped > 0) {
      await this.#conversation.commit(fitted.turns);
      for (const type of ["contextoverflow", "quotaoverflow"]) this.dispatchEvent(new Event(type));
    }
    return fitted;
  }

  #request(messages: Said[]) {
    const { temperature, topK } = this.#sampling;
    const { told } = this.#tools;
    return {
      messages,
      ...(told ? { tools: told } : {}),
      ...(temperature === undefined ? {} : { temperature }),
      ...(topK === undefined ? {} : { webbuild: { top_k: topK } }),
    };
  }
}

/** `LanguageModel` of a pack or an engine: what pages call. */
export type LanguageModelClass = typeof LanguageModel & {
  /** Whether `create` would work, and whether it has to fetch the pack first. */
  availability(options?: LanguageModelCreateCoreOptions): Promise<Availability>;
  /**
   * Makes a session; the first loads the pack.
   *
   * @throws TypeError, RangeError; DOMExceptions: NotSupportedError, QuotaExceededError, AbortError, NetworkError, OperationError
   */
  create(options?: LanguageModelCreateOptions): Promise<LanguageModel>;
  /** null where `availability` says "unavailable". */
  params(): Promise<LanguageModelParams | null>;
};

/**
 * Makes a `LanguageModel` that runs a pack.
 *
 * @param source an engine, or the URL of a pack, which the first session loads with `options`
 * @example
 * const LanguageModel = languageModelOf("packs/mine/");
 * const session = await LanguageModel.create({ initialPrompts: [{ role: "system", content: "Be brief." }] });
 * for await (const text of session.promptStreaming("Why is the sky blue?")) show(text);
 */
export function languageModelOf(
  source: Engine | string | URL,
  options: Omit<EngineOptions, "onProgress" | "signal"> = {},
): LanguageModelClass {
  const model = new Model(source, options);
  return class extends LanguageModel {
    static async availability(options: LanguageModelCreateCoreOptions = {}): Promise<Availability> {
      readSampling(options);
      new Tools(options.tools);
      return unsupported(options) ? "unavailable" : model.availability().catch(rethrow);
    }

    static async create({
      signal,
      monitor,
      initialPrompts = [],
      ...core
    }: LanguageModelCreateOptions = {}): Promise<LanguageModel> {
      if (signal?.aborted) throw signal.reason;
      const sampling = readSampling(core);
      const tools = new Tools(core.tools);
      const problem = unsupported(core);
      if (problem) throw problem;
      const initial = initialPrompts.length > 0 ? readMessages(initialPrompts, true) : [];
      const progress = new EventTarget();
      monitor?.(progress);
      try {
        const tell = (loaded: number) => progress.dispatchEvent(new DownloadProgress(loaded));
        const engine = await model.engine(tell, signal);
        const conversation = new Conversation(engine, initial, tools.told);
        if (initial.length > 0 || tools.told) await conversation.fit([]);
        if (tools.told) await holdTo(tools.told, engine, initial, signal);
        await conversation.commit([]);
        if (signal?.aborted) throw signal.reason;
        const session = new this(engine, sampling, conversation, tools);
        signal?.addEventListener("abort", () => session.destroy(), { once: true });
        return session;
      } catch (error) {
        throw signal?.aborted ? signal.reason : toException(error, "OperationError");
      }
    }

    static async params(): Promise<LanguageModelParams | null> {
      if ((await model.availability().catch(rethrow)) === "unavailable") return null;
      return {
        defaultTopK: MAX_TOP_K,
        maxTopK: MAX_TOP_K,
        defaultTemperature: 1,
        maxTemperature: MAX_TEMPERATURE,
      };
    }
  } as LanguageModelClass;
}

/**
 * Makes an answer of one token: a schema that calls can't be held to is refused now, and what tools and initial prompts begin
 * prompts with is computed.
 */
async function holdTo(
  tools: NonNullable<Tools["told"]>,
  engine: Engine,
  initial: readonly Message[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const messages: Message[] = [...initial, { role: "user", content: "" }];
  try {
    await engine.chat.completions.create({ messages, tools, max_tokens: 1 }, { signal });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error; // it may refuse the user after these
  }
}

function rethrow(error: unknown): never {
  throw toException(error);
}

/** What `monitor` hears of: a ProgressEvent, which not every host has. */
export class DownloadProgress extends Event {
  readonly lengthComputable = true;
  readonly total = 1;

  constructor(readonly loaded: number) {
    super("downloadprogress");
  }
}

/**
 * Sets `globalThis.LanguageModel` where the browser has none, or none that works here, so that code written for Chrome's runs as
 * it is.
 *
 * @returns the one that is there then: the browser's own, or one of {@link languageModelOf}
 */
export async function installLanguageModel(
  source: Engine | string | URL,
  options: Omit<EngineOptions, "onProgress" | "signal"> = {},
): Promise<LanguageModelClass> {
  const scope = globalThis as { LanguageModel?: LanguageModelClass };
  const own = scope.LanguageModel;
  const state = await own?.availability().catch(() => "unavailable");
  if (own && state !== "unavailable") return own;
  const LanguageModel = languageModelOf(source, options);
  Object.defineProperty(scope, "LanguageModel", {
    value: LanguageModel,
    writable: true,
    configurable: true,
  });
  return LanguageModel;
}
