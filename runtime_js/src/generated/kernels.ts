// Made from builder/webbuild/schema by `make generate`; do not edit.

/**
 * kernels.json.
 */
export interface KernelFile {
  format_version: 2;
  /**
   * Keyed by `kernel_id`.
   */
  kernels: {
    [k: string]: Kernel;
  };
  /**
   * Of adapters that were measured, for the op variants of these kernels.
   */
  records: KernelRecord[];
}
/**
 * One WGSL compute entry point.
 */
export interface Kernel {
  /**
   * Readable name: library kernel and variant (`gemv_q4.glu`), or the TVM function's name.
   */
  name: string;
  origin: "library" | "tvm";
  wgsl: string;
  entry_point: string;
  /**
   * @minItems 3
   * @maxItems 3
   */
  workgroup_size: [number, number, number];
  /**
   * Workgroup (shared) memory in bytes; at most 16384, the WebGPU default limit.
   */
  workgroup_bytes: number;
  bindings: ("read" | "read_write")[];
  params: ("i32" | "u32" | "f32")[];
  /**
   * What the source needs: WebGPU features, e.g. `shader-f16`, `subgroups`; or
   * `subgroup-matrix-f32-8x8x8`, Chromium's experimental feature with that configuration; or
   * `narrow-subgroups`, an adapter whose smallest subgroups have 8 or 16 invocations.
   */
  features: string[];
  /**
   * `cpu`: shaped for software adapters; others take it only when measured to be faster.
   * `measured`: taken only where a record names it.
   */
  suits: "any" | "cpu" | "measured";
  /**
   * How it is shaped, such as `lanes8`: with `tuning_key`, what records of measurements name.
   */
  tuning: string;
  /**
   * Op, variant and shape; the same for all alternatives of a launch.
   */
  tuning_key: string;
}
/**
 * On an adapter this tuning was measured to be the fastest for a key; see tuning.py.
 */
export interface KernelRecord {
  vendor: string;
  /**
   * As WebGPU's adapter info gives them.
   */
  architecture: string;
  tier: "f16" | "f32";
  /**
   * `Kernel.tuning_key`; the pack need not have it: nearest shapes help.
   */
  key: string;
  /**
   * `Kernel.tuning`.
   */
  tuning: string;
}
