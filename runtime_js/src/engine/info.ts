/** What an engine says of itself. */
import type { AdapterReport } from "../gpu/device.js";
import type { Requirements } from "../gpu/requirements.js";
import type { DraftInfo } from "./draft.js";
import type { DeviceState } from "./recovery.js";
import type { ServingStats } from "./serving_stats.js";
import type { TuningReport } from "./tune.js";

/** What `Engine.info` says. */
export interface EngineInfo {
  /** This engine, among others: a random text, as of the load. */
  id: string;
  model: { name: string; architecture: string; parameters: number; vocabSize: number };
  quantization: string;
  tier: string;
  contextLength: number;
  /** Most requests that run at once. */
  maxBatch: number;
  /** Positions in the KV pool. */
  kvTokens: number;
  /** GPU bytes, those of a draft among them. */
  bytes: Requirements["bytes"];
  /** What guesses tokens, if anything was loaded for that. */
  draft: DraftInfo | null;
  /** Of a model that embeds texts: numbers of a vector, how those of tokens become one, and whether it has length 1; else null. */
  embedding: { dimensions: number; pooling: "mean" | "cls" | "last"; normalize: boolean } | null;
  adapter: AdapterReport;
  /** Launches of each function. */
  launches: Record<string, number>;
  /** With `tune: true`; else null. */
  tuning: TuningReport | null;
  /** Where the pack is kept; `problem` says why not all of it is. */
  cache: { kind: "opfs" | "cache" | "memory" | "none"; problem: string | null };
}

/** What `Engine.stats` says: the state now, counts since the load began. */
export interface EngineStats extends ServingStats {
  device: Pick<DeviceState, "state" | "losses" | "recoveryMs">;
  /** Steps submitted; a generation that ends before its limit leaves a few more than its tokens take. */
  steps: number;
  submits: number;
  /** Submits without commands, which have a browser tell sooner what is done. */
  pokes: number;
  launches: number;
  writeBuffers: number;
  createdBuffers: number;
  createdBindGroups: number;
  createdPipelines: number;
  networkBytes: number;
  cacheBytes: number;
}
