// Made from builder/webbuild/schema by `make generate`; do not edit.

/**
 * tensor-cache.json.
 */
export interface TensorCache {
  records: ShardRecord[];
}
/**
 * One shard file and the tensors in it.
 */
export interface ShardRecord {
  dataPath: string;
  format: "raw-shard";
  nbytes: number;
  records: TensorRecord[];
}
/**
 * One tensor: little-endian, row-major, contiguous.
 */
export interface TensorRecord {
  name: string;
  shape: number[];
  dtype: "float16" | "float32" | "uint32";
  format: "raw";
  nbytes: number;
  /**
   * First byte within the shard.
   */
  byteOffset: number;
}
