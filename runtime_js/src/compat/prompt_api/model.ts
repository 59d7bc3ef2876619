/** The engine behind all sessions: loaded when the first is made. */
import { Engine, type EngineOptions, packFolder } from "../../index.js";
import type { Availability } from "./options.js";

type Listener = (loaded: number) => void;

/** Loads on demand; a load ends early only when everybody who waits for it has given up. */
export class Model {
  #loading: { engine: Promise<Engine>; controller: AbortController } | undefined;
  #ready: Engine | undefined;
  readonly #listeners = new Set<Listener>();
  #loaded = 0;

  /** @param source an engine, or the URL of a pack to load with `options` */
  constructor(
    private readonly source: Engine | string | URL,
    private readonly options: Omit<EngineOptions, "onProgress" | "signal">,
  ) {
    if (source instanceof Engine) this.#ready = source;
  }

  async availability(): Promise<Availability> {
    if (this.#ready) return "available";
    if (this.#loading) return "downloading";
    const source = this.source as string | URL;
    const { worker, gpu } = this.options;
    const [report, packs] = await Promise.all([
      Engine.canRun(source, this.options),
      Engine.listCached({ worker, gpu }),
    ]);
    if (!report.ok) return "unavailable";
    const folder = packFolder(source);
    const stored = packs.some((p) => p.url === folder && p.storedBytes === p.totalBytes);
    return stored ? "available" : "downloadable";
  }

  /** @param onProgress is told shares from 0 to 1 @throws what `Engine.load` throws; AbortError when `signal` is aborted */
  async engine(onProgress: Listener, signal: AbortSignal | undefined): Promise<Engine> {
    if (signal?.aborted) throw signal.reason;
    if (this.#ready) {
      onProgress(0);
      onProgress(1);
      return this.#ready;
    }
    onProgress(this.#loaded);
    this.#listeners.add(onProgress);
    this.#loading ??= this.#load();
    const { engine, controller } = this.#loading;
    let giveUp = () => {};
    const aborted = new Promise<never>((_, reject) => {
      giveUp = () => {
        this.#listeners.delete(onProgress);
        if (this.#listeners.size === 0) controller.abort();
        reject(signal?.reason);
      };
    });
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      return await (signal ? Promise.race([engine, aborted]) : engine);
    } finally {
      signal?.removeEventListener("abort", giveUp);
      this.#listeners.delete(onProgress);
    }
  }

  #load() {
    const controller = new AbortController();
    const tell = (loaded: number) => {
      if (loaded <= this.#loaded) return;
      this.#loaded = loaded;
      for (const listener of this.#listeners) listener(loaded);
    };
    const engine = Engine.load(this.source as string | URL, {
      ...this.options,
      signal: controller.signal,
      onProgress: ({ phase, loadedBytes, totalBytes }) =>
        tell(phase === "ready" ? 1 : Math.min(0.99, totalBytes > 0 ? loadedBytes / totalBytes : 0)),
    }).then(
      (engine) => {
        tell(1);
        this.#ready = engine;
        return engine;
      },
      (error) => {
        this.#loading = undefined; // the next one tries again
        this.#loaded = 0;
        throw error;
      },
    );
    engine.catch(() => {});
    return { engine, controller };
  }
}
