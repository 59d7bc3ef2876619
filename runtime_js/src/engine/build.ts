/** From a pack that was read and checked to an executor on a device of its own: at load, and again when a device was lost. */
import { InvalidPack, rejectOnAbort, throwIfAborted } from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import type { Program } from "../generated/program.js";
import {
  type AdapterReport,
  type Device,
  describeAdapter,
  type TierChoice,
} from "../gpu/device.js";
import type { Memory } from "../gpu/memory.js";
import type { Available } from "../gpu/requirements.js";
import type { Symbols } from "../gpu/sizes.js";
import { type Staging, StagingRing } from "../gpu/staging.js";
import { planSpans, ShardUploader } from "../gpu/weights.js";
import type { Model } from "../program/check.js";
import type { PackSource } from "../store/pack_source.js";
import { Executor } from "./executor.js";
import type { LoadPhase } from "./progress.js";
import type { SamplingDefaults } from "./sampling.js";

/** What every executor of a pack is made from. */
export interface ReadPack {
  manifest: PackManifest;
  model: Model;
  symbols: Symbols;
}

export interface CheckedPack extends ReadPack {
  /** Sampling settings of requests that name none. */
  defaults: SamplingDefaults;
}

/** What is to run where. */
export interface Chosen {
  adapter: GPUAdapter;
  choice: TierChoice;
  has: Available;
}

export interface Built<T, E = Executor> extends Chosen {
  executor: E;
  report: AdapterReport;
  source: PackSource;
  /** What was read beside the weights. */
  beside: T;
  /** What guesses for it, on the same device. */
  draft?: BuiltDraft | undefined;
}

/** What only engines with a draft need, and load: a file of its own in the built package. */
export type DraftCode = typeof import("./drafted_steps.js");

export interface BuiltDraft extends Built<void> {
  manifest: PackManifest;
  program: Program;
  contextLength: number;
  code: DraftCode;
}

/** Files read at the same time. */
const CONCURRENCY = 3;

/** Bytes given to the GPU queue before waiting for it, so that its staging memory stays bounded. */
const QUEUE_BYTES = 64 * 2 ** 20;

/**
 * Makes an executor, which has computed its first step: kernels compile while weights stream from network or store to the GPU.
 *
 * @param opened the device, which the caller frees if this fails
 * @param beside reads what else is needed, at the same time
 * @param loading the source's; aborted when anything fails, so that nothing more is downloaded
 * @throws AdapterLimit, OutOfMemory, DeviceError, DeviceLostError, AbortError and what reading a pack throws
 */
export function build<T>(
  pack: CheckedPack,
  chosen: Chosen,
  source: PackSource,
  making: Making<T>,
): Promise<Built<T>> {
  const { manifest, model, symbols, defaults } = pack;
  const { vocab_size: vocab } = manifest.model;
  return buildWith(pack, chosen, source, making, (device) =>
    Executor.create(device, model, chosen.choice.tier, symbols, vocab, defaults),
  );
}

export interface Making<T> {
  opened: Promise<Device>;
  progress: { enter(phase: LoadPhase): void };
  beside: () => Promise<T>;
  loading: AbortController;
  signal: AbortSignal;
}

/** The same of any executor. @param create allocates its memory, and starts to compile its kernels */
export async function buildWith<T, E extends { warmUp(): Promise<unknown> }>(
  { manifest, model }: ReadPack,
  chosen: Chosen,
  source: PackSource,
  { opened, progress, beside, loading, signal }: Making<T>,
  create: (device: Device) => Promise<{ memory: Memory; ready: Promise<E> }>,
): Promise<Built<T, E>> {
  const { adapter, choice } = chosen;
  if (choice.problems[0]) throw choice.problems[0];
  throwIfAborted(signal);
  const cancelled = rejectOnAbort(signal);
  let device: Device | undefined;
  try {
    const made = await Promise.race([opened, cancelled.promise]);
    device = made;
    const { memory, ready } = await Promise.race([create(made), made.failed]);
    // Before the weights have arrived: what is computed is of no use, what drivers compile for it is.
    const warm = ready.then((executor) => executor.warmUp());
    warm.catch(() => {});
    // The GPU has bytes to copy by the time that the tokenizer, which takes a while, is made.
    const weights = streamWeights(source, manifest, model, memory, made, loading);
    const other = beside();
    // Whatever fails first ends the download: a kernel that doesn't compile needs no weights.
    try {
      const files = Promise.all([weights, other]);
      await Promise.race([files, ready.then(() => files), made.failed]);
    } catch (error) {
      loading.abort(error);
      await Promise.allSettled([weights, other]); // so that what has arrived is stored
      throw error;
    }
    progress.enter("compile");
    const executor = await Promise.race([ready, cancelled.promise, made.failed]);
    progress.enter("warmup");
    await Promise.race([warm, cancelled.promise, made.failed]);
    const report = describeAdapter(adapter);
    return { ...chosen, executor, report, source, beside: await other };
  } catch (error) {
    throw device && !signal.aborted ? await device.cause(error) : error;
  } finally {
    cancelled.dispose();
  }
}

/**
 * Streams every shard into the arenas, a few at a time.
 *
 * @param loading aborted by the first shard that fails; the others store what they have before this rejects
 */
async function streamWeights(
  source: PackSource,
  manifest: PackManifest,
  model: Model,
  memory: Memory,
  gpu: Device,
  loading: AbortController,
): Promise<void> {
  const { device, failed } = gpu;
  const spans = planSpans(model.program, model.tensors, memory.arenaLayout);
  const files = manifest.files.filter((f) => f.role === "weights");
  const ring = new StagingRing(gpu, CONCURRENCY);
  let queued = 0;
  const streamOne = async (file: PackFile) => {
    let staging: Staging | undefined;
    const write = (arena: number, offset: number, bytes: Uint8Array) => {
      const target = memory.arenas[arena];
      if (!target) throw new InvalidPack(`no arena ${arena}`);
      if (staging?.copy(bytes, target, offset)) return;
      queued += bytes.length;
      device.queue.writeBuffer(target, offset, bytes as Uint8Array<ArrayBuffer>);
    };
    let uploader: ShardUploader;
    await source.stream(file, {
      begin: () => {
        uploader = new ShardUploader(spans.get(file.path) ?? [], write);
      },
      room: async () => {
        staging ??= await ring.take();
        return staging.bytes;
      },
      bytes: async (bytes) => {
        uploader.push(bytes);
        staging?.submit();
        staging = undefined;
        if (queued < QUEUE_BYTES) return;
        queued = 0;
        device.queue.submit([]);
        await Promise.race([device.queue.onSubmittedWorkDone(), failed]);
      },
    });
  };
  const next = files[Symbol.iterator]();
  let failure: { error: unknown } | undefined;
  const lane = async () => {
    try {
      for (const file of next) await streamOne(file);
    } catch (error) {
      failure ??= { error };
      loading.abort(error);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  ring.destroy();
  if (failure) throw failure.error;
}
