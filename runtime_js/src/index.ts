/** webbuild: language models inside any web page. */
export { ChatCompletions, type RequestOptions } from "./api/chat.js";
export { Completions } from "./api/completions.js";
export type * from "./api/embeddings.js";
export { Engine, type EngineOptions } from "./api/engine.js";
export type { SavedPrompts } from "./api/kv.js";
export { Models, ModelsPage } from "./api/models.js";
export { packFolder } from "./api/pack_address.js";
export { type JoinOptions, Peers, type SharedEngine } from "./api/peers.js";
export type { ChatPrompt, Prompt, PromptSettings } from "./api/prompt.js";
export { RemoteEngine } from "./api/remote_engine.js";
export type { ResponseStream, Responses } from "./api/responses/responses.js";
export type * from "./api/responses/types.js";
export {
  type PrepRecvOptions,
  type RemoteSendOptions,
  ServingEngine,
  type StartGenerateOptions,
} from "./api/serving_engine.js";
export { type ChatCompletionStream, CompletionStream } from "./api/stream.js";
export type * from "./api/text_types.js";
export type * from "./api/types.js";
export type { CanRunReport } from "./engine/can_run.js";
export type { DraftInfo } from "./engine/draft.js";
export type { EngineInfo, EngineStats } from "./engine/info.js";
export type { PrepRecvResult } from "./engine/kv_exchange.js";
export type { PrefixCacheOptions } from "./engine/kv_memory.js";
export type { RecoveryOptions } from "./engine/losses.js";
export type { LoadPhase, LoadProgress } from "./engine/progress.js";
export type { DeviceState } from "./engine/recovery.js";
export type { KvAddress } from "./engine/reservations.js";
export type { ServingStats } from "./engine/serving_stats.js";
export {
  AbortError,
  AdapterLimit,
  ContextLengthExceeded,
  DeviceError,
  DeviceLostError,
  DraftMismatch,
  EngineUnloaded,
  GrammarError,
  HashMismatch,
  HostUnsupported,
  InvalidKvFile,
  InvalidPack,
  InvalidRequestError,
  KvRefused,
  MissingFile,
  ModelNotFound,
  ModelNotLoaded,
  NetworkError,
  NoWebGPU,
  OutOfMemory,
  PeerLost,
  PeerTimeout,
  PeerUnknown,
  ProtocolMismatch,
  ServiceWorkerFailed,
  StaleKvFile,
  StorageError,
  TemplateError,
  TokenizerError,
  ToolsUnsupported,
  TruncatedFile,
  Unsupported,
  UnsupportedFormatVersion,
  WebbuildError,
  WorkerFailed,
  WrongModelKind,
} from "./errors.js";
export type { AdapterReport } from "./gpu/device.js";
export type { Link } from "./peer/link.js";
export type { SavedPrefix } from "./store/kv_store.js";
export type { CachedPack } from "./store/pack_cache.js";
export type { Port } from "./worker/protocol.js";
