// Made from builder/webbuild/schema by `make generate`; do not edit.

export type Expr = number | string | ["+" | "-" | "*" | "//" | "%" | "min" | "max", Expr, Expr];
export type Binding = WeightBinding | StorageBinding | BufferBinding | InputBinding;

/**
 * program.json.
 */
export interface Program {
  format_version: 5;
  /**
   * Tokens per KV page.
   */
  page_size: number;
  symbols: ProgramSymbol[];
  inputs: Input[];
  segments: Segment[];
  /**
   * `f16`, `f32`, in order of preference.
   */
  tiers: {
    [k: string]: Tier;
  };
}
/**
 * A named integer known to the host at each step, or fixed at load.
 */
export interface ProgramSymbol {
  name: string;
  description: string;
  /**
   * `load`: chosen once by the runtime (pages, max_pages, slots); `step`: varies per step.
   */
  scope: "load" | "step";
  /**
   * Upper bound fixed by the pack (tokens ≤ prefill chunk, seqs ≤ batch); None: set at load.
   */
  max: number | null;
}
/**
 * A step-block array: row-major, sized at symbol maxima, 256-byte aligned in the block.
 */
export interface Input {
  name: string;
  dtype: "i32" | "u32";
  shape: Expr[];
}
/**
 * A byte range of a stored tensor that becomes one GPU binding.
 *
 * At most 128 MiB, so that it fits every adapter.
 */
export interface Segment {
  /**
   * Name in tensor-cache.json.
   */
  tensor: string;
  offset: number;
  nbytes: number;
  /**
   * Applied while uploading; `f16_to_f32` doubles the resident bytes (only for 1-D tensors).
   */
  transform: "none" | "f16_to_f32";
}
/**
 * One compiled form of the program. Weights are shared by all tiers.
 */
export interface Tier {
  /**
   * WebGPU features; the runtime takes the first tier whose features the adapter has.
   */
  requires: string[];
  /**
   * Of the pages' buffers; int8 has a scale for each token and KV head: u32 words, of keys
   * [pages, kv_heads, page_size, head_dim / 4 + 2], of values [.., head_dim / 4].
   */
  kv_dtype: "f16" | "f32" | "int8";
  /**
   * Bytes of each activation storage, evaluated with symbols at their maxima.
   */
  storages: Expr[];
  buffers: ProgramBuffer[];
  /**
   * `prefill`, `decode`, `sample`, `logprobs`; `decode_split` and `sample_plain` (for rows
   * without top-k, top-p and min-p), which a pack may lack.
   */
  functions: {
    [k: string]: ProgramFunction;
  };
}
/**
 * A persistent GPU buffer, zero at load.
 */
export interface ProgramBuffer {
  name: string;
  dtype: "f32" | "f16" | "i32" | "u32";
  shape: Expr[];
}
/**
 * A launch list with its uniform blocks.
 */
export interface ProgramFunction {
  params: Param[][];
  /**
   * For launches, which share entries: kernels for different numbers of rows, ascending.
   */
  few: Few[][];
  launches: Launch[];
}
/**
 * One 32-bit field of a launch's uniform block.
 */
export interface Param {
  dtype: "i32" | "u32" | "f32";
  value: Expr | number;
}
/**
 * Another kernel for a launch in steps of few rows: same bindings and params, its own grid.
 */
export interface Few {
  /**
   * The symbol that counts the rows of the launch's result.
   */
  rows: "tokens" | "seqs" | "outs";
  least: number;
  /**
   * It takes the launch's place in steps with least..most rows.
   */
  most: number;
  /**
   * Runs on every adapter of the tier.
   */
  kernel: string;
  /**
   * @minItems 3
   * @maxItems 3
   */
  grid: [Expr, Expr, Expr];
  alternatives: Alternative[];
}
/**
 * Another kernel for a launch: same bindings and params, its own grid.
 */
export interface Alternative {
  kernel: string;
  /**
   * @minItems 3
   * @maxItems 3
   */
  grid: [Expr, Expr, Expr];
}
/**
 * One dispatch.
 */
export interface Launch {
  /**
   * Key into kernels.json.
   */
  kernel: string;
  /**
   * `layers.3.qkv`, `head`, `embed` …: where it comes from; stable across builds.
   */
  label: string;
  bindings: Binding[];
  /**
   * Index into `Function.params`; launches with equal fields share an entry.
   */
  params: number | null;
  /**
   * Workgroups; each ≤ 65535 (the builder splits larger x into x·z).
   *
   * @minItems 3
   * @maxItems 3
   */
  grid: [Expr, Expr, Expr];
  /**
   * Best first. An executor takes one that suits its adapter; `kernel` runs on every adapter of
   * the tier.
   */
  alternatives: Alternative[];
  /**
   * Index into `Function.few`.
   */
  few: number | null;
}
/**
 * A weight segment, by index into `Program.segments`.
 */
export interface WeightBinding {
  kind: "weight";
  segment: number;
}
/**
 * A planned activation storage, by index into `Tier.storages`.
 */
export interface StorageBinding {
  kind: "storage";
  index: number;
}
/**
 * A persistent named buffer (`Tier.buffers`): KV pages, logits, sampler state.
 */
export interface BufferBinding {
  kind: "buffer";
  name: string;
}
/**
 * A read-only slice of the step block (`Program.inputs`), written by the host once per step.
 */
export interface InputBinding {
  kind: "input";
  name: string;
}
