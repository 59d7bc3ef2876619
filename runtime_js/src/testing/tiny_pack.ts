/**
 * A pack small enough to read: hand-written kernels over a toy model whose next token is a whole-number function of all
 * earlier ones, with a twin in TypeScript. It uses everything the player must handle: cut weights, converted vectors,
 * KV pages, uniform blocks, step inputs and the sampler's feedback.
 */
import { createHash } from "node:crypto";
import type { Kernel, KernelRecord } from "../generated/kernels.js";
import type { FileRole } from "../program/manifest.js";
import { maskRowWords } from "../program/masks.js";

export const VOCAB = 260;
export const IM_START = 256;
export const IM_END = 257;
const MASK_ROW = maskRowWords(VOCAB);
const PAGE = 4;
const CHUNK = 8;
const MAX_BATCH = 2;

/** Weight of token t: 0..12. */
const tableValue = (t: number): number => (t * 7 + 3) % 13;

/** The converted vector; odd length, so that its last half word is alone. */
export const GAMMA = [1, 0.5, 3, 2, 5];

/** The twin: greedy next token after `tokens`. */
export function nextToken(tokens: readonly number[]): number {
  let sum = 0;
  tokens.forEach((t, p) => {
    sum += tableValue(t) * ((p % 7) + 1);
  });
  return Math.floor(sum * 3 + (GAMMA[sum % 5] as number) * 2) % 256;
}

/** The twin of sampling at temperature > 0: a function of seed and draw index only. */
export const drawnToken = (seed: number, index: number): number =>
  (seed * 31 + index * 17 + 5) % 256;

const append = `
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> positions: array<i32>;
@group(0) @binding(2) var<storage, read> token_seq: array<i32>;
@group(0) @binding(3) var<storage, read> page_table: array<i32>;
@group(0) @binding(4) var<storage, read> low: array<f32>;
@group(0) @binding(5) var<storage, read> high: array<f32>;
@group(0) @binding(6) var<storage, read_write> kv: array<f32>;
@group(0) @binding(7) var<storage, read> last: array<i32>;
struct Params { tokens: u32, max_pages: i32 }
@group(0) @binding(8) var<uniform> p: Params;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) g: vec3u) {
  let t = g.x;
  if (t >= p.tokens) { return; }
  var id = ids[t];
  if (id < 0) { id = last[-1 - id]; }
  var value = 0.0;
  if (id < 100) { value = low[id]; } else { value = high[id - 100]; }
  let pos = positions[t];
  let page = page_table[token_seq[t] * p.max_pages + pos / ${PAGE}];
  kv[page * ${PAGE} + pos % ${PAGE}] = value * f32(pos % 7 + 1);
}`;

const sum = `
@group(0) @binding(0) var<storage, read> positions: array<i32>;
@group(0) @binding(1) var<storage, read> logit_rows: array<i32>;
@group(0) @binding(2) var<storage, read> page_table: array<i32>;
@group(0) @binding(3) var<storage, read> kv: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read> token_seq: array<i32>;
struct Params { max_pages: i32 }
@group(0) @binding(6) var<uniform> p: Params;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) g: vec3u) {
  let s = i32(g.x);
  let row = logit_rows[s];
  let table = token_seq[row] * p.max_pages;
  var total = 0.0;
  for (var pos = 0; pos <= positions[row]; pos++) {
    total += kv[page_table[table + pos / ${PAGE}] * ${PAGE} + pos % ${PAGE}];
  }
  sums[s] = total;
}`;

const head = `
@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
struct Params { outs: u32, scale: f32 }
@group(0) @binding(3) var<uniform> p: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) {
  if (g.x >= ${VOCAB}u || g.y >= p.outs) { return; }
  let total = u32(sums[g.y]);
  let next = u32(f32(total) * p.scale + gamma[total % 5u] * 2.0) % 256u;
  logits[g.y * ${VOCAB}u + g.x] = -abs(f32(g.x) - f32(next));
}`;

const sample = `
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> sampling: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<i32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> sampled: array<u32>;
@group(0) @binding(6) var<storage, read_write> last: array<i32>;
@group(0) @binding(7) var<storage, read_write> masks: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) g: vec3u) {
  let s = g.x;
  let row = s * 16u;
  let own = u32(slots[s]);
  let slot = own * ${VOCAB}u;
  var by = 0u;
  if ((sampling[row + 9u] & 4u) != 0u) {
    by = sampling[row + 12u];
    if (by == 0xffffffffu) { by = masks[own * ${MASK_ROW}u]; }
  }
  var best = 0u;
  var most = -1e30;
  for (var v = 0u; v < ${VOCAB}u; v++) {
    if (by > 0u && ((masks[by * ${MASK_ROW}u + 2u + v / 32u] >> (v % 32u)) & 1u) == 0u) { continue; }
    var x = logits[s * ${VOCAB}u + v];
    if ((sampling[row + 9u] & 1u) != 0u) { x += bias[slot + v]; }
    if ((sampling[row + 9u] & 2u) != 0u) {
      x -= bitcast<f32>(sampling[row + 3u]) * f32(counts[slot + v]);
    }
    if (x > most) { most = x; best = v; }
  }
  if (bitcast<f32>(sampling[row]) > 0.0) {
    best = (sampling[row + 6u] * 31u + sampling[row + 8u] * 17u + 5u) % 256u;
  }
  if ((sampling[row + 9u] & 2u) != 0u) { counts[slot + best] += 1u; }
  sampled[s * 64u] = best;
  last[own] = i32(best);
  if ((sampling[row + 9u] & 4u) != 0u) {
    sampled[s * 64u + 3u] = masks[by * ${MASK_ROW}u + 1u];
    let next = masks[by * ${MASK_ROW}u + 2u + ${Math.ceil(VOCAB / 32)}u + best / 4u];
    masks[own * ${MASK_ROW}u] = (next >> (8u * (best % 4u))) & 255u;
  }
}`;

const logprobs = `
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> sampled: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) g: vec3u) {
  let s = g.x * 64u;
  sampled[s + 1u] = bitcast<u32>(logits[g.x * ${VOCAB}u + sampled[s]]);
  for (var i = 0u; i < 20u; i++) {
    sampled[s + 4u + i] = i;
    sampled[s + 24u + i] = bitcast<u32>(logits[g.x * ${VOCAB}u + i]);
  }
}`;

function kernel(name: string, wgsl: string, params: Kernel["params"], workgroup: number): Kernel {
  const bindings = [...wgsl.matchAll(/var<storage, (\w+)>/g)].map(
    (m) => m[1] as "read" | "read_write",
  );
  return {
    name,
    origin: "library",
    wgsl,
    entry_point: "main",
    workgroup_size: [workgroup, 1, 1],
    workgroup_bytes: 0,
    bindings,
    params,
    features: [],
    suits: "any",
    tuning: "",
    tuning_key: "",
  };
}

const input = (name: string) => ({ kind: "input", name });
const buffer = (name: string) => ({ kind: "buffer", name });
const weight = (segment: number) => ({ kind: "weight", segment });
const storage = (index: number) => ({ kind: "storage", index });

/** program.json. */
export function tinyProgram() {
  const model = {
    params: [
      [
        { dtype: "u32", value: "tokens" },
        { dtype: "i32", value: "max_pages" },
      ],
      [{ dtype: "i32", value: "max_pages" }],
      [
        { dtype: "u32", value: "outs" },
        { dtype: "f32", value: 3.0 },
      ],
    ],
    few: [],
    launches: [
      {
        kernel: "append",
        label: "append",
        bindings: [
          input("token_ids"),
          input("positions"),
          input("token_seq"),
          input("page_table"),
          weight(0),
          weight(1),
          buffer("kv_k.0"),
          buffer("last_tokens"),
        ],
        params: 0,
        grid: [["//", ["+", "tokens", 3], 4], 1, 1],
        alternatives: [],
        few: null,
      },
      {
        kernel: "sum",
        label: "sum",
        bindings: [
          input("positions"),
          input("logit_rows"),
          input("page_table"),
          buffer("kv_k.0"),
          storage(0),
          input("token_seq"),
        ],
        params: 1,
        grid: ["outs", 1, 1],
        alternatives: [],
        few: null,
      },
      {
        kernel: "head",
        label: "head",
        bindings: [storage(0), weight(2), buffer("logits")],
        params: 2,
        grid: [Math.ceil(VOCAB / 64), "outs", 1],
        alternatives: [],
        few: null,
      },
    ],
  };
  const sampler = {
    params: [],
    few: [],
    launches: [
      {
        kernel: "sample",
        label: "sample",
        bindings: [
          buffer("logits"),
          input("sampling"),
          input("slots"),
          buffer("logit_bias"),
          buffer("token_counts"),
          buffer("sampled"),
          buffer("last_tokens"),
          buffer("masks"),
        ],
        params: null,
        grid: ["outs", 1, 1],
        alternatives: [],
        few: null,
      },
    ],
  };
  const report = {
    params: [],
    few: [],
    launches: [
      {
        kernel: "logprobs",
        label: "logprobs",
        bindings: [buffer("logits"), buffer("sampled")],
        params: null,
        grid: ["outs", 1, 1],
        alternatives: [],
        few: null,
      },
    ],
  };
  const step = (name: string, max: number) => ({ name, description: name, scope: "step", max });
  const load = (name: string) => ({ name, description: name, scope: "load", max: null });
  return {
    format_version: 5,
    page_size: PAGE,
    symbols: [
      step("tokens", CHUNK),
      step("seqs", MAX_BATCH),
      step("outs", 2 * MAX_BATCH),
      step("q_tiles", MAX_BATCH + 1),
      load("pages"),
      load("max_pages"),
      load("slots"),
    ],
    inputs: [
      { name: "token_ids", dtype: "i32", shape: ["tokens"] },
      { name: "positions", dtype: "i32", shape: ["tokens"] },
      { name: "token_seq", dtype: "i32", shape: ["tokens"] },
      { name: "page_table", dtype: "i32", shape: ["seqs", "max_pages"] },
      { name: "logit_rows", dtype: "i32", shape: ["outs"] },
      { name: "tiles", dtype: "i32", shape: ["q_tiles", 4] },
      { name: "slots", dtype: "i32", shape: ["outs"] },
      { name: "sampling", dtype: "u32", shape: ["outs", 16] },
    ],
    segments: [
      { tensor: "table", offset: 0, nbytes: 400, transform: "none" },
      { tensor: "table", offset: 400, nbytes: (VOCAB - 100) * 4, transform: "none" },
      { tensor: "gamma", offset: 0, nbytes: GAMMA.length * 2, transform: "f16_to_f32" },
    ],
    tiers: {
      f32: {
        requires: [] as string[],
        kv_dtype: "f32",
        storages: [["*", "outs", 4]],
        buffers: [
          { name: "last_tokens", dtype: "i32", shape: ["slots"] },
          { name: "kv_k.0", dtype: "f32", shape: ["pages", 1, PAGE, 1] },
          { name: "logits", dtype: "f32", shape: ["outs", VOCAB] },
          { name: "token_counts", dtype: "u32", shape: ["slots", VOCAB] },
          { name: "logit_bias", dtype: "f32", shape: ["slots", VOCAB] },
          { name: "masks", dtype: "u32", shape: [["+", "slots", 64], MASK_ROW] },
          { name: "sampled", dtype: "u32", shape: ["outs", 64] },
        ],
        functions: { prefill: model, decode: model, sample: sampler, logprobs: report },
      },
    },
  };
}

export function tinyKernels() {
  return {
    format_version: 2,
    kernels: {
      append: kernel("append", append, ["u32", "i32"], 4),
      sum: kernel("sum", sum, ["i32"], 1),
      head: kernel("head", head, ["u32", "f32"], 64),
      sample: kernel("sample", sample, [], 1),
      logprobs: kernel("logprobs", logprobs, [], 1),
    },
    records: [] as KernelRecord[],
  };
}

const halves: Record<number, number> = { 0.5: 0x3800, 1: 0x3c00, 2: 0x4000, 3: 0x4200, 5: 0x4500 };

/** The shard: three bytes of nothing, gamma at an odd offset, then the table, so that no range is aligned. */
function shardBytes(): { bytes: Uint8Array; gammaAt: number; tableAt: number } {
  const gammaAt = 3;
  const tableAt = gammaAt + GAMMA.length * 2;
  const bytes = new Uint8Array(tableAt + VOCAB * 4);
  const view = new DataView(bytes.buffer);
  GAMMA.forEach((g, i) => {
    view.setUint16(gammaAt + 2 * i, halves[g] as number, true);
  });
  for (let t = 0; t < VOCAB; t++) view.setFloat32(tableAt + 4 * t, tableValue(t), true);
  return { bytes, gammaAt, tableAt };
}

/** A control token of a tokenizer.json. */
export const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** A byte-level tokenizer: token b is byte b; no merges. */
export function tinyTokenizer() {
  const vocab: Record<string, number> = {};
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) ||
      (byte >= 0xa1 && byte <= 0xac) ||
      (byte >= 0xae && byte <= 0xff);
    vocab[String.fromCodePoint(printable ? byte : next++)] = byte;
  }
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [special(IM_START, "<|im_start|>"), special(IM_END, "<|im_end|>")],
    normalizer: null,
    pre_tokenizer: {
      type: "ByteLevel",
      add_prefix_space: false,
      trim_offsets: false,
      use_regex: true,
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: true },
    model: { type: "BPE", dropout: null, unk_token: null, byte_fallback: false, vocab, merges: [] },
  };
}

export const TEMPLATE =
  "{%- for message in messages -%}" +
  "{%- if message.role == 'tool' and not message.tool_call_id -%}{{ raise_exception('tool without id') }}{%- endif -%}" +
  "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}" +
  "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>' }}{%- endif -%}";

/** All files of the pack by name, pack.json among them. */
export function tinyPack(contextLength = 64, template = TEMPLATE): Map<string, Uint8Array> {
  const text = (value: unknown) =>
    new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
  const { bytes, gammaAt, tableAt } = shardBytes();
  const tensor = (
    name: string,
    shape: number[],
    dtype: string,
    nbytes: number,
    byteOffset: number,
  ) => ({
    name,
    shape,
    dtype,
    format: "raw",
    nbytes,
    byteOffset,
  });
  const tensors = {
    metadata: {},
    records: [
      {
        dataPath: "params_shard_0.bin",
        format: "raw-shard",
        nbytes: bytes.length,
        records: [
          tensor("gamma", [GAMMA.length], "float16", GAMMA.length * 2, gammaAt),
          tensor("table", [VOCAB], "float32", VOCAB * 4, tableAt),
        ],
      },
    ],
  };
  const roles: [string, FileRole, Uint8Array][] = [
    ["program.json", "program", text(tinyProgram())],
    ["kernels.json", "kernels", text(tinyKernels())],
    ["tensor-cache.json", "tensor_cache", text(tensors)],
    ["params_shard_0.bin", "weights", bytes],
    ["tokenizer.json", "tokenizer", text(tinyTokenizer())],
    ["tokenizer_config.json", "tokenizer_config", text({ eos_token: "<|im_end|>" })],
    ["chat_template.jinja", "chat_template", text(template)],
    ["generation_config.json", "generation_config", text({ temperature: 0 })],
  ];
  const manifest = {
    format_version: 3,
    embedding: null,
    grammars: {},
    model: {
      name: "tiny",
      architecture: "TinyForTests",
      family: "tiny",
      parameters: VOCAB + GAMMA.length,
      vocab_size: VOCAB,
      hidden_size: 1,
      layers: 1,
      heads: 1,
      kv_heads: 1,
      head_dim: 1,
      intermediate_size: 1,
      tied_embeddings: true,
      config: {},
    },
    quantization: "q0f32",
    limits: {
      context_length: contextLength * 2,
      default_context_length: contextLength,
      prefill_chunk: CHUNK,
      max_batch: MAX_BATCH,
    },
    tokens: { bos: null, eos: [IM_END], pad: null },
    memory: {
      f32: {
        weights: 1100,
        fixed: 2000,
        slot_bytes: 2 * 4 * VOCAB,
        out_bytes: 4 * VOCAB,
        work_bytes: 0,
        page_bytes: PAGE * 4,
      },
    },
    files: roles.map(([path, role, data]) => ({
      path,
      role,
      nbytes: data.length,
      sha256: createHash("sha256").update(data).digest("hex"),
    })),
    provenance: { source: "test", revision: null, webbuild_version: "0.1.0" },
  };
  return new Map([
    ["pack.json", text(manifest)],
    ...roles.map(([path, , data]) => [path, data] as const),
  ]);
}

/** Changes a JSON file of a pack, and its size and hash in pack.json. */
export function replaceJson(
  pack: Map<string, Uint8Array>,
  name: string,
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape
  edit: (json: any) => void,
) {
  const json = JSON.parse(new TextDecoder().decode(pack.get(name)));
  edit(json);
  replaceFile(pack, name, new TextEncoder().encode(JSON.stringify(json)));
}

/** Changes a file of a pack, and its size and hash in pack.json. */
export function replaceFile(pack: Map<string, Uint8Array>, name: string, bytes: Uint8Array): void {
  pack.set(name, bytes);
  const manifest = JSON.parse(new TextDecoder().decode(pack.get("pack.json")));
  const file = manifest.files.find((f: { path: string }) => f.path === name);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  Object.assign(file, { nbytes: bytes.length, sha256 });
  pack.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
}
