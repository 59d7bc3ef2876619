/** An engine as a router and its strategies see it. */
import type { Prompt } from "../api/prompt.js";
import type {
  PrepRecvOptions,
  RemoteSendOptions,
  ServingEngine,
  StartGenerateOptions,
} from "../api/serving_engine.js";
import type { ChatCompletionStream } from "../api/stream.js";
import type { ChatCompletion } from "../api/types.js";

/** Milliseconds after which an engine that was lost is tried again. */
const AGAIN_MS = 10_000;

/** The three calls, how busy this router keeps it, and whether it was lost. A request is known by its signal. */
export class RoutedEngine {
  readonly #requests = new Set<unknown>();
  readonly #streams = new WeakSet<ChatCompletionStream>();
  #losses = 0;
  #restsUntil = 0;

  /** @param index its place among the router's engines */
  constructor(
    readonly engine: ServingEngine,
    readonly index = 0,
  ) {}

  /** Requests of this router that keep it busy: they were given to it, are answered there, or send from there. */
  get active(): number {
    return this.#requests.size;
  }

  /** false for a while after it was lost. */
  get works(): boolean {
    return performance.now() >= this.#restsUntil;
  }

  /** How often it was lost. */
  get losses(): number {
    return this.#losses;
  }

  /** From now on it counts as busy with the request of this signal, until that is done or {@link release}. */
  take(request: AbortSignal | undefined): this {
    if (request) this.#requests.add(request);
    return this;
  }

  /** It has done its part of the request. */
  release(request: AbortSignal | undefined): void {
    this.#requests.delete(request);
  }

  prepRecv(
    prompt: Prompt,
    options: PrepRecvOptions & { reserve: false },
  ): ReturnType<ServingEngine["prepRecv"]>;
  prepRecv(prompt: Prompt, options?: PrepRecvOptions): ReturnType<ServingEngine["prepRecv"]>;
  prepRecv(prompt: Prompt, options?: PrepRecvOptions) {
    return this.#watch(this.engine.prepRecv(prompt, options));
  }

  async remoteSend(
    prompt: Prompt,
    { to, ...options }: Omit<RemoteSendOptions, "to"> & { to: RoutedEngine },
  ): Promise<void> {
    try {
      await this.#during(
        this.engine.remoteSend(prompt, { ...options, to: to.engine }),
        options.signal,
      );
    } catch (error) {
      // Which of the two is lost shows when this one is asked something else.
      if (isLost(error)) this.prepRecv(prompt, { reserve: false }).catch(() => {});
      throw error;
    }
  }

  async startGenerate(
    prompt: Prompt,
    options: StartGenerateOptions,
  ): Promise<ChatCompletion | ChatCompletionStream> {
    const answer = this.#watch(this.engine.startGenerate(prompt, options));
    const ended = answer.then((said) => ("ended" in said ? said.ended : undefined));
    this.#during(ended, options.signal).catch(() => {});
    const said = await answer;
    if ("ended" in said) this.#streams.add(said);
    return said;
  }

  /** A stream failed after it had begun. Nothing happens if it was another engine's. */
  streamFailed(stream: ChatCompletionStream, error: unknown): void {
    if (this.#streams.has(stream)) this.#note(error);
  }

  async #during<T>(work: Promise<T>, request: unknown = {}): Promise<T> {
    this.#requests.add(request);
    try {
      return await work;
    } finally {
      this.#requests.delete(request);
    }
  }

  async #watch<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.#restsUntil = 0;
      return result;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  #note(error: unknown): void {
    if (!isLost(error)) return;
    this.#losses++;
    this.#restsUntil = performance.now() + AGAIN_MS;
  }
}

/** Errors that say that the engine is gone, so that another one may do what it was asked. */
const LOST = ["PeerLost", "PeerUnknown", "EngineUnloaded", "WorkerFailed", "DeviceLostError"];

export function isLost(error: unknown): boolean {
  return LOST.some((name) => isNamed(error, name));
}

/** Whether it is the error of this name. Its class would not tell: `webbuild/router` is bundled with classes of its own. */
export function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}

/** A strategy wants more engines than there are. */
export class TooFewEngines extends RangeError {}

/** The one with the fewest requests under way. */
export function leastBusy(engines: readonly RoutedEngine[]): RoutedEngine {
  if (engines.length === 0) throw new TooFewEngines("this strategy needs more engines");
  return engines.reduce((best, engine) => (engine.active < best.active ? engine : best));
}

/**
 * How many tokens of a prompt each engine has cached. Those that can't say are left out.
 *
 * @throws what one of them said, if none can
 */
export async function cachedTokens(
  prompt: Prompt,
  engines: readonly RoutedEngine[],
  signal: AbortSignal | undefined,
): Promise<Map<RoutedEngine, number>> {
  const asked = await Promise.allSettled(
    engines.map((engine) => engine.prepRecv(prompt, { reserve: false, signal })),
  );
  const cached = new Map<RoutedEngine, number>();
  let failed: PromiseRejectedResult | undefined;
  for (const [i, answer] of asked.entries()) {
    if (answer.status === "rejected") failed = answer;
    else cached.set(engines[i] as RoutedEngine, answer.value.matched);
  }
  if (cached.size === 0 && failed) throw failed.reason;
  return cached;
}
