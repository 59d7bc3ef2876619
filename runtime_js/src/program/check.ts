/**
 * Checks across program.json, kernels.json and tensor-cache.json: every index, name and size that the player will use
 * blindly later is proved here, before any GPU work.
 */
import { InvalidPack } from "../errors.js";
import type { Kernel, KernelFile, KernelRecord } from "../generated/kernels.js";
import type { PackManifest } from "../generated/pack.js";
import type {
  Alternative,
  Binding,
  Expr,
  Few,
  Launch,
  Program,
  ProgramFunction,
  Tier,
} from "../generated/program.js";
import type { TensorCache, TensorRecord } from "../generated/tensor_cache.js";
import {
  isKernelFile,
  isProgram,
  isProgramFunction,
  isTensorCache,
} from "../generated/validate.js";
import { compileExpression } from "./expression.js";
import { checkForm, readJson } from "./json.js";
import { maskRowWords } from "./masks.js";

/** The parsed files that say how to run a model. */
export interface Model {
  program: Program;
  kernels: KernelFile["kernels"];
  /** Of adapters that were measured: what `chooseKernels` goes by. */
  records: readonly KernelRecord[];
  tensors: TensorCache;
  /** A tier of the program, checked when it is first asked for: only then its functions may be looked at. @throws InvalidPack */
  tier(name: string): Tier;
}

const PROGRAM_VERSION = 5;
const KERNELS_VERSION = 2;

/** What kernels may need beyond their tier, as alternatives of one that does not. */
const OPTIONAL_FEATURES = ["subgroups", "subgroup-matrix-f32-8x8x8", "narrow-subgroups"];

/** Functions that every tier must have. */
const FUNCTIONS = ["prefill", "decode", "sample"];

/**
 * Step inputs and persistent buffers that the host fills or reads, as products of symbols and numbers: docs/architecture.md,
 * "The step". A program may add others, which only its kernels touch.
 */
const INPUTS: Record<string, { dtype: string; shape: (string | number)[] }> = {
  token_ids: { dtype: "i32", shape: ["tokens"] },
  positions: { dtype: "i32", shape: ["tokens"] },
  token_seq: { dtype: "i32", shape: ["tokens"] },
  page_table: { dtype: "i32", shape: ["seqs", "max_pages"] },
  logit_rows: { dtype: "i32", shape: ["outs"] },
  tiles: { dtype: "i32", shape: ["q_tiles", 4] },
  slots: { dtype: "i32", shape: ["outs"] },
  sampling: { dtype: "u32", shape: ["outs", 16] },
};
/** What only a program with `decode_split` needs. */
const SPLIT = "decode_split";
const SPLIT_SYMBOLS = ["works", "shared_works", "parts"];
const SPLIT_INPUTS: typeof INPUTS = {
  work: { dtype: "i32", shape: [2, "parts", 4] },
  work_rows: { dtype: "i32", shape: ["seqs + 1"] },
};
const BUFFERS: Record<string, { dtype: string; shape: (string | number)[] }> = {
  last_tokens: { dtype: "i32", shape: ["slots"] },
  logits: { dtype: "f32", shape: ["outs", "vocab"] },
  token_counts: { dtype: "u32", shape: ["slots", "vocab"] },
  logit_bias: { dtype: "f32", shape: ["slots", "vocab"] },
  masks: { dtype: "u32", shape: ["mask_rows", "mask_row"] },
  sampled: { dtype: "u32", shape: ["outs", 64] },
};
/** What an encoder has instead of all these. */
const ENCODER_FUNCTIONS = ["embed"];
const ENCODER_INPUTS: typeof INPUTS = {
  token_ids: { dtype: "i32", shape: ["tokens"] },
  positions: { dtype: "i32", shape: ["tokens"] },
  token_seq: { dtype: "i32", shape: ["tokens"] },
  texts: { dtype: "i32", shape: ["seqs", 4] },
};
const ENCODER_BUFFERS: typeof BUFFERS = {
  embeddings: { dtype: "f32", shape: ["seqs", "hidden"] },
};
const SYMBOLS = ["tokens", "seqs", "outs", "q_tiles", "pages", "max_pages", "slots"];

/** Values for `load` symbols that no other number in a shape is likely to be: what differs in the symbols differs in size. */
const PROBES: Record<string, number> = { pages: 8191, max_pages: 127, slots: 61 };

/** All but the tiers' functions, which `Model.tier` checks. @throws InvalidPack, UnsupportedFormatVersion */
export function readModel(
  files: { program: Uint8Array; kernels: Uint8Array; tensorCache: Uint8Array },
  manifest: PackManifest,
): Model {
  const file = readJson("kernels.json", files.kernels, isKernelFile, KERNELS_VERSION);
  const program = readJson("program.json", files.program, isProgram, PROGRAM_VERSION);
  const checked = new Set<string>();
  const model: Model = {
    program,
    kernels: file.kernels,
    records: file.records,
    tensors: readJson("tensor-cache.json", files.tensorCache, isTensorCache),
    tier(name) {
      const tier = program.tiers[name] as Tier;
      if (!checked.has(name)) checkTier(name, tier, program, file.kernels);
      checked.add(name);
      return tier;
    },
  };
  checkTensors(model.tensors, manifest);
  checkProgram(model, manifest);
  return model;
}

function fail(what: string): never {
  throw new InvalidPack(`${what}; pack the model again`);
}

function unique(names: string[], what: string): Set<string> {
  const set = new Set(names);
  if (set.size !== names.length) fail(`${what} has a name twice`);
  return set;
}

function needs(have: ReadonlySet<string>, names: string[], what: string): void {
  for (const name of names) if (!have.has(name)) fail(`${what} lacks ${name}`);
}

function checkTensors(tensors: TensorCache, manifest: PackManifest): void {
  const shards = new Map(manifest.files.map((f) => [f.path, f]));
  unique(
    tensors.records.map((s) => s.dataPath),
    "tensor-cache.json",
  );
  for (const shard of tensors.records) {
    const file = shards.get(shard.dataPath);
    if (file?.role !== "weights")
      fail(`tensor-cache.json names ${shard.dataPath}, which pack.json lacks`);
    if (file.nbytes !== shard.nbytes)
      fail(`the size of ${shard.dataPath} differs from pack.json's`);
    for (const t of shard.records) {
      const bytes = t.shape.reduce((a, b) => a * b, t.dtype === "float16" ? 2 : 4);
      if (bytes !== t.nbytes) fail(`tensor ${t.name}: its shape and size disagree`);
      if (t.byteOffset + t.nbytes > shard.nbytes) fail(`tensor ${t.name} ends after its shard`);
    }
  }
}

function checkProgram({ program, tensors }: Model, manifest: PackManifest): void {
  const names = unique(
    program.symbols.map((s) => s.name),
    "program.json symbols",
  );
  needs(names, SYMBOLS, "program.json symbols");
  const symbols = new Map(program.symbols.map((s, i) => [s.name, i]));
  for (const s of program.symbols) {
    if (s.scope === "step" && s.max === null)
      fail(`symbol ${s.name} varies per step and has no maximum`);
    if (s.max !== null && (s.max < 1 || s.max > 1 << 24))
      fail(`symbol ${s.name}: maximum ${s.max}`);
  }

  const { prefill_chunk, max_batch } = manifest.limits;
  const maximum = (name: string) => program.symbols[symbols.get(name) as number]?.max;
  if (maximum("tokens") !== prefill_chunk || maximum("seqs") !== max_batch) {
    fail("the maxima of tokens and seqs are not pack.json's prefill_chunk and max_batch");
  }
  if ((maximum("outs") ?? 0) < max_batch) fail("the maximum of outs is less than max_batch");

  unique(
    program.inputs.map((i) => i.name),
    "program.json inputs",
  );
  const splits = Object.values(program.tiers).some((tier) => Object.hasOwn(tier.functions, SPLIT));
  if (splits) needs(names, SPLIT_SYMBOLS, "program.json symbols");
  const encodes = manifest.embedding !== null;
  const generates = splits ? { ...INPUTS, ...SPLIT_INPUTS } : INPUTS;
  const buffers = encodes ? ENCODER_BUFFERS : BUFFERS;
  checkArrays("input", program.inputs, encodes ? ENCODER_INPUTS : generates, program, manifest);
  checkSegments(program, tensors);
  if (Object.keys(program.tiers).length === 0) fail("program.json has no tier");
  for (const [name, tier] of Object.entries(program.tiers)) {
    checkArrays(`tier ${name}: buffer`, tier.buffers, buffers, program, manifest);
    const functions = encodes ? ENCODER_FUNCTIONS : FUNCTIONS;
    needs(new Set(Object.keys(tier.functions)), functions, `tier ${name}: functions`);
  }
}

/** Arrays that the host touches exist with the type and size it relies on; the shapes of all are sound. */
function checkArrays(
  what: string,
  arrays: readonly { name: string; dtype: string; shape: readonly Expr[] }[],
  expected: typeof INPUTS,
  program: Program,
  manifest: PackManifest,
): void {
  const symbols = new Map(program.symbols.map((s, i) => [s.name, i]));
  const env = program.symbols.map((s) => s.max ?? PROBES[s.name] ?? 1);
  const known = new Map<string, number>(program.symbols.map((s, i) => [s.name, env[i] as number]));
  known.set("vocab", manifest.model.vocab_size);
  const maskRow = maskRowWords(manifest.model.vocab_size);
  known.set("mask_row", maskRow);
  known.set("hidden", manifest.model.hidden_size);
  known.set("seqs + 1", (known.get("seqs") as number) + 1);
  needs(new Set(arrays.map((a) => a.name)), Object.keys(expected), `${what}s`);
  for (const { name, dtype, shape } of arrays) {
    const size = shape.reduce<number>((n, e) => n * compileExpression(e, symbols)(env), 1);
    // A row for nobody, one for each slot, and as many more as the program has room for.
    if (name === "masks") {
      const rows = Math.floor(size / maskRow);
      known.set("mask_rows", Math.max(rows, 1 + (known.get("slots") as number)));
    }
    const want = Object.hasOwn(expected, name) ? expected[name] : undefined;
    if (!want) continue;
    const elements = want.shape.reduce<number>(
      (n, d) => n * (typeof d === "number" ? d : (known.get(d) as number)),
      1,
    );
    if (dtype !== want.dtype || size !== elements) {
      fail(`${what} ${name} is not ${want.dtype}[${want.shape.join(", ")}]`);
    }
  }
}

function checkSegments(program: Program, tensors: TensorCache): void {
  const byName = new Map<string, TensorRecord>();
  for (const shard of tensors.records) {
    for (const t of shard.records) {
      if (byName.has(t.name)) fail(`tensor-cache.json has ${t.name} twice`);
      byName.set(t.name, t);
    }
  }
  program.segments.forEach((s, i) => {
    const tensor = byName.get(s.tensor);
    if (!tensor) fail(`segment ${i} reads tensor ${s.tensor}, which tensor-cache.json lacks`);
    if (s.offset + s.nbytes > tensor.nbytes) fail(`segment ${i} ends after tensor ${s.tensor}`);
    if (s.transform === "f16_to_f32" && (tensor.dtype !== "float16" || s.nbytes % 2 !== 0)) {
      fail(`segment ${i} converts ${s.tensor}, which is not f16`);
    }
  });
}

function checkTier(
  tierName: string,
  tier: Tier,
  program: Program,
  kernels: KernelFile["kernels"],
): void {
  const symbols = new Map(program.symbols.map((s, i) => [s.name, i]));
  const inputs = new Set(program.inputs.map((i) => i.name));
  const buffers = unique(
    tier.buffers.map((b) => b.name),
    `tier ${tierName}: buffers`,
  );
  for (const e of tier.storages) compileExpression(e, symbols);

  const bound = (b: Binding): boolean => {
    switch (b.kind) {
      case "weight":
        return b.segment < program.segments.length;
      case "storage":
        return b.index < tier.storages.length;
      case "buffer":
        return buffers.has(b.name);
      case "input":
        return inputs.has(b.name);
    }
  };
  for (const [name, fn] of Object.entries(tier.functions)) {
    checkForm("program.json", fn, isProgramFunction, `/tiers/${tierName}/functions/${name}`);
    const where = `tier ${tierName}, ${name}`;
    for (const block of fn.params) {
      for (const p of block) compileExpression(p.value, symbols);
    }
    for (const launch of fn.launches) {
      const kernel = Object.hasOwn(kernels, launch.kernel) ? kernels[launch.kernel] : undefined;
      if (!kernel) fail(`${where}: launch ${launch.label} uses an unknown kernel ${launch.kernel}`);
      for (const e of launch.grid) compileExpression(e, symbols);
      for (const b of launch.bindings) {
        if (!bound(b)) fail(`${where}: launch ${launch.label} binds what does not exist`);
      }
      checkLaunch(where, launch, kernel, fn, tier);
      const at = `${where}: launch ${launch.label}`;
      const alternative = ({ kernel: id, grid }: Alternative, optional: readonly string[]) => {
        const other = Object.hasOwn(kernels, id) ? kernels[id] : undefined;
        if (!other) fail(`${at} uses an unknown kernel ${id}`);
        for (const e of grid) compileExpression(e, symbols);
        checkAlternative(at, kernel, other, [...tier.requires, ...optional]);
      };
      for (const other of launch.alternatives) alternative(other, OPTIONAL_FEATURES);
      for (const few of fewOf(at, launch, fn, program)) {
        alternative(few, []);
        for (const other of few.alternatives) alternative(other, OPTIONAL_FEATURES);
      }
    }
  }
}

/** Kernels of a launch for few rows: their numbers of rows rise, and no step has more. */
function fewOf(at: string, launch: Launch, fn: ProgramFunction, program: Program): readonly Few[] {
  if (launch.few === null) return [];
  const entry = fn.few[launch.few];
  if (!entry) fail(`${at}: no kernels ${launch.few} for few rows`);
  const last = new Map<string, number>();
  for (const { rows, least, most } of entry) {
    const max = program.symbols.find(({ name }) => name === rows)?.max ?? 0;
    if (!((last.get(rows) ?? 0) < least && least <= most && most <= max))
      fail(`${at}: kernels for ${least} to ${most} ${rows}`);
    last.set(rows, most);
  }
  return entry;
}

/** What was prepared for a launch must serve each kernel that can take its place. */
function checkAlternative(
  at: string,
  kernel: Kernel,
  other: Kernel,
  features: readonly string[],
): void {
  if (
    other.bindings.join() !== kernel.bindings.join() ||
    other.params.join() !== kernel.params.join()
  ) {
    fail(`${at}: an alternative has other bindings or params`);
  }
  for (const feature of other.features) {
    if (!features.includes(feature))
      fail(`${at}: ${other.name} needs ${feature}, the tier doesn't`);
  }
}

function checkLaunch(
  where: string,
  launch: Launch,
  kernel: Kernel,
  fn: ProgramFunction,
  tier: Tier,
): void {
  const at = `${where}: launch ${launch.label}`;
  if (launch.bindings.length !== kernel.bindings.length) {
    fail(
      `${at} has ${launch.bindings.length} bindings, kernel ${kernel.name} takes ${kernel.bindings.length}`,
    );
  }
  const params = launch.params === null ? [] : fn.params[launch.params];
  if (!params || params.length !== kernel.params.length)
    fail(`${at}: params differ from ${kernel.name}'s`);
  params.forEach((p, i) => {
    if (p.dtype !== kernel.params[i])
      fail(`${at}: param ${i} is ${p.dtype}, not ${kernel.params[i]}`);
  });
  for (const feature of kernel.features) {
    if (!tier.requires.includes(feature))
      fail(`${at}: ${kernel.name} needs ${feature}, the tier doesn't`);
  }
  // One buffer both read and written in a dispatch is a WebGPU validation error.
  const access = new Map<string, string>();
  launch.bindings.forEach((b, i) => {
    const mode = kernel.bindings[i] as string;
    if ((b.kind === "weight" || b.kind === "input") && mode !== "read")
      fail(`${at} writes a ${b.kind}`);
    const key = b.kind === "storage" ? `storage ${b.index}` : b.kind === "buffer" ? b.name : "";
    if (key === "") return;
    if ((access.get(key) ?? mode) !== mode) fail(`${at} both reads and writes ${key}`);
    access.set(key, mode);
  });
}
