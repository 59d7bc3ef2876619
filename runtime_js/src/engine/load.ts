/** From a pack URL to a model that answers, and that goes on when its device is lost. */
import {
  abortError,
  DeviceLostError,
  InvalidRequestError,
  NoWebGPU,
  throwIfAborted,
} from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import { type Counters, newCounters } from "../gpu/counters.js";
import {
  available,
  chooseTier,
  type Device,
  describeAdapter,
  requestAdapter,
  requestDevice,
  type TierChoice,
} from "../gpu/device.js";
import type { Available } from "../gpu/requirements.js";
import { type Capacity, chooseSymbols, type Symbols } from "../gpu/sizes.js";
import { type Model, readModel } from "../program/check.js";
import { type FileRole, fileOf, packBytes } from "../program/manifest.js";
import { PackCache } from "../store/pack_cache.js";
import { PackSource } from "../store/pack_source.js";
import { type Built, build, type CheckedPack } from "./build.js";
import type { Host } from "./host.js";
import { LanguageModel } from "./language_model.js";
import { Losses, type RecoveryOptions } from "./losses.js";
import { checkedYield } from "./page_share.js";
import { PageTuning, TIMESTAMPS } from "./page_tuning.js";
import { type LoadProgress, ProgressReporter } from "./progress.js";
import { pause } from "./recovery.js";
import { readDefaults, readText } from "./text_parts.js";

export interface LoadOptions {
  /** The pack's folder, with a trailing slash. */
  url: string;
  /** Most tokens of prompt and answer together; default: the pack's. */
  contextLength?: number;
  /** Most requests that run at once, at most the pack's limit; default: 8. The others wait. */
  maxBatch?: number;
  /**
   * Positions in the KV pool, which running requests and the prefix cache share; at least `contextLength`, default: twice
   * that.
   */
  kvTokens?: number;
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
  /**
   * Milliseconds for which the GPU is left to the page after each step (default 0), so that it draws smoothly while a model
   * runs; steps are kept short then, too. `engine.setYield` changes it.
   */
  yieldMs?: number;
  /** How often a lost device is replaced before the engine gives up (default: 3 losses within a minute). */
  recovery?: RecoveryOptions;
}

/** @throws every error that `Engine.load` documents */
export async function load(
  host: Host,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel> {
  const losses = new Losses(options.recovery);
  let tune = options.tune ?? false;
  for (let failed = 0; ; ) {
    try {
      const model = await loadOnce(host, { ...options, tune }, losses, onProgress, signal);
      if (model) return model;
      tune = false; // it has lost the device
    } catch (error) {
      // After a loss there may be no adapter for a moment.
      const passes = error instanceof DeviceLostError || (failed > 0 && error instanceof NoWebGPU);
      if (!passes) throw error;
      const final = losses.note(error);
      if (final) throw final;
      await pause(Losses.pause(failed++), signal);
    }
  }
}

/** @returns nothing if tuning has lost the device */
async function loadOnce(
  host: Host,
  options: LoadOptions,
  losses: Losses,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel | undefined> {
  const { loading, dispose } = abortedWith(signal);
  const progress = new ProgressReporter(onProgress);
  let opened: Promise<Device> | undefined;
  try {
    // The GPU process makes a device while files are read and checked.
    const found = findAdapter(host, options);
    const more: GPUFeatureName[] = options.tune ? [TIMESTAMPS] : [];
    const counters = newCounters();
    opened = found.then((adapter) => requestDevice(adapter, more, counters));
    opened.catch(() => {});
    const source = await openSource(host, options, loading.signal, () => progress.bytes(source));
    const manifest = await source.manifest();
    progress.totalBytes = packBytes(manifest);
    const [model, defaults] = await Promise.all([
      readProgram(source, manifest),
      readDefaults(source, manifest),
    ]);
    const capacity = chooseCapacity(manifest, options);
    const yieldMs = checkedYield(options.yieldMs ?? 0);
    const symbols = chooseSymbols(model.program, capacity);
    const pack = { manifest, model, symbols, defaults };
    const adapter = await found;
    const { choice: usual, has } = choose(adapter, model, symbols, options);
    const kernels = fileOf(manifest, "kernels") as PackFile;
    const tuning =
      options.tune && usual.problems.length === 0
        ? await PageTuning.open(source, kernels.sha256, describeAdapter(adapter), usual.name)
        : undefined;
    const tuned = (tier: TierChoice, has: Available) =>
      tuning?.choose(model, symbols, has, tier.name) ?? tier;

    const chosen = { adapter, has, choice: tuned(usual, has) };
    const beside = () => readText(source, manifest, defaults);
    const built = await build(pack, chosen, source, { opened, progress, beside, loading, signal });
    const { executor } = built;
    const setting = { ...capacity, tuning: tuning?.report ?? null };
    const language = new LanguageModel(built, manifest, model.program, built.beside, setting);
    language.scheduler.page.set(yieldMs);
    if (tuning) {
      progress.enter("tune", source);
      if (!(await tuning.run(language, model, built.choice, has, signal))) {
        executor.gpu.destroy();
        return undefined;
      }
    }
    await source.tidy();
    throwIfAborted(signal);
    const failure = executor.gpu.failure();
    if (failure) throw failure;

    // What was saved, and what other engines are sent, is of this tier.
    const pinned = { ...options, tier: built.choice.name };
    language.recoverWith(losses, (signal, onProgress) =>
      again(language.source, pack, { host, options: pinned, counters, tuned }, onProgress, signal),
    );
    progress.enter("ready", source);
    language.finishWhenIdle();
    return language;
  } catch (error) {
    opened?.then((device) => device.destroy()).catch(() => {});
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    progress.stop();
    dispose();
  }
}

/** Makes an executor of the same pack on a new device. Weights come from the store, if there is one. */
async function again(
  before: PackSource,
  pack: CheckedPack,
  from: {
    host: Host;
    options: LoadOptions;
    counters: Counters;
    tuned: (choice: TierChoice, has: Available) => TierChoice;
  },
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Built<void>> {
  const { loading, dispose } = abortedWith(signal);
  const progress = new ProgressReporter(onProgress);
  let opened: Promise<Device> | undefined;
  try {
    const { host, options, counters, tuned } = from;
    const source = before.again(loading.signal, () => progress.bytes(source));
    const weights = pack.manifest.files.filter(({ role }) => role === "weights");
    progress.totalBytes = weights.reduce((sum, { nbytes }) => sum + nbytes, 0);
    const adapter = await findAdapter(host, options);
    const { choice, has } = choose(adapter, pack.model, pack.symbols, options);
    const chosen = { adapter, has, choice: tuned(choice, has) };
    opened = requestDevice(adapter, [], counters);
    const beside = async () => {};
    return await build(pack, chosen, source, { opened, progress, beside, loading, signal });
  } catch (error) {
    opened?.then((device) => device.destroy()).catch(() => {});
    throw error;
  } finally {
    progress.stop();
    dispose();
  }
}

/** A controller that is aborted with `signal`, until disposed of. */
function abortedWith(signal: AbortSignal): { loading: AbortController; dispose: () => void } {
  const loading = new AbortController();
  const stop = () => loading.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return { loading, dispose: () => signal.removeEventListener("abort", stop) };
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

/** Sequences at once, if a pack can do so many and a load asks for no other number. */
const DEFAULT_BATCH = 8;

/** What a load allocates for. @throws InvalidRequestError */
export function chooseCapacity(
  { limits }: PackManifest,
  { contextLength, maxBatch, kvTokens }: Pick<LoadOptions, keyof Capacity>,
): Capacity {
  const context = inRange("contextLength", contextLength ?? limits.default_context_length, 2);
  if (context > limits.context_length) {
    throw outOfRange(
      "contextLength",
      `${context} is more than the model's ${limits.context_length}`,
    );
  }
  const batch = inRange("maxBatch", maxBatch ?? Math.min(DEFAULT_BATCH, limits.max_batch), 1);
  if (batch > limits.max_batch) {
    throw outOfRange("maxBatch", `${batch} is more than the pack's ${limits.max_batch}`);
  }
  const tokens = inRange("kvTokens", kvTokens ?? 2 * context, 2);
  if (tokens < context) {
    throw outOfRange("kvTokens", `${tokens} is less than one context of ${context}`);
  }
  return { contextLength: context, maxBatch: batch, kvTokens: tokens };
}

function inRange(param: string, value: number, least: number): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw outOfRange(param, `must be an integer of at least ${least}, not ${value}`);
}

const outOfRange = (param: string, problem: string) =>
  new InvalidRequestError(`${param} ${problem}`, { param });

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
