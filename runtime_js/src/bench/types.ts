/** What a benchmark is asked and what it answers: plain data, as it crosses to the page and into JSON. Times are in ms. */
import type { EngineInfo } from "../engine/info.js";
import type { TimedLaunch } from "../gpu/profiler.js";

export type { TimedLaunch };

/** Raised when what is here changes: page, worker and command line must agree. */
export const BENCH_VERSION = 1;

/** One generation: `prompt` tokens after `start` others, then greedy tokens, the end-of-sequence token ignored. */
export interface Case {
  /**
   * Tokens that the context holds before the prompt. Their keys and values are whatever the pages held: a decode step's
   * time does not depend on them, and a long context is reached without prefilling it.
   */
  start: number;
  prompt: number;
  /** Tokens to generate; at least 2. */
  tokens: number;
}

/** Calls at the device, and steps, over the decode steps of a generation. */
export interface DecodeCounts {
  steps: number;
  launches: number;
  submits: number;
  writeBuffers: number;
  createdBuffers: number;
  createdBindGroups: number;
}

/** A step as the host saw it: from the call to the end of its submit, counted from the request. */
export interface StepSpan {
  begin: number;
  end: number;
  tokens: number;
}

export interface Generation {
  /** Prompt tokens, as counted by the engine. */
  promptTokens: number;
  completionTokens: number;
  /** From the request to its first token. */
  prefill: number;
  /** From the first token to the last. */
  decode: number;
  /** Only from the engine itself; null through the package's public API. */
  detail: GenerationDetail | null;
}

export interface GenerationDetail {
  decodeCounts: DecodeCounts;
  /** JavaScript's time per decoded token: from its arrival to the end of the submit that follows. */
  jsPerToken: number;
  /** When each token arrived, counted from the request. */
  arrivals: number[];
  steps: StepSpan[];
}

/**
 * Where a load's time went. The parts run side by side, so they add up to more than `total`; each is the time during which
 * at least one of its calls was under way.
 */
export interface LoadParts {
  total: number;
  /** Waiting for bytes from the network. */
  fetch: number;
  /** Reading and writing the browser's storage. */
  store: number;
  hash: number;
  /** `writeBuffer`, and waiting for the queue to take more or to copy what it has, which may be busy with the warm-up. */
  upload: number;
  compile: number;
  /** What was left of the warm-up when weights and kernels were there. */
  warmup: number;
  /** From the last weight byte to the last compiled kernel. */
  compileTail: number;
  networkBytes: number;
  cacheBytes: number;
}

export interface LoadReport {
  info: EngineInfo;
  /** null through the package's public API, which knows the total alone. */
  parts: LoadParts | null;
  total: number;
  /** Whether launches can be timed on the GPU. */
  timestamps: boolean;
}

export interface ProfiledStep {
  tokens: number;
  launches: TimedLaunch[];
}

export type ProfileMode = "launch" | "pass";

export interface Bandwidth {
  /** Bytes of one buffer. */
  nbytes: number;
  /** Bytes read and written per second by a kernel that copies. */
  copy: number;
  /** Bytes read per second by a kernel that only reads. */
  read: number;
}

/** Bytes of one launch, by count. */
export interface LaunchTraffic {
  label: string;
  kernel: string;
  read: number;
  written: number;
}

/** A decode step of one sequence, and its sampling. */
export interface StepTraffic {
  context: number;
  /** In the order in which they run. */
  launches: LaunchTraffic[];
  /** Bytes of all launches. */
  read: number;
  written: number;
  /** Bytes of all weights and norms that any launch but the embedding binds, each once. */
  weights: number;
  /** Bytes of keys and values of the context. */
  kv: number;
}
