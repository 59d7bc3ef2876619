/** The worker's end of the protocol: the engine behind its methods. */
import { canRun } from "../engine/can_run.js";
import { EmbeddingModel } from "../engine/embedding_model.js";
import type { Host } from "../engine/host.js";
import type { LanguageModel } from "../engine/language_model.js";
import { type LoadOptions, loadAny } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { EngineUnloaded, embedsTexts, StorageError, WrongModelKind } from "../errors.js";
import { findEngines } from "../peer/directory.js";
import { PackCache } from "../store/pack_cache.js";
import type { Store } from "../store/store.js";
import { dispatch, type Handlers } from "./dispatch.js";
import type { Port } from "./protocol.js";
import { Serving } from "./serving.js";

/** A model that is loaded, and what it does for its pages and other engines. */
export type Loaded =
  | { model: LanguageModel; serving: Serving }
  | { model: EmbeddingModel; serving?: never };

/** Who keeps the model that a page's calls are about. */
export interface Holder {
  readonly loaded: Loaded | undefined;
  load(
    options: LoadOptions,
    emit: (progress: LoadProgress) => void,
    signal: AbortSignal,
  ): Promise<Loaded>;
  /** The page needs it no more. */
  unload(): void;
}

export async function loadFor(host: Host, ...rest: Parameters<Holder["load"]>): Promise<Loaded> {
  const model = await loadAny(host, ...rest);
  return model instanceof EmbeddingModel ? { model } : { model, serving: await Serving.of(model) };
}

/** Frees a model; whoever waits for it is told. */
export function free({ model, serving }: Loaded): void {
  serving?.hub.close(new EngineUnloaded("the engine was unloaded"));
  model.unload();
}

/** Whether a model can't answer any more, such as one whose device is lost for good. */
export function isOver({ model, serving }: Loaded): boolean {
  return serving ? model.scheduler.stopped : model.deviceState().state === "lost";
}

/** One page's own. */
class OwnModel implements Holder {
  loaded: Loaded | undefined;

  constructor(private readonly host: Host) {}

  async load(...call: Parameters<Holder["load"]>): Promise<Loaded> {
    this.unload();
    this.loaded = await loadFor(this.host, ...call);
    return this.loaded;
  }

  unload(): void {
    if (this.loaded) free(this.loaded);
    this.loaded = undefined;
  }
}

/** Serves an engine of its own on a port. @returns frees the engine */
export function serve(port: Port, host: Host): () => void {
  const own = new OwnModel(host);
  const abort = dispatch(port, engineHandlers(host, own, {}));
  return () => {
    abort(new EngineUnloaded("the engine was unloaded")); // what still waits, such as for room
    own.unload();
  };
}

/** @param page stands for who calls: what is reserved for it goes with it */
export function engineHandlers(host: Host, holder: Holder, page: object): Handlers {
  const any = () => {
    if (!holder.loaded) throw new EngineUnloaded("no model is loaded");
    return holder.loaded;
  };
  const loaded = () => {
    const one = any();
    if (one.serving) return one;
    throw embedsTexts(one.model.info().model.name);
  };
  const embedding = () => {
    const { model } = any();
    if (model instanceof EmbeddingModel) return model;
    const { name } = model.info().model;
    throw new WrongModelKind(
      `${name} generates text and embeds none: load the pack of an encoder, such as a BertModel`,
      { model: name, kind: "text" },
    );
  };
  const serving = () => loaded().serving;
  const handlers = () => serving().handlers(page);
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
      const { model } = await holder.load(options, emit, signal);
      return model.info();
    },
    generate: (...call) => handlers().generate(...call),
    prepRecv: (...call) => handlers().prepRecv(...call),
    remoteSend: (...call) => handlers().remoteSend(...call),
    cancelRecv: (...call) => handlers().cancelRecv(...call),
    stats: (...call) => handlers().stats(...call),
    detokenize: (...call) => handlers().detokenize(...call),
    connectPeer: (address, { signal }) => serving().hub.connect(address, signal),
    disconnectPeer(engine) {
      serving().hub.leave(engine);
      return null;
    },
    sharePeer(shared) {
      const { hub } = serving();
      if (shared) hub.share();
      else hub.unshare();
      return null;
    },
    findPeers: (ms) => findEngines(ms),
    callPeer: (call, context) => serving().forward(call, context),
    watch: (every, { signal, emit }) => loaded().model.watch(every, emit, signal),
    watchDevice: (_, { signal, emit }) => any().model.watchDevice(emit, signal),
    info: () => any().model.info(),
    embed: (request, { signal }) => embedding().embed(request, signal),
    setYield(ms) {
      loaded().model.scheduler.page.set(ms);
      return null;
    },
    tokenize: (text) => any().model.tokenize(text),
    countTokens: (prompt) => loaded().model.prompts.count(prompt),
    savePrefix: async ({ name, prompt }, { signal }) =>
      loaded().model.savePrefix(await openStore(), name, prompt, signal),
    restorePrefix: async (name) =>
      (await loaded().model.restorePrefix(await openStore(), name)) ?? null,
    listPrefixes: async () => {
      const { model } = loaded();
      return model.saves(await openStore()).list();
    },
    async deletePrefix(name) {
      const { model } = loaded();
      await model.saves(await openStore()).delete(name);
      return null;
    },
    canRun: (options, { signal }) => canRun(host, options, signal),
    listCached: async () => (await (await openCache())?.list()) ?? [],
    async deleteCached(url) {
      await (await openCache())?.forget(url);
      return null;
    },
    unload() {
      holder.unload();
      return null;
    },
  };
}
