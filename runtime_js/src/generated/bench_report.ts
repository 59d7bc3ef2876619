// Made from builder/webbuild/schema by `make generate`; do not edit.

/**
 * One run: side `a`, and perhaps `b`.
 */
export interface BenchReport {
  format_version: 2;
  /**
   * `public`: through the npm package's public API, for a build had no benchmark.
   */
  method: "engine" | "public";
  /**
   * Sides in the order in which the rounds of each case ran.
   */
  order: string[];
  subjects: {
    [k: string]: SubjectReport;
  };
  b_over_a: RatioReport[];
}
/**
 * One side of a comparison: a pack under a build of the runtime, in one place.
 */
export interface SubjectReport {
  place: "chromium" | "dawn" | "native" | "page";
  /**
   * Browser, Node or wgpu, with its version.
   */
  where: string;
  adapter: AdapterReport;
  /**
   * Folder or URL.
   */
  pack: string;
  /**
   * Folder of the built npm package; null when native, or a page's own.
   */
  runtime: string | null;
  model: string;
  quantization: string;
  tier: string;
  /**
   * What the pack was loaded with.
   */
  context_length: number;
  gpu_bytes: number;
  /**
   * Of each function.
   */
  launches: {
    [k: string]: number;
  };
  /**
   * Whether the adapter can time launches.
   */
  timestamps: boolean;
  bandwidth: BandwidthReport | null;
  loads: LoadReport[];
  cases: CaseReport[];
  profile: ProfileReport | null;
}
/**
 * The GPU, as WebGPU names it; what it does not tell is empty.
 */
export interface AdapterReport {
  vendor: string;
  architecture: string;
  description: string;
}
/**
 * What memory gives, in bytes per second.
 */
export interface BandwidthReport {
  /**
   * Of one of the four buffers that the kernels take in turn.
   */
  nbytes: number;
  /**
   * Of a kernel that copies: bytes read and bytes written.
   */
  copy_bytes_per_s: number;
  /**
   * Of a kernel that only reads.
   */
  read_bytes_per_s: number;
}
/**
 * One load of the pack.
 */
export interface LoadReport {
  start: "cold" | "cached";
  total_ms: number;
  /**
   * Milliseconds (`…_ms`) and bytes (`…_bytes`). Parts run side by side: their sum is more than
   * the total.
   */
  parts: {
    [k: string]: number;
  } | null;
}
/**
 * `prompt` tokens after `start` others that nobody prefilled, then `tokens` greedy ones.
 */
export interface CaseReport {
  start: number;
  prompt: number;
  tokens: number;
  /**
   * Tokens in the context when decoding begins: start + prompt.
   */
  context: number;
  /**
   * null where the context was reached without prefill.
   */
  prefill_tokens_per_s: number | null;
  decode_tokens_per_s: number;
  /**
   * JavaScript's time per decoded token.
   */
  js_ms_per_token: number | null;
  bytes_read_per_token: number | null;
  bytes_written_per_token: number | null;
  /**
   * What no decode step can do without: weights, norms, keys and values, read once.
   */
  bytes_needed_per_token: number | null;
  /**
   * Read and written while decoding.
   */
  bytes_per_s: number | null;
  per_token: CallsPerToken | null;
  rounds: RoundReport[];
}
/**
 * Calls at the device per decoded token.
 */
export interface CallsPerToken {
  launches: number;
  submits: number;
  write_buffers: number;
  created_buffers: number;
  created_bind_groups: number;
}
/**
 * One generation.
 */
export interface RoundReport {
  prompt_tokens: number;
  completion_tokens: number;
  /**
   * From the request to the first token.
   */
  prefill_ms: number;
  /**
   * From the first token to the last.
   */
  decode_ms: number;
}
/**
 * GPU time of decode steps at one context, by timestamps.
 */
export interface ProfileReport {
  context: number;
  steps: number;
  /**
   * A whole step in one pass, as it runs without a profiler; the median.
   */
  pass_ms: number | null;
  /**
   * The sum over all launches.
   */
  launch_ms: number;
  /**
   * The share of a profiled step, from its first launch's begin to its last one's end, in which a
   * launch with a kernel's name and a label ran; the median. The rest is time between the passes.
   */
  attributed: number;
  launches: LaunchReport[];
}
/**
 * GPU time of one launch of a decode step, in a pass of its own.
 */
export interface LaunchReport {
  label: string;
  kernel: string;
  /**
   * The median over the profiled steps.
   */
  ms: number;
  /**
   * Read and written.
   */
  nbytes: number | null;
}
/**
 * B's rates over A's in one case.
 */
export interface RatioReport {
  context: number;
  prefill: number | null;
  decode: number;
}
