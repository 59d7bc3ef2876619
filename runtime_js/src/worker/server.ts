/** The worker's end of the protocol: the engine behind its methods. */
import { canRun } from "../engine/can_run.js";
import type { Host } from "../engine/host.js";
import type { LanguageModel } from "../engine/language_model.js";
import { load } from "../engine/load.js";
import type { Delta } from "../engine/request.js";
import { EngineUnloaded, StorageError } from "../errors.js";
import { PackCache } from "../store/pack_cache.js";
import type { Store } from "../store/store.js";
import { dispatch, type Handlers } from "./dispatch.js";
import type { Port } from "./protocol.js";

/** Serves the engine on a port. @returns frees the engine */
export function serve(port: Port, host: Host): () => void {
  const handlers = engineHandlers(host);
  dispatch(port, handlers);
  return () => void handlers.unload(null, { signal: new AbortController().signal, emit: () => {} });
}

function engineHandlers(host: Host): Handlers {
  let model: LanguageModel | undefined;
  const loaded = (): LanguageModel => {
    if (!model) throw new EngineUnloaded("no model is loaded");
    return model;
  };
  const openStore = async (): Promise<Store> => {
    const store = await host.openStore();
    if (store) return store;
    throw new StorageError(
      "this page has no storage: serve it over https, and not in a private window or a sandboxed frame",
    );
  };
  const openCache = async () => {
    const store = await host.openStore();
    return store && new PackCache(store);
  };
  return {
    async load(options, { signal, emit }) {
      model?.unload();
      model = await load(host, options, emit, signal);
      return model.info();
    },
    async generate(request, { signal, emit }) {
      const batch = new DeltaBatch((deltas) => emit({ kind: "deltas", deltas }));
      try {
        return await loaded().generate(
          request,
          {
            accepted: (promptTokens) => emit({ kind: "accepted", promptTokens }),
            delta: (delta) => batch.add(delta),
          },
          signal,
        );
      } finally {
        batch.flush();
      }
    },
    stats: () => loaded().stats(),
    watch: (every, { signal, emit }) => loaded().watch(every, emit, signal),
    info: () => loaded().info(),
    tokenize: (text) => loaded().tokenize(text),
    countTokens: (messages) => loaded().prompt(messages).tokens.length,
    savePrefix: async ({ name, messages }, { signal }) =>
      loaded().savePrefix(await openStore(), name, messages, signal),
    restorePrefix: async (name) => (await loaded().restorePrefix(await openStore(), name)) ?? null,
    listPrefixes: async () =>
      loaded()
        .saves(await openStore())
        .list(),
    async deletePrefix(name) {
      await loaded()
        .saves(await openStore())
        .delete(name);
      return null;
    },
    canRun: (options, { signal }) => canRun(host, options, signal),
    listCached: async () => (await (await openCache())?.list()) ?? [],
    async deleteCached(url) {
      await (await openCache())?.forget(url);
      return null;
    },
    unload() {
      model?.unload();
      model = undefined;
      return null;
    },
  };
}

/** Least time between two messages of one generation: a page can't show text more often than it draws. */
const BATCH_MS = 16;

/** Collects deltas so that a fast model doesn't send a message per token; the first one goes at once. */
class DeltaBatch {
  #deltas: Delta[] = [];
  #sent = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (deltas: Delta[]) => void) {}

  add(delta: Delta): void {
    this.#deltas.push(delta);
    const wait = this.#sent + BATCH_MS - performance.now();
    if (wait <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), wait);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#deltas.length === 0) return;
    this.send(this.#deltas);
    this.#deltas = [];
    this.#sent = performance.now();
  }
}
