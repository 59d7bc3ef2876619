/**
 * Between page and worker: one map of methods, from which the client's proxy and the server's dispatch are both derived.
 *
 * A call is `{id, method, args}`; while it runs the server pushes `{id, event}`; it ends with `{id, result}` or
 * `{id, error}`. The client may send `{id, cancel}`. The first message each way is `{hello: PROTOCOL_VERSION}`.
 */
import type { CanRunReport } from "../engine/can_run.js";
import type { EngineInfo, EngineStats } from "../engine/language_model.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import type { Delta, GenerateRequest, GenerateResult } from "../engine/request.js";
import type { WireError } from "../errors.js";
import type { SavedPrefix } from "../store/kv_store.js";
import type { CachedPack } from "../store/pack_cache.js";
import type { TemplateMessage } from "../text/chat_template.js";

export const PROTOCOL_VERSION = 2;

/** `accepted`: the request is valid and waits its turn. `deltas`: what was generated since the last event. */
export type GenerateEvent =
  | { kind: "accepted"; promptTokens: number }
  | { kind: "deltas"; deltas: Delta[] };

/** `(args, event) => result` of every method. */
export type Methods = {
  load: (options: LoadOptions, event: LoadProgress) => EngineInfo;
  generate: (request: GenerateRequest, event: GenerateEvent) => GenerateResult;
  stats: (args: null, event: never) => EngineStats;
  /** Tells of `stats` at most every so many milliseconds while steps run; ends by being cancelled. */
  watch: (every: number, event: EngineStats) => never;
  info: (args: null, event: never) => EngineInfo;
  tokenize: (text: string, event: never) => number[];
  countTokens: (messages: TemplateMessage[], event: never) => number;
  savePrefix: (args: { name: string; messages: TemplateMessage[] }, event: never) => SavedPrefix;
  restorePrefix: (name: string, event: never) => SavedPrefix | null;
  listPrefixes: (args: null, event: never) => SavedPrefix[];
  deletePrefix: (name: string, event: never) => null;
  canRun: (options: LoadOptions, event: never) => CanRunReport;
  listCached: (args: null, event: never) => CachedPack[];
  deleteCached: (url: string, event: never) => null;
  unload: (args: null, event: never) => null;
};

/** Any map of methods: the engine's, or another that speaks this protocol. */
export type MethodMap = Record<string, (args: never, event: never) => unknown>;

export type Args<F extends MethodMap[string]> = Parameters<F>[0];
export type Event<F extends MethodMap[string]> = Parameters<F>[1];

export type ClientMessage =
  | { hello: number }
  | { id: number; method: string; args: unknown }
  | { id: number; cancel: string };

export type ServerMessage =
  | { hello: number }
  | { id: number; event: unknown }
  | { id: number; result: unknown }
  | { id: number; error: WireError };

/** A worker, a worker's own scope, or one end of a MessageChannel. */
export interface Port {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  start?(): void;
  close?(): void;
}
