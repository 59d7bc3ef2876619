/**
 * Between page and worker: one map of methods, from which the client's proxy and the server's dispatch are both derived.
 *
 * A call is `{id, method, args}`; while it runs the server pushes `{id, event}`; it ends with `{id, result}` or
 * `{id, error}`. The client may send `{id, cancel}`. The first message each way is `{hello: PROTOCOL_VERSION}`.
 */
import type { CanRunReport } from "../engine/can_run.js";
import type { EmbedRequest, EmbedResult } from "../engine/embedding_model.js";
import type { EngineInfo, EngineStats } from "../engine/info.js";
import type { PrepRecvResult } from "../engine/kv_exchange.js";
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import type { DeviceState } from "../engine/recovery.js";
import type { Delta, GenerateRequest, GenerateResult, PromptRequest } from "../engine/request.js";
import type { KvAddress, KvPiece } from "../engine/reservations.js";
import type { WireError } from "../errors.js";
import type { Address, Card } from "../peer/address.js";
import type { SavedPrefix } from "../store/kv_store.js";
import type { CachedPack } from "../store/pack_cache.js";

export const PROTOCOL_VERSION = 7;

/** `accepted`: the request is valid and waits its turn; `fingerprint` says what answers it. `deltas`: what was generated since the last event. */
export type GenerateEvent =
  | { kind: "accepted"; promptTokens: number; fingerprint: string }
  | { kind: "deltas"; deltas: Delta[] };

export interface PrepRecvRequest {
  prompt: PromptRequest;
  /** Position behind the last to be received; negative from the prompt's end. */
  end: number;
  /** false: only says what is cached. */
  reserve: boolean;
  timeoutMs: number;
  /** How long to wait for room, if not as long. */
  roomMs?: number;
}

export interface RemoteSendRequest {
  prompt: PromptRequest;
  kvAddr: KvAddress;
  /** Id of the engine that waits. */
  to: string;
  /** Positions to send; negative from the prompt's end. */
  begin: number;
  end: number;
}

/** What an engine does for pages and for other engines alike: `(args, event) => result`. */
export type ServingMethods = {
  generate: (request: GenerateRequest, event: GenerateEvent) => GenerateResult;
  prepRecv: (request: PrepRecvRequest, event: never) => PrepRecvResult;
  remoteSend: (request: RemoteSendRequest, event: never) => null;
  /** Nothing will be sent to an address of `prepRecv`, which is named by its `transfer`. */
  cancelRecv: (transfer: string, event: never) => null;
  stats: (args: null, event: never) => EngineStats;
  /** Text of token ids. */
  detokenize: (ids: readonly number[], event: never) => string;
};

/** What one engine does for another. */
export type PeerMethods = ServingMethods & {
  /** A transfer begins over this link. */
  kvOpen: (transfer: string, event: never) => null;
  /** Pages of a transfer, in order. */
  kvPut: (piece: KvPiece, event: never) => null;
  /** All of a transfer has been sent. */
  kvDone: (transfer: string, event: never) => null;
  /** A transfer will not be completed. */
  kvDrop: (transfer: string, event: never) => null;
};

/** A call that a page has its own engine make to another. */
export interface ForwardedCall {
  engine: string;
  method: keyof ServingMethods;
  args: unknown;
}

/** `(args, event) => result` of every method that an engine has for its page. */
export type Methods = ServingMethods & {
  load: (options: LoadOptions, event: LoadProgress) => EngineInfo;
  /** Links this engine with another, which does the same. */
  connectPeer: (address: Address, event: never) => Card;
  disconnectPeer: (engine: string, event: never) => null;
  /** Whether other tabs may find this engine. */
  sharePeer: (shared: boolean, event: never) => null;
  findPeers: (ms: number, event: never) => Card[];
  callPeer: (call: ForwardedCall, event: unknown) => unknown;
  /** Tells of `stats` at most every so many milliseconds while steps run; ends by being cancelled. */
  watch: (every: number, event: EngineStats) => never;
  /** Tells of a lost device and of its replacement; ends by being cancelled. */
  watchDevice: (args: null, event: DeviceState) => never;
  /** Milliseconds that the GPU is left to the page after each step. */
  setYield: (ms: number, event: never) => null;
  info: (args: null, event: never) => EngineInfo;
  /** Of a model that embeds texts. */
  embed: (request: EmbedRequest, event: never) => EmbedResult;
  tokenize: (text: string, event: never) => number[];
  countTokens: (prompt: PromptRequest, event: never) => number;
  savePrefix: (args: { name: string; prompt: PromptRequest }, event: never) => SavedPrefix;
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
/** `ReturnType` would be any, for what takes `never`. */
export type Result<F> = F extends (args: never, event: never) => infer R ? R : never;

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
