/**
 * Every failure a user can meet has a name. An error crosses the worker boundary as `{name, message, data}` and arrives
 * as an instance of the same class, so `error instanceof HashMismatch` works on both sides.
 */

/** JSON-like details of an error, e.g. `{param: "temperature"}`. */
export type ErrorData = Record<string, unknown>;

/** Base class of all errors thrown by this package; `name` is the class name, `data` holds the details. */
export class WebbuildError extends Error {
  static readonly className: string = "WebbuildError";
  readonly data: ErrorData;

  constructor(message: string, data: ErrorData = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.className;
    this.data = data;
  }
}

// --- requests

/** A request that can't be served as written; `param` names the offending field. Thrown before any work is done. */
export class InvalidRequestError extends WebbuildError {
  static override readonly className: string = "InvalidRequestError";
  get param(): string | null {
    return (this.data["param"] as string | undefined) ?? null;
  }
}

/** The prompt alone has more tokens than the context has room for; `data: {promptTokens, limit, contextLength}`. */
export class ContextLengthExceeded extends InvalidRequestError {
  static override readonly className: string = "ContextLengthExceeded";
}

/**
 * `engine.models` has no model of that name, `data: {param: "model", model}`; or no record of an app's configuration, written
 * for another library, has it, `data: {modelId}`. Chats and completions take any name.
 */
export class ModelNotFound extends InvalidRequestError {
  static override readonly className: string = "ModelNotFound";
}

/**
 * An answer can't be held to this grammar: it is wrong, or says something that can't be expressed.
 * `data: {kind, keyword?, pointer?}`; for a JSON Schema the keyword, and a JSON pointer to where it stands.
 */
export class GrammarError extends InvalidRequestError {
  static override readonly className: string = "GrammarError";
}

/** The pack's model embeds texts and was asked to generate, or the other way round; `data: {model, kind}`, kind "text" or "embedding". */
export class WrongModelKind extends InvalidRequestError {
  static override readonly className: string = "WrongModelKind";
}

/** @param param the field that names the model, if one does @returns the error of generating with a model that can't */
export function embedsTexts(model: string, param?: string): WrongModelKind {
  const message = `${model} embeds texts and generates none: call engine.embeddings.create, or load the pack of a chat model`;
  return new WrongModelKind(message, { model, kind: "embedding", ...(param && { param }) });
}

/** What code that was written for another library asks for, and this one can't do; the message says what to do instead. */
export class Unsupported extends WebbuildError {
  static override readonly className: string = "Unsupported";
}

/** A request came before its model was loaded, or does not say which one it is for. */
export class ModelNotLoaded extends WebbuildError {
  static override readonly className: string = "ModelNotLoaded";
}

/** The caller's signal was aborted. `name` is `AbortError`, as for `fetch`. */
export class AbortError extends WebbuildError {
  static override readonly className: string = "AbortError";
}

/** The model's chat template takes no tools, so it would never learn of them; `data: {param}`. */
export class ToolsUnsupported extends InvalidRequestError {
  static override readonly className: string = "ToolsUnsupported";
}

// --- packs

/** A file of the pack can't be what the builder wrote. */
export class InvalidPack extends WebbuildError {
  static override readonly className: string = "InvalidPack";
}

/** The pack was written in a format version that this package doesn't know. */
export class UnsupportedFormatVersion extends InvalidPack {
  static override readonly className: string = "UnsupportedFormatVersion";
}

/** A file's bytes aren't those that pack.json promises. */
export class HashMismatch extends InvalidPack {
  static override readonly className: string = "HashMismatch";
}

/** The server doesn't have a file of the pack. */
export class MissingFile extends InvalidPack {
  static override readonly className: string = "MissingFile";
}

/** A file ended before its promised size. */
export class TruncatedFile extends InvalidPack {
  static override readonly className: string = "TruncatedFile";
}

/** A draft's tokens are not the target's; `data: {param: "draft", target, draft}`. */
export class DraftMismatch extends InvalidRequestError {
  static override readonly className: string = "DraftMismatch";
}

/** The tokenizer can't be used; the message says which part of tokenizer.json. */
export class TokenizerError extends InvalidPack {
  static override readonly className: string = "TokenizerError";
}

/** The chat template refused the messages, or isn't a valid template. */
export class TemplateError extends WebbuildError {
  static override readonly className: string = "TemplateError";
}

/** The network failed, after retries; `data: {url, status?}`. What was read is kept, a later load resumes. */
export class NetworkError extends WebbuildError {
  static override readonly className: string = "NetworkError";
}

// --- storage

/** The browser's storage can't keep what it should; the message says what to do. */
export class StorageError extends WebbuildError {
  static override readonly className: string = "StorageError";
}

/** A saved prefix is of another pack, tier or format than the loaded model: save it again; `data: {name, field, saved, expected}`. */
export class StaleKvFile extends WebbuildError {
  static override readonly className: string = "StaleKvFile";
}

/** A saved prefix is damaged: save it again; `data: {name, problem}`. */
export class InvalidKvFile extends WebbuildError {
  static override readonly className: string = "InvalidKvFile";
}

// --- devices

/** There is no WebGPU here, or no adapter. */
export class NoWebGPU extends WebbuildError {
  static override readonly className: string = "NoWebGPU";
}

/** The adapter lacks a limit or feature that the pack needs; `data: {limit, needed, available}`. */
export class AdapterLimit extends WebbuildError {
  static override readonly className: string = "AdapterLimit";
}

/** The device has not enough memory for weights and KV pages. */
export class OutOfMemory extends WebbuildError {
  static override readonly className: string = "OutOfMemory";
}

/** The GPU refused a kernel or a command: a bug in the pack or in this package. */
export class DeviceError extends WebbuildError {
  static override readonly className: string = "DeviceError";
}

/** The GPU went away (driver reset, sleep, too many tabs), once too often to go on; `data: {tries, problem}`. Load the engine again. */
export class DeviceLostError extends WebbuildError {
  static override readonly className: string = "DeviceLostError";
}

// --- worker

/** The worker could not start or died. */
export class WorkerFailed extends WebbuildError {
  static override readonly className: string = "WorkerFailed";
}

/** The engine can't run where it was asked for (`worker` of a load); the message says where it can; `data: {host}`. */
export class HostUnsupported extends WebbuildError {
  static override readonly className: string = "HostUnsupported";
}

/** Page and worker scripts come from different versions of this package. */
export class ProtocolMismatch extends WebbuildError {
  static override readonly className: string = "ProtocolMismatch";
}

/** The engine was unloaded. */
export class EngineUnloaded extends WebbuildError {
  static override readonly className: string = "EngineUnloaded";
}

// --- peers

/** The other engine went away: its tab, worker or machine, or the link to it. What was under way with it is undone. */
export class PeerLost extends WebbuildError {
  static override readonly className: string = "PeerLost";
}

/** The other engine did not answer in time. */
export class PeerTimeout extends WebbuildError {
  static override readonly className: string = "PeerTimeout";
}

/** No link leads to the engine that was named; `data: {engine}`. */
export class PeerUnknown extends WebbuildError {
  static override readonly className: string = "PeerUnknown";
}

/** Keys and values can't cross: the engines run another pack or tier; or the address has expired, or was used. */
export class KvRefused extends WebbuildError {
  static override readonly className: string = "KvRefused";
}

// --- http

/** The page can't have the service worker that serves `/v1`; the message says why, and what to do. */
export class ServiceWorkerFailed extends WebbuildError {
  static override readonly className: string = "ServiceWorkerFailed";
}

type ErrorClass = new (message: string, data?: ErrorData, options?: ErrorOptions) => WebbuildError;

const classes = new Map<string, ErrorClass>(
  [
    WebbuildError,
    InvalidRequestError,
    ContextLengthExceeded,
    ModelNotFound,
    ToolsUnsupported,
    GrammarError,
    WrongModelKind,
    Unsupported,
    ModelNotLoaded,
    AbortError,
    InvalidPack,
    UnsupportedFormatVersion,
    HashMismatch,
    MissingFile,
    TruncatedFile,
    DraftMismatch,
    TokenizerError,
    TemplateError,
    NetworkError,
    StorageError,
    StaleKvFile,
    InvalidKvFile,
    NoWebGPU,
    AdapterLimit,
    OutOfMemory,
    DeviceError,
    DeviceLostError,
    WorkerFailed,
    HostUnsupported,
    ProtocolMismatch,
    EngineUnloaded,
    PeerLost,
    PeerTimeout,
    PeerUnknown,
    KvRefused,
    ServiceWorkerFailed,
  ].map((c) => [c.className, c]),
);

/** An error as it crosses the worker boundary. */
export interface WireError {
  name: string;
  message: string;
  data: ErrorData;
  stack?: string;
}

export function toWire(error: unknown): WireError {
  if (error instanceof WebbuildError) {
    const { name, message, data, stack } = error;
    return { name, message, data, ...(stack === undefined ? {} : { stack }) };
  }
  if (error instanceof Error) {
    const { name, message, stack } = error;
    return { name, message, data: {}, ...(stack === undefined ? {} : { stack }) };
  }
  return { name: "Error", message: String(error), data: {} };
}

export function fromWire(wire: WireError): Error {
  const known = classes.get(wire.name);
  const error = known ? new known(wire.message, wire.data) : new Error(wire.message);
  if (!known) error.name = wire.name;
  // The remote stack says where it happened; the local one would only name the message handler.
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

/** Throws {@link AbortError} when `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

export function abortError(signal?: AbortSignal): AbortError {
  const reason: unknown = signal?.reason;
  const said = reason instanceof Error ? reason.message : typeof reason === "string" ? reason : "";
  return new AbortError(said || "the operation was aborted");
}

/** A promise that rejects with {@link AbortError} when `signal` is aborted, for races; `dispose` lets go of the signal. */
export function rejectOnAbort(signal: AbortSignal): {
  promise: Promise<never>;
  dispose: () => void;
} {
  let dispose = () => {};
  const promise = new Promise<never>((_, reject) => {
    const onAbort = () => reject(abortError(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    dispose = () => signal.removeEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
  promise.catch(() => {}); // an abort that nobody waits for is no failure
  return { promise, dispose };
}
