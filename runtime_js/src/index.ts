/** webbuild: language models inside any web page. */
export { ChatCompletions, type RequestOptions } from "./api/chat.js";
export { Engine, type EngineOptions } from "./api/engine.js";
export type { SavedPrompts } from "./api/kv.js";
export { ChatCompletionStream } from "./api/stream.js";
export type * from "./api/types.js";
export type { CanRunReport } from "./engine/can_run.js";
export type { EngineInfo, EngineStats } from "./engine/language_model.js";
export type { LoadPhase, LoadProgress } from "./engine/progress.js";
export type { ServingStats } from "./engine/serving_stats.js";
export {
  AbortError,
  AdapterLimit,
  ContextLengthExceeded,
  DeviceError,
  DeviceLostError,
  EngineUnloaded,
  HashMismatch,
  InvalidKvFile,
  InvalidPack,
  InvalidRequestError,
  MissingFile,
  NetworkError,
  NoWebGPU,
  OutOfMemory,
  ProtocolMismatch,
  StaleKvFile,
  StorageError,
  TemplateError,
  TokenizerError,
  TruncatedFile,
  UnsupportedFormatVersion,
  WebbuildError,
  WorkerFailed,
} from "./errors.js";
export type { AdapterReport } from "./gpu/device.js";
export type { SavedPrefix } from "./store/kv_store.js";
export type { CachedPack } from "./store/pack_cache.js";
