/** Engines that several pages use: whoever asks for the same pack with the same options gets the same one. */
import type { Host } from "../engine/host.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { EngineUnloaded, HostUnsupported, rejectOnAbort } from "../errors.js";
import { pairLocks } from "../peer/pair_locks.js";
import { dispatch } from "./dispatch.js";
import type { Port } from "./protocol.js";
import { engineHandlers, free, type Holder, isOver, type Loaded, loadFor } from "./server.js";

/** How the first who asks has it read; makes no other engine. */
const READING = ["cache", "revalidate", "verifyCache", "requests"];

/** A model that is being loaded or is loaded, until the last page has left. */
class SharedModel {
  /** Who has it or waits for it, and wants to know how far it is. */
  readonly #pages = new Map<object, (progress: LoadProgress) => void>();
  readonly #loading = new AbortController();
  readonly #promise: Promise<Loaded>;
  #progress: LoadProgress | undefined;
  loaded: Loaded | undefined;

  constructor(
    host: Host,
    options: LoadOptions,
    /** Is called when it can't be had any more: nobody needs it, or it could not be loaded. */
    private readonly over: () => void,
  ) {
    const emit = (progress: LoadProgress) => {
      this.#progress = progress;
      for (const tell of this.#pages.values()) tell(progress);
    };
    this.#promise = loadFor(host, options, emit, this.#loading.signal).then(
      (loaded) => {
        if (this.#pages.size === 0) free(loaded);
        else this.loaded = loaded;
        return loaded;
      },
      (error: unknown) => {
        this.over();
        throw error;
      },
    );
    this.#promise.catch(() => {}); // told to whoever joins
  }

  /** @throws what the load does, and AbortError: the others' load goes on */
  async join(
    page: object,
    tell: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ): Promise<Loaded> {
    this.#pages.set(page, tell);
    if (this.#progress) tell(this.#progress);
    const aborted = rejectOnAbort(signal);
    try {
      const loaded = await Promise.race([this.#promise, aborted.promise]);
      if (this.#pages.has(page)) this.#pages.set(page, () => {});
      return loaded;
    } catch (error) {
      this.leave(page);
      throw error;
    } finally {
      aborted.dispose();
    }
  }

  leave(page: object): void {
    if (this.loaded?.serving) this.loaded.model.exchange.reservations.dropOwned(page);
    if (!this.#pages.delete(page) || this.#pages.size > 0) return;
    this.over();
    this.#loading.abort();
    if (this.loaded) free(this.loaded);
    this.loaded = undefined;
  }
}

/** What a page hands in to get a port of its own served: `{webbuild: "connect", pair}`, with the port. */
export interface Joining {
  webbuild: "connect";
  /** The name of the {@link pairLocks}. */
  pair: string;
}

export class SharedEngines {
  readonly #models = new Map<string, SharedModel>();

  constructor(private readonly host: Host) {}

  /** Serves a page. @returns is to be called when it is gone: ends its requests, and what nobody else needs */
  attach(port: Port): () => void {
    const page = {};
    let joined: SharedModel | undefined;
    let gone: EngineUnloaded | undefined;
    const leave = () => {
      joined?.leave(page);
      joined = undefined;
    };
    const holder: Holder = {
      get loaded() {
        return joined?.loaded;
      },
      load: (options, emit, signal) => {
        if (!this.host.gpu) throw withoutGpu();
        if (gone) throw gone;
        leave();
        joined = this.#model(options);
        return joined.join(page, emit, signal);
      },
      unload: leave,
    };
    const abort = dispatch(port, engineHandlers(this.host, holder, page));
    return () => {
      gone = new EngineUnloaded("the page is gone");
      abort(gone);
      leave();
    };
  }

  /** Serves a page until it is gone. */
  async welcome(port: Port, { pair }: Joining): Promise<void> {
    const locks = await pairLocks(pair, "b");
    const detach = this.attach(port);
    await locks.gone();
    detach();
    locks.release();
    port.close?.();
  }

  #model(options: LoadOptions): SharedModel {
    const entries = Object.entries(options).filter(([name]) => !READING.includes(name));
    const key = JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = this.#models.get(key);
    const { loaded } = known ?? {};
    // One that is over stays for the pages that have it; whoever loads again gets another.
    if (known && !(loaded && isOver(loaded))) return known;
    const model = new SharedModel(this.host, options, () => {
      if (this.#models.get(key) === model) this.#models.delete(key);
    });
    this.#models.set(key, model);
    return model;
  }
}

function withoutGpu(): HostUnsupported {
  return new HostUnsupported(
    "this browser has no WebGPU in shared and service workers: load the engine with worker: true",
    { host: "shared" },
  );
}
