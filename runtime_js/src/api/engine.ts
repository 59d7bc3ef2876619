/** The page's handle on a model that runs in a worker. */
import type { CanRunReport } from "../engine/can_run.js";
import type { EngineInfo, EngineStats } from "../engine/language_model.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { abortError, EngineUnloaded, InvalidRequestError } from "../errors.js";
import type { CachedPack } from "../store/pack_cache.js";
import { type Connection, type ConnectOptions, connect } from "../worker/connect.js";
import { ChatCompletions } from "./chat.js";
import { SavedPrompts } from "./kv.js";
import { parseMessages } from "./request.js";
import type { ChatCompletionMessageParam } from "./types.js";

export interface EngineOptions extends Omit<LoadOptions, "url">, ConnectOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Ends the load; it rejects with AbortError. What has arrived stays cached. */
  signal?: AbortSignal | undefined;
}

export class Engine {
  readonly chat: { readonly completions: ChatCompletions };
  /** Prompts kept between visits: what was computed of them. */
  readonly kv: SavedPrompts;

  private constructor(
    private readonly connection: Connection,
    /** The model, the tier it runs in, GPU bytes, adapter and launches. */
    readonly info: EngineInfo,
  ) {
    this.chat = { completions: new ChatCompletions(connection.call, info.model.name) };
    this.kv = new SavedPrompts(connection.call);
  }

  /**
   * Loads a pack: from the cache without touching the network when it is there, else from its URL.
   *
   * @param packUrl the pack's folder or its pack.json
   * @throws NoWebGPU, AdapterLimit, OutOfMemory, DeviceError, DeviceLostError · MissingFile, TruncatedFile, HashMismatch,
   *   UnsupportedFormatVersion, InvalidPack, TokenizerError · NetworkError, AbortError, InvalidRequestError · WorkerFailed,
   *   ProtocolMismatch
   */
  static async load(packUrl: string | URL, options: EngineOptions = {}): Promise<Engine> {
    const { onProgress, signal, worker, gpu, ...load } = options;
    const url = packFolder(packUrl);
    if (signal?.aborted) throw abortError(signal);
    const connection = await connect({ worker, gpu });
    try {
      const info = await connection.call.load(defined({ url, ...load }), {
        signal,
        onEvent: onProgress,
      });
      return new Engine(connection, info);
    } catch (error) {
      connection.close(error as Error);
      throw error;
    }
  }

  /** Says whether a pack fits this device, and if not why, without loading its weights. @throws as {@link load}, but not for the device */
  static async canRun(packUrl: string | URL, options: EngineOptions = {}): Promise<CanRunReport> {
    const { onProgress: _, signal, worker, gpu, ...load } = options;
    const url = packFolder(packUrl);
    return once({ worker, gpu }, ({ call }) => call.canRun(defined({ url, ...load }), { signal }));
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

  /** The state now, and counts since the load began. */
  stats(): Promise<EngineStats> {
    return this.connection.call.stats(null);
  }

  /**
   * Calls `listener` with {@link stats} now, while steps run (at most once in `every` milliseconds), and when the last of them
   * is done.
   *
   * @returns ends it
   */
  on(
    _event: "step",
    listener: (stats: EngineStats) => void,
    { every = 250 }: { every?: number } = {},
  ): () => void {
    const controller = new AbortController();
    const { signal } = controller;
    const onEvent = (stats: EngineStats) => {
      if (!signal.aborted) listener(stats);
    };
    // It ends by being cancelled, or with the engine.
    this.connection.call.watch(every, { signal, onEvent }).catch(() => {});
    return () => controller.abort();
  }

  /** Token ids of a text. */
  tokenize(text: string): Promise<number[]> {
    return this.connection.call.tokenize(text);
  }

  /** Tokens of the prompt that these messages become. @throws InvalidRequestError, TemplateError */
  async countTokens(messages: ChatCompletionMessageParam[]): Promise<number> {
    return this.connection.call.countTokens(parseMessages(messages));
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
): Promise<T> {
  const connection = await connect(options);
  try {
    return await use(connection);
  } finally {
    connection.close(new EngineUnloaded("the call is over"));
  }
}

/** Drops undefined fields, which callers may write and the engine's options don't know. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}

/** The folder of a pack, absolute, with a trailing slash. @throws InvalidRequestError */
export function packFolder(packUrl: string | URL): string {
  const { document, location } = globalThis as { document?: Document; location?: Location };
  const base =
    document?.baseURI ?? location?.href ?? `file://${globalThis.process?.cwd?.() ?? ""}/`;
  let url: URL;
  try {
    url = new URL(packUrl, base);
  } catch {
    throw new InvalidRequestError(`${packUrl} is not a URL of a pack`, { param: "packUrl" });
  }
  url.hash = "";
  url.search = "";
  url.pathname = url.pathname.replace(/pack\.json$/, "").replace(/\/*$/, "/");
  return url.href;
}
