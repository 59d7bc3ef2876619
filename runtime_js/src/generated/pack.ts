// Made from builder/webbuild/schema by `make generate`; do not edit.

/**
 * pack.json.
 */
export interface PackManifest {
  format_version: 3;
  model: ModelInfo;
  /**
   * Of a model that turns texts into vectors; None: it generates text.
   */
  embedding: EmbeddingInfo | null;
  quantization: "q4f16_1" | "q8f16_1" | "q0f16" | "q0f32";
  limits: Limits;
  tokens: Tokens;
  /**
   * By tier.
   */
  memory: {
    [k: string]: TierMemory;
  };
  /**
   * By name.
   */
  grammars: {
    [k: string]: PackGrammar;
  };
  files: PackFile[];
  provenance: Provenance;
}
/**
 * The model's shape, for people and for checks.
 */
export interface ModelInfo {
  name: string;
  /**
   * Hugging Face architecture, e.g. `LlamaForCausalLM`.
   */
  architecture: string;
  /**
   * `llama`, `qwen2`, `qwen3` …
   */
  family: string;
  parameters: number;
  vocab_size: number;
  hidden_size: number;
  layers: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  intermediate_size: number;
  tied_embeddings: boolean;
  /**
   * The source's config.json, verbatim.
   */
  config: {
    [k: string]: unknown;
  };
}
/**
 * How an encoder's vectors of tokens become a text's; they have `hidden_size` numbers.
 */
export interface EmbeddingInfo {
  /**
   * The mean over all tokens, the first token (`cls`), or the last one.
   */
  pooling: "mean" | "cls" | "last";
  /**
   * Whether a text's vector is scaled to length 1.
   */
  normalize: boolean;
  /**
   * Of a text's first token, as `positions` counts.
   */
  first_position: number;
}
/**
 * What the program was compiled for.
 */
export interface Limits {
  /**
   * Most tokens a sequence can have (the model's own limit).
   */
  context_length: number;
  /**
   * What the runtime allocates pages for unless told otherwise.
   */
  default_context_length: number;
  prefill_chunk: number;
  max_batch: number;
}
/**
 * Special tokens, resolved to ids.
 */
export interface Tokens {
  bos: number | null;
  /**
   * Any of these ends a generation.
   */
  eos: number[];
  pad: number | null;
}
/**
 * Predicted GPU bytes of one tier, by what a load chooses.
 *
 * weights + fixed + slots · slot_bytes + outs · out_bytes + works · work_bytes
 * + pages · page_bytes + 4 · slots · max_pages (the page table).
 */
export interface TierMemory {
  weights: number;
  /**
   * Activations of the largest step, and inputs of its tokens.
   */
  fixed: number;
  /**
   * Of each sequence that can run at once: counts, biases, inputs.
   */
  slot_bytes: number;
  /**
   * Of each row that a step can sample: logits, the sampler's work, results.
   */
  out_bytes: number;
  /**
   * Of each piece of a context in `decode_split`.
   */
  work_bytes: number;
  /**
   * KV bytes of one page over all layers.
   */
  page_bytes: number;
}
/**
 * What answers can be held to by a name: the source, which the runtime compiles.
 */
export interface PackGrammar {
  kind: "json_schema" | "regex" | "ebnf";
  /**
   * JSON text of a schema, a pattern, or a grammar in GBNF.
   */
  text: string;
}
/**
 * One file of the pack.
 */
export interface PackFile {
  /**
   * Relative, one level, no separators.
   */
  path: string;
  role:
    | "program"
    | "kernels"
    | "tensor_cache"
    | "weights"
    | "tokenizer"
    | "tokenizer_config"
    | "chat_template"
    | "generation_config"
    | "license";
  nbytes: number;
  sha256: string;
}
/**
 * Where the pack came from. No time stamps: the same input gives the same bytes.
 */
export interface Provenance {
  source: string;
  revision: string | null;
  webbuild_version: string;
}
