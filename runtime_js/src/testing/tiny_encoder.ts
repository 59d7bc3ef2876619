/**
 * The tiny pack with a model that embeds: a hand-written kernel whose vectors are whole-number functions of a text's tokens,
 * their places and the sum over the text, with a twin in TypeScript.
 */
import { replaceJson, special, tinyPack, VOCAB } from "./tiny_pack.js";

export const WIDTH = 4;
/** Most tokens of a text and of a step, and most texts of a step. */
export const TOKENS = 16;
export const TEXTS = 3;
const FIRST_POSITION = 2;
const CLS = 258;
const SEP = 259;

export type Pooling = "mean" | "cls" | "last";

const tableValue = (t: number): number => (t * 7 + 3) % 13;

/** Token ids of a text of one byte for each letter. */
export const encoded = (text: string): number[] => [CLS, ...new TextEncoder().encode(text), SEP];

/** The twin: the vector of a text, not scaled. */
export function vectorOf(tokens: readonly number[], pooling: Pooling = "mean"): number[] {
  const sum = tokens.reduce((total, t) => total + tableValue(t), 0);
  const rows = tokens.map((t, p) =>
    Array.from({ length: WIDTH }, (_, d) => row(tableValue(t), p + FIRST_POSITION, d, sum)),
  );
  const pooled = { mean: rows, cls: rows.slice(0, 1), last: rows.slice(-1) }[pooling];
  return Array.from(
    { length: WIDTH },
    (_, d) => pooled.reduce((total, one) => total + (one[d] as number), 0) / pooled.length,
  );
}

const row = (value: number, position: number, d: number, sum: number): number =>
  value * (d + 1) - position * (d % 2) - sum * 0.25;

const embed = `
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> positions: array<i32>;
@group(0) @binding(2) var<storage, read> token_seq: array<i32>;
@group(0) @binding(3) var<storage, read> texts: array<vec4i>;
@group(0) @binding(4) var<storage, read> table: array<f32>;
@group(0) @binding(5) var<storage, read_write> embeddings: array<f32>;
@compute @workgroup_size(${WIDTH}) fn main(@builtin(workgroup_id) g: vec3u, @builtin(local_invocation_id) l: vec3u) {
  let text = texts[token_seq[texts[g.x].x]];
  let d = i32(l.x);
  var sum = 0.0;
  for (var r = text.x; r < text.y; r++) { sum += table[ids[r]]; }
  var total = 0.0;
  for (var r = text.z; r < text.w; r++) {
    total += table[ids[r]] * f32(d + 1) - f32(positions[r] * (d % 2)) - sum * 0.25;
  }
  embeddings[g.x * ${WIDTH} + l.x] = total / f32(text.w - text.z);
}`;

const input = (name: string) => ({ kind: "input", name });
const around = (text: string, id: number) => [text, { id: text, ids: [id], tokens: [text] }];

/** All files of the pack by name, pack.json among them. */
export function tinyEncoder(pooling: Pooling = "mean", normalize = false): Map<string, Uint8Array> {
  const pack = tinyPack();
  replaceJson(pack, "program.json", (program) => {
    const most: Record<string, number> = { tokens: TOKENS, seqs: TEXTS };
    for (const symbol of program.symbols) symbol.max = most[symbol.name] ?? symbol.max;
    program.inputs = [
      ...program.inputs.slice(0, 3),
      { name: "texts", dtype: "i32", shape: ["seqs", 4] },
    ];
    program.segments = [{ tensor: "table", offset: 0, nbytes: VOCAB * 4, transform: "none" }];
    const launch = {
      kernel: "embed",
      label: "embed",
      bindings: [
        ...["token_ids", "positions", "token_seq", "texts"].map(input),
        { kind: "weight", segment: 0 },
        { kind: "buffer", name: "embeddings" },
      ],
      params: null,
      grid: ["seqs", 1, 1],
      alternatives: [],
      few: null,
    };
    Object.assign(program.tiers.f32, {
      storages: [],
      buffers: [{ name: "embeddings", dtype: "f32", shape: ["seqs", WIDTH] }],
      functions: { embed: { params: [], few: [], launches: [launch] } },
    });
  });
  replaceJson(pack, "kernels.json", (file) => {
    const bindings = ["read", "read", "read", "read", "read", "read_write"];
    const about = {
      name: "embed",
      wgsl: embed,
      bindings,
      params: [],
      workgroup_size: [WIDTH, 1, 1],
    };
    file.kernels = { embed: { ...file.kernels.append, ...about } };
  });
  replaceJson(pack, "tokenizer.json", (tokenizer) => {
    tokenizer.added_tokens.push(special(CLS, "[CLS]"), special(SEP, "[SEP]"));
    const token = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    tokenizer.post_processor = {
      type: "TemplateProcessing",
      single: [token("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, token("[SEP]")],
      pair: [],
      special_tokens: Object.fromEntries([around("[CLS]", CLS), around("[SEP]", SEP)]),
    };
  });
  const manifest = JSON.parse(new TextDecoder().decode(pack.get("pack.json")));
  manifest.embedding = { pooling, normalize, first_position: FIRST_POSITION };
  manifest.model.hidden_size = WIDTH;
  manifest.limits = {
    context_length: TOKENS,
    default_context_length: TOKENS,
    prefill_chunk: TOKENS,
    max_batch: TEXTS,
  };
  pack.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
  return pack;
}
