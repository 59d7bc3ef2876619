/** Tuning in the page: which of a launch's kernels is the fastest on this very device, measured on the loaded model. */
import { throwIfAborted } from "../errors.js";
import type { Kernel, KernelRecord } from "../generated/kernels.js";
import type { Few, Launch, ProgramFunction, Tier } from "../generated/program.js";
import { hasFeature } from "../gpu/features.js";
import { COPY_DST, COPY_SRC, STORAGE } from "../gpu/flags.js";
import type { Memory } from "../gpu/memory.js";
import { Pipelines } from "../gpu/pipelines.js";
import { copyFloats } from "../gpu/readback.js";
import type { AdapterKind } from "../gpu/records.js";
import type { Symbols } from "../gpu/sizes.js";
import { paramBytes } from "../gpu/step_block.js";
import { difference, type Run, TOLERANCE, takeTurns } from "../gpu/timer.js";
import type { Model } from "../program/check.js";
import { compileExpression } from "../program/expression.js";

/** Most time that it may take. */
export const TUNING_MS = 10_000;
/** Tokens of the prefill steps that are measured: a chunk of a prompt, then few rows. */
export const TUNING_TOKENS = [128, 8, 4];

const SAMPLES = 3;
const LEAST_MS = 1.5;
/** What a kernel must win to be preferred: less is noise. */
const LEAST_GAIN = 1.05;
/** Larger results are not compared, and their kernels not tuned. */
const LARGEST_RESULT = 64 * 2 ** 20;

/** What `Engine.info` says of it. */
export interface TuningReport {
  /** Kernels whose alternatives were measured, now or in an earlier load. */
  measured: number;
  /** In an earlier load. */
  cached: boolean;
  /** Why nothing was measured, or not all; null when all is well. For want of time: the next load goes on with the rest. */
  problem: string | null;
}

export interface TuneTarget {
  device: GPUDevice;
  adapter: AdapterKind;
  model: Model;
  tierName: string;
  /** With the kernels that are in use. */
  chosen: Tier;
  memory: Memory;
  symbols: Symbols;
}

/**
 * Measures the kernels of these functions' launches, each tuning key once, on the step that lies in the step block.
 *
 * A kernel whose results are not those of the one in use is passed over.
 *
 * @param env symbol values of that step
 * @param found what was measured before; what is measured now is added here
 * @returns false if there was no time for all
 * @throws AbortError, and what the device throws
 */
export async function tuneFunctions(
  target: TuneTarget,
  names: readonly string[],
  env: readonly number[],
  found: KernelRecord[],
  deadline: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { model, tierName, chosen, device, symbols } = target;
  const { tier, vendor, architecture } = {
    tier: tierName as KernelRecord["tier"],
    ...target.adapter,
  };
  for (const name of names) {
    const fn = model.tier(tierName).functions[name];
    for (const [i, launch] of (fn?.launches ?? []).entries()) {
      const inUse = chosen.functions[name];
      const played = inUse?.launches[i];
      if (!fn || !inUse || !played) continue;
      const given = inStep(fn, launch, symbols, env);
      const used = inStep(inUse, played, symbols, env);
      const key = model.kernels[given.kernel]?.tuning_key ?? "";
      if (key === "" || found.some((record) => record.key === key)) continue;
      const kernels = [given, ...given.alternatives].filter(({ kernel }) =>
        model.kernels[kernel]?.features.every((f) => hasFeature(device, f)),
      );
      if (kernels.length < 2) continue;
      throwIfAborted(signal);
      if (performance.now() > deadline) return false;
      // The one in use goes first: it is right by definition.
      kernels.sort((a, b) => Number(b.kernel === used.kernel) - Number(a.kernel === used.kernel));
      const best = await fastest(target, name, launch, kernels, env, deadline, signal);
      if (best === undefined && performance.now() > deadline) return false;
      const tuning = model.kernels[best ?? used.kernel]?.tuning ?? "";
      found.push({ vendor, architecture, tier, key, tuning });
    }
  }
  return true;
}

/** What a promise gives, if it does so in time. */
export function inTime<T>(work: Promise<T>, deadline: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), Math.max(0, deadline - performance.now()));
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** What a launch runs in a step with these symbol values: its own kernel, or one for few rows. */
function inStep(
  fn: ProgramFunction,
  launch: Launch,
  { index }: Symbols,
  env: readonly number[],
): Launch | Few {
  const entry = launch.few === null ? [] : (fn.few[launch.few] ?? []);
  const found = entry.find(({ rows, least, most }) => {
    const count = env[index.get(rows) as number] as number;
    return least <= count && count <= most;
  });
  return found ?? launch;
}

/** The fastest of a launch's kernels; undefined if it can't be told, or not in time. */
async function fastest(
  target: TuneTarget,
  name: string,
  launch: Launch,
  kernels: readonly Pick<Launch, "kernel" | "grid">[],
  env: readonly number[],
  deadline: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { device, model, symbols } = target;
  const access = (model.kernels[launch.kernel] as Kernel).bindings;
  const outputs = scratch(target, launch, access);
  if (!outputs) return undefined;
  const own: GPUBuffer[] = outputs.flatMap((output) => output ?? []);
  try {
    const names = kernels.map(({ kernel }) => kernel);
    const pipelines = await inTime(new Pipelines(device, model.kernels).compile(names), deadline);
    if (!pipelines) return undefined;
    const runs: { kernel: string; run: Run }[] = [];
    let want: Float32Array[] | undefined;
    for (const { kernel, grid } of kernels) {
      throwIfAborted(signal);
      if (performance.now() > deadline) return undefined;
      const compiled = pipelines.get(kernel);
      if (!compiled) continue;
      const entries = resources(target, name, launch, outputs);
      const bindGroup = device.createBindGroup({ layout: compiled.layout, entries });
      const [x, y, z] = grid.map((size) => compileExpression(size, symbols.index)(env));
      const run: Run = {
        pipeline: compiled.pipeline,
        bindGroup,
        grid: [x as number, y as number, z as number],
      };
      const got = await results(device, run, own);
      want ??= got;
      // All would be right that write nothing.
      if (want.every((values) => values.every((value) => value === 0))) return undefined;
      const right = want.every((w, i) => difference(got[i] as Float32Array, w) <= TOLERANCE);
      if (right) runs.push({ kernel, run });
      else if (runs.length === 0) return undefined; // the one in use gives nothing to compare with
    }
    const times = await takeTurns(
      device,
      runs.map(({ run }) => run),
      { samples: SAMPLES, leastMs: LEAST_MS, deadline, signal },
    );
    const base = times[0]?.least;
    if (base === undefined) return undefined;
    let best = 0;
    for (const [i, { least }] of times.entries()) {
      if (least * LEAST_GAIN <= base && least < (times[best]?.least ?? base)) best = i;
    }
    return runs[best]?.kernel;
  } finally {
    for (const buffer of own) buffer.destroy();
  }
}

/** A buffer of its own for every result that a launch leaves, so that the model's stay as they are; KV pages are written with what they hold. */
function scratch(
  { device, memory }: TuneTarget,
  { bindings }: Launch,
  access: Kernel["bindings"],
): (GPUBuffer | undefined)[] | undefined {
  const sizes = bindings.map((binding, i) => {
    const pages = binding.kind === "buffer" && binding.name.startsWith("kv_");
    return access[i] === "read_write" && !pages ? memory.resolve(binding).buffer.size : undefined;
  });
  const most = Math.max(...sizes.map((size) => size ?? 0));
  if (most === 0 || most > LARGEST_RESULT) return undefined;
  const usage = STORAGE | COPY_SRC | COPY_DST;
  return sizes.map((size) => (size ? device.createBuffer({ size, usage }) : undefined));
}

function resources(
  { memory, model, tierName }: TuneTarget,
  name: string,
  launch: Launch,
  outputs: readonly (GPUBuffer | undefined)[],
): GPUBindGroupEntry[] {
  const entries: GPUBindGroupEntry[] = launch.bindings.map((bound, binding) => {
    const output = outputs[binding];
    return { binding, resource: output ? { buffer: output } : memory.resolve(bound) };
  });
  if (launch.params !== null) {
    const fields = model.tier(tierName).functions[name]?.params[launch.params];
    const offset = memory.block.layout.params.get(name)?.[launch.params] as number;
    const size = paramBytes(fields?.length ?? 0);
    entries.push({
      binding: entries.length,
      resource: { buffer: memory.blockBuffer, offset, size },
    });
  }
  return entries;
}

/** What a dispatch writes into `buffers`, which are zero before it. */
async function results(
  device: GPUDevice,
  { pipeline, bindGroup, grid }: Run,
  buffers: readonly GPUBuffer[],
): Promise<Float32Array[]> {
  const encoder = device.createCommandEncoder();
  for (const buffer of buffers) encoder.clearBuffer(buffer);
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...grid);
  pass.end();
  const read = copyFloats(device, encoder, buffers);
  device.queue.submit([encoder.finish()]);
  return read();
}
