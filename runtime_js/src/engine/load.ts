/** From a pack URL to a model that answers: kernels compile while weights stream from network or store to the GPU. */
import {
  abortError,
  InvalidPack,
  InvalidRequestError,
  rejectOnAbort,
  throwIfAborted,
} from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import {
  available,
  chooseTier,
  type Device,
  describeAdapter,
  requestAdapter,
  requestDevice,
  type TierChoice,
} from "../gpu/device.js";
import type { Memory } from "../gpu/memory.js";
import type { Available } from "../gpu/requirements.js";
import { chooseSymbols, type Symbols } from "../gpu/sizes.js";
import { planSpans, ShardUploader } from "../gpu/weights.js";
import { type Model, readModel } from "../program/check.js";
import { type FileRole, fileOf, packBytes } from "../program/manifest.js";
import { PackCache } from "../store/pack_cache.js";
import { PackSource } from "../store/pack_source.js";
import { Executor } from "./executor.js";
import type { Host } from "./host.js";
import { LanguageModel } from "./language_model.js";
import { PageTuning, TIMESTAMPS } from "./page_tuning.js";
import { type LoadProgress, ProgressReporter } from "./progress.js";
import { readText } from "./text_parts.js";

export interface LoadOptions {
  /** The pack's folder, with a trailing slash. */
  url: string;
  /** Most tokens of prompt and answer together; default: the pack's. */
  contextLength?: number;
  /** A tier by name, instead of the best that the adapter can run. */
  tier?: string;
  /** Ask the server for a newer version of a cached pack. */
  revalidate?: boolean;
  /** Keep the pack in the browser's storage (default true). */
  cache?: boolean;
  /** Hash cached files again while loading them (default false: they were hashed when they were stored). */
  verifyCache?: boolean;
  powerPreference?: GPUPowerPreference;
  /**
   * Measure on this device which kernels are the fastest (default false): once, for at most 10 seconds; later loads take the
   * result from the browser's storage.
   */
  tune?: boolean;
}

/** Files read at the same time. */
const CONCURRENCY = 3;

/** Bytes given to the GPU queue before waiting for it, so that its staging memory stays bounded. */
const QUEUE_BYTES = 64 * 2 ** 20;

/** @throws every error that `Engine.load` documents */
export async function load(
  host: Host,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel> {
  for (let tune = options.tune ?? false; ; tune = false) {
    const model = await loadOnce(host, { ...options, tune }, onProgress, signal);
    if (model) return model;
  }
}

/** @returns nothing if tuning has lost the device */
async function loadOnce(
  host: Host,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel | undefined> {
  const loading = new AbortController();
  const stop = () => loading.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const cancelled = rejectOnAbort(signal);
  const progress = new ProgressReporter(onProgress);
  let opened: Promise<Device> | undefined;
  try {
    // The GPU process makes a device while files are read and checked.
    const found = findAdapter(host, options);
    opened = found.then((adapter) => requestDevice(adapter, options.tune ? [TIMESTAMPS] : []));
    opened.catch(() => {});
    const source = await openSource(host, options, loading.signal, () => progress.bytes(source));
    const manifest = await source.manifest();
    progress.totalBytes = packBytes(manifest);
    const model = await readProgram(source, manifest);
    const context = contextLength(manifest, options.contextLength);
    const symbols = chooseSymbols(model.program, context, 1);
    const adapter = await found;
    const { choice: usual, has } = choose(adapter, model, symbols, options);
    const report = describeAdapter(adapter);
    const kernels = fileOf(manifest, "kernels") as PackFile;
    const tuning =
      options.tune && usual.problems.length === 0
        ? await PageTuning.open(source, kernels.sha256, report, usual.name)
        : undefined;
    const choice = tuning?.choose(model, symbols, has, usual.name) ?? usual;
    if (choice.problems[0]) throw choice.problems[0];
    throwIfAborted(signal);

    const device = await opened;
    const vocab = manifest.model.vocab_size;
    const { memory, ready } = await Executor.create(device, model, choice.tier, symbols, vocab);
    // Before the weights have arrived: what is computed is of no use, what drivers compile for it is.
    const warm = ready.then((executor) => executor.warmUp());
    warm.catch(() => {});
    const text = readText(source, manifest);
    const weights = streamWeights(source, manifest, model, memory, device, loading);
    // Whatever fails first ends the download: a kernel that doesn't compile needs no weights.
    try {
      const files = Promise.all([weights, text]);
      await Promise.race([files, ready.then(() => files), device.failed]);
    } catch (error) {
      loading.abort(error);
      await Promise.allSettled([weights, text]); // so that what has arrived is stored
      throw error;
    }
    progress.enter("compile", source);
    const executor = await Promise.race([ready, cancelled.promise, device.failed]);
    progress.enter("warmup", source);
    const language = new LanguageModel(executor, manifest, model.program, source, await text, {
      tier: choice.name,
      contextLength: context,
      bytes: choice.needs.bytes,
      adapter: report,
      tuning: tuning?.report ?? null,
    });
    await Promise.race([warm, cancelled.promise, device.failed]);
    if (tuning) {
      progress.enter("tune", source);
      if (!(await tuning.run(language, model, choice, has, signal))) {
        device.destroy();
        return undefined;
      }
    }
    await source.tidy();
    progress.enter("ready", source);
    language.finishWhenIdle();
    return language;
  } catch (error) {
    opened?.then((device) => device.destroy()).catch(() => {});
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    progress.stop();
    cancelled.dispose();
    signal.removeEventListener("abort", stop);
  }
}

/** A pack's source with the store that the host has. */
export async function openSource(
  host: Host,
  options: Pick<LoadOptions, "url" | "cache" | "revalidate" | "verifyCache">,
  signal: AbortSignal,
  onBytes?: () => void,
): Promise<PackSource> {
  const store = options.cache === false ? undefined : await host.openStore();
  return new PackSource(options.url, {
    fetch: host.fetch,
    cache: store && new PackCache(store),
    signal,
    revalidate: options.revalidate ?? false,
    verifyCache: options.verifyCache ?? false,
    ...(onBytes ? { onBytes } : {}),
    ...(host.newHasher ? { newHasher: host.newHasher } : {}),
  });
}

/** Tokens of context to allocate. @throws InvalidRequestError, AdapterLimit */
export function contextLength(manifest: PackManifest, wanted: number | undefined): number {
  const { context_length, default_context_length } = manifest.limits;
  if (wanted === undefined) return default_context_length;
  if (!Number.isInteger(wanted) || wanted < 2) {
    throw new InvalidRequestError(`contextLength must be an integer of at least 2, not ${wanted}`, {
      param: "contextLength",
    });
  }
  if (wanted > context_length) {
    throw new InvalidRequestError(
      `contextLength ${wanted} is more than the model's ${context_length}`,
      { param: "contextLength" },
    );
  }
  return wanted;
}

/** program.json, kernels.json and tensor-cache.json, checked. */
export async function readProgram(source: PackSource, manifest: PackManifest): Promise<Model> {
  const read = (role: FileRole) => source.read(fileOf(manifest, role) as PackFile);
  const [program, kernels, tensorCache] = await Promise.all([
    read("program"),
    read("kernels"),
    read("tensor_cache"),
  ]);
  return readModel({ program, kernels, tensorCache }, manifest);
}

/** @throws NoWebGPU */
export function findAdapter(
  host: Host,
  options: Pick<LoadOptions, "powerPreference">,
): Promise<GPUAdapter> {
  const powerPreference = options.powerPreference ?? "high-performance";
  return requestAdapter(host.gpu, { powerPreference });
}

export function choose(
  adapter: GPUAdapter,
  model: Model,
  symbols: Symbols,
  options: Pick<LoadOptions, "tier">,
): { choice: TierChoice; has: Available } {
  const has = available(adapter);
  return { choice: chooseTier(model, symbols, has, options.tier), has };
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
  { device }: Device,
  loading: AbortController,
): Promise<void> {
  const spans = planSpans(model.program, model.tensors, memory.arenaLayout);
  const files = manifest.files.filter((f) => f.role === "weights");
  let queued = 0;
  const write = (arena: number, offset: number, bytes: Uint8Array) => {
    const target = memory.arenas[arena];
    if (!target) throw new InvalidPack(`no arena ${arena}`);
    queued += bytes.length;
    device.queue.writeBuffer(target, offset, bytes as Uint8Array<ArrayBuffer>);
  };
  const streamOne = async (file: PackFile) => {
    let uploader: ShardUploader;
    await source.stream(file, {
      begin: () => {
        uploader = new ShardUploader(spans.get(file.path) ?? [], write);
      },
      bytes: async (bytes) => {
        uploader.push(bytes);
        if (queued < QUEUE_BYTES) return;
        queued = 0;
        device.queue.submit([]);
        await device.queue.onSubmittedWorkDone();
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
  if (failure) throw failure.error;
}
