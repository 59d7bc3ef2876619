/** The page's handle on a model that runs in a worker. */
import type { CanRunReport } from "../engine/can_run.js";
import type { EngineInfo, EngineStats } from "../engine/info.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import type { DeviceState } from "../engine/recovery.js";
import { abortError, EngineUnloaded, InvalidRequestError, PeerUnknown } from "../errors.js";
import type { CachedPack } from "../store/pack_cache.js";
import { type Connection, type ConnectOptions, connect } from "../worker/connect.js";
import { Embeddings } from "./embeddings.js";
import { defined, invalid, namesIn } from "./fields.js";
import { SavedPrompts } from "./kv.js";
import { type AddressOptions, addresses, type PackAddresses, packFolder } from "./pack_address.js";
import { Peers } from "./peers.js";
import { type Prompt, type PromptSettings, parsePrompt, parseTokens } from "./prompt.js";
import { type RemoteSendOptions, ServingEngine } from "./serving_engine.js";

export interface EngineOptions
  extends Omit<LoadOptions, keyof PackAddresses>,
    AddressOptions,
    ConnectOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Ends the load; it rejects with AbortError. What has arrived stays cached. */
  signal?: AbortSignal | undefined;
}

/** An engine of this page. */
export class Engine extends ServingEngine {
  /** Other engines, in other tabs and on other machines. */
  readonly peers: Peers;
  /** Prompts kept between visits: what was computed of them. */
  readonly kv: SavedPrompts;
  /** Vectors of texts, of a model that embeds. */
  readonly embeddings: Embeddings;
  /** Links that are being made, by the other engine's id. */
  readonly #linking = new Map<string, Promise<unknown>>();

  private constructor(
    private readonly connection: Connection,
    /** The model, the tier it runs in, GPU bytes, adapter and launches. */
    readonly info: EngineInfo,
  ) {
    super(connection.call, info.id, info.model.name);
    this.peers = new Peers(connection.call);
    this.kv = new SavedPrompts(connection.call);
    this.embeddings = new Embeddings(connection.call, info.model.name);
  }

  /**
   * Loads a pack: from the cache without touching the network when it is there, else from its URL.
   *
   * @param packUrl the pack's folder or its pack.json; a query goes with every request for its files
   * @throws NoWebGPU, AdapterLimit, OutOfMemory, DeviceError, DeviceLostError · MissingFile, TruncatedFile, HashMismatch,
   *   UnsupportedFormatVersion, InvalidPack, TokenizerError, DraftMismatch · NetworkError, AbortError, InvalidRequestError · WorkerFailed,
   *   ProtocolMismatch
   */
  static async load(packUrl: string | URL, options: EngineOptions = {}): Promise<Engine> {
    const { load, via, onProgress, signal } = parted(packUrl, options);
    if (signal?.aborted) throw abortError(signal);
    const connection = await connect(via, signal);
    try {
      const info = await connection.call.load(load, { signal, onEvent: onProgress });
      return new Engine(connection, info);
    } catch (error) {
      connection.close(error as Error);
      throw error;
    }
  }

  /** Says whether a pack fits this device, and if not why, without loading its weights. @throws as {@link load}, but not for the device */
  static async canRun(packUrl: string | URL, options: EngineOptions = {}): Promise<CanRunReport> {
    const { load, via, signal } = parted(packUrl, options);
    return once(via, ({ call }) => call.canRun(load, { signal }), signal);
  }

  /** Packs in this browser's storage, whole or in part. */
  static async listCached(options: ConnectOptions = {}): Promise<CachedPack[]> {
    return once(options, ({ call }) => call.listCached(null));
  }

  /** Removes a pack from this browser's storage; files that another pack shares stay. */
  static async deleteCached(packUrl: string | URL, options: ConnectOptions = {}): Promise<void> {
    const url = packFolder(packUrl);
    await once(options, ({ call }) => call.deleteCached(url));
  }

  protected override async transfer(prompt: Prompt, options: RemoteSendOptions): Promise<void> {
    const { to } = options;
    if (to === this || to === this.id) {
      throw new InvalidRequestError("to is this engine itself", { param: "to" });
    }
    try {
      await super.transfer(prompt, options);
    } catch (error) {
      if (!(error instanceof PeerUnknown && to instanceof Engine)) throw error;
      await this.#link(to);
      await super.transfer(prompt, options);
    }
  }

  /** Gives two engines of this page a channel of their own, so that no byte passes through the page. */
  #link(to: Engine): Promise<unknown> {
    const under = this.#linking.get(to.id);
    if (under) return under;
    const { port1, port2 } = new MessageChannel();
    const linking = Promise.all([
      to.connection.call.connectPeer({ port: port2 }, { transfer: [port2] }),
      this.connection.call.connectPeer({ port: port1 }, { transfer: [port1] }),
    ]).finally(() => {
      this.#linking.delete(to.id);
      // Of no effect if they were handed over; if not, the other end learns that nobody comes.
      port1.close();
      port2.close();
    });
    this.#linking.set(to.id, linking);
    return linking;
  }

  /**
   * Calls `listener` with {@link stats} now, while steps run (at most once in `every` milliseconds), and when the last of them
   * is done.
   *
   * @returns ends it
   */
  on(
    event: "step",
    listener: (stats: EngineStats) => void,
    options?: { every?: number },
  ): () => void;
  /**
   * Calls `listener` with the state of the GPU device now, and whenever it is lost, is being replaced (with the progress of
   * loading again) or is there again. Requests wait meanwhile, and their streams go on.
   *
   * @returns ends it
   */
  on(event: "device", listener: (state: DeviceState) => void): () => void;
  on(
    event: "step" | "device",
    listener: (state: never) => void,
    { every = 250 }: { every?: number } = {},
  ): () => void {
    const controller = new AbortController();
    const { signal } = controller;
    const onEvent = (state: unknown) => {
      if (!signal.aborted) listener(state as never);
    };
    const { call } = this.connection;
    const watching =
      event === "step"
        ? call.watch(every, { signal, onEvent })
        : call.watchDevice(null, { signal, onEvent });
    watching.catch(() => {}); // it ends by being cancelled, or with the engine
    return () => controller.abort();
  }

  /**
   * From the next step on, leaves the GPU to the page for so many milliseconds after each step, as {@link EngineOptions}'
   * `yieldMs` does from the load on. Answers are the same, and come later.
   *
   * @example
   * engine.setYield(8); // while something moves
   * engine.setYield(0); // when nobody looks
   * @throws InvalidRequestError
   */
  async setYield(ms: number): Promise<void> {
    await this.connection.call.setYield(ms);
  }

  /** Token ids of a text, as a prompt has them: control tokens written in it count as such, none are added. */
  async tokenize(text: string): Promise<number[]> {
    if (typeof text !== "string") throw invalid("text", "must be a string");
    return this.connection.call.tokenize(text);
  }

  /** The text of token ids, control tokens in their own words. @throws InvalidRequestError about one that is no token */
  async detokenize(ids: readonly number[]): Promise<string> {
    return this.connection.call.detokenize(parseTokens(ids, "ids"));
  }

  /**
   * Tokens of a text, or of the prompt that messages become.
   *
   * @param options of the request that these messages are for, as far as its prompt depends on them
   * @throws InvalidRequestError, TemplateError
   */
  async countTokens(prompt: Prompt, options: PromptSettings = {}): Promise<number> {
    return this.connection.call.countTokens(parsePrompt(prompt, options));
  }

  /** Frees all memory and ends the worker; requests under way reject with EngineUnloaded. */
  async unload(): Promise<void> {
    this.connection.close(new EngineUnloaded("the engine was unloaded"));
  }
}

/** One call on an engine of its own. */
async function once<T>(
  options: ConnectOptions,
  use: (connection: Connection) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const connection = await connect(options, signal);
  try {
    return await use(connection);
  } finally {
    connection.close(new EngineUnloaded("the call is over"));
  }
}

/** All of them: one that is misspelt would be ignored. */
const OPTIONS: Record<keyof EngineOptions, true> = {
  draft: true,
  headers: true,
  credentials: true,
  contextLength: true,
  maxBatch: true,
  kvTokens: true,
  prefixCache: true,
  tier: true,
  revalidate: true,
  cache: true,
  verifyCache: true,
  powerPreference: true,
  tune: true,
  yieldMs: true,
  recovery: true,
  onProgress: true,
  signal: true,
  worker: true,
  gpu: true,
};

/** What the engine is told, how it is reached, and what stays here. @throws InvalidRequestError */
function parted(packUrl: string | URL, options: EngineOptions) {
  for (const name of namesIn(options)) {
    if (!Object.hasOwn(OPTIONS, name)) throw invalid(name, "is no option of Engine.load");
  }
  const { onProgress, signal, worker, gpu, draft, headers, credentials, ...load } = options;
  const at = addresses(packUrl, { draft, headers, credentials });
  return { load: defined({ ...at, ...load }), via: { worker, gpu }, onProgress, signal };
}
