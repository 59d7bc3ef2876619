/** The first steps of a load, whatever kind of model it is of: files, a capacity, an adapter and a tier. */
import { InvalidRequestError } from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import { available, chooseTier, requestAdapter, type TierChoice } from "../gpu/device.js";
import type { Available } from "../gpu/requirements.js";
import type { Capacity, Symbols } from "../gpu/sizes.js";
import { type Model, readModel } from "../program/check.js";
import { type FileRole, fileOf } from "../program/manifest.js";
import { fetchWith, type PackRequest } from "../store/download.js";
import { PackCache } from "../store/pack_cache.js";
import { PackSource } from "../store/pack_source.js";
import type { Host } from "./host.js";
import type { PrefixCacheOptions } from "./kv_memory.js";
import type { RecoveryOptions } from "./losses.js";

export interface LoadOptions {
  /** The pack's folder, with a trailing slash. */
  url: string;
  /**
   * The same of a smaller pack with the same tokenizer, which guesses tokens for requests that ask for `speculation`; it takes
   * memory of its own, KV pages for as many positions among them. Default: none.
   */
  draft?: string;
  /** What goes with requests for files, by the folder of the pack; default: nothing. */
  requests?: Record<string, PackRequest>;
  /** Most tokens of prompt and answer together; default: the pack's. */
  contextLength?: number;
  /** Most requests that run at once, at most the pack's limit; default: 8. The others wait. */
  maxBatch?: number;
  /**
   * Positions in the KV pool, which running requests and the prefix cache share; at least `contextLength`, default: twice
   * that.
   */
  kvTokens?: number;
  /** What of them the prefix cache keeps; default: all that it can, the prefixes used longest ago go first. */
  prefixCache?: PrefixCacheOptions;
  /** A tier by name, instead of the best that the adapter can run. */
  tier?: string;
  /** Ask the server for a newer version of a cached pack; the cached one is taken when the server can't be reached. */
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

/** A controller that is aborted with `signal`, until disposed of. */
export function abortedWith(signal: AbortSignal): {
  loading: AbortController;
  dispose: () => void;
} {
  const loading = new AbortController();
  const stop = () => loading.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return { loading, dispose: () => signal.removeEventListener("abort", stop) };
}

/** A pack's source with the store that the host has. */
export async function openSource(
  host: Host,
  options: Pick<LoadOptions, "url" | "requests" | "cache" | "revalidate" | "verifyCache">,
  signal: AbortSignal,
  onBytes?: () => void,
): Promise<PackSource> {
  const store = options.cache === false ? undefined : await host.openStore();
  return new PackSource(options.url, {
    fetch: fetchWith(host.fetch, options.requests?.[options.url] ?? {}),
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
  { limits, embedding }: PackManifest,
  { contextLength, maxBatch, kvTokens }: Pick<LoadOptions, keyof Capacity>,
): Capacity {
  const context = inRange("contextLength", contextLength ?? limits.default_context_length, 2);
  if (context > limits.context_length) {
    throw outOfRange(
      "contextLength",
      `${context} is more than the model's ${limits.context_length}`,
    );
  }
  // An encoder keeps nothing of a text, so that texts side by side cost little.
  const usual = embedding ? limits.max_batch : Math.min(DEFAULT_BATCH, limits.max_batch);
  const batch = inRange("maxBatch", maxBatch ?? usual, 1);
  if (batch > limits.max_batch) {
    throw outOfRange("maxBatch", `${batch} is more than the pack's ${limits.max_batch}`);
  }
  if (embedding) return { contextLength: context, maxBatch: batch, kvTokens: 0 };
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
