/** From a pack URL to a model that answers, and that goes on when its device is lost. */
import { abortError, DeviceLostError, embedsTexts, NoWebGPU, throwIfAborted } from "../errors.js";
import type { PackFile } from "../generated/pack.js";
import { type Counters, newCounters } from "../gpu/counters.js";
import { type Device, describeAdapter, requestDevice, type TierChoice } from "../gpu/device.js";
import type { Available } from "../gpu/requirements.js";
import { type Capacity, chooseSymbols } from "../gpu/sizes.js";
import { onDemand } from "../on_demand.js";
import { fileOf, packBytes } from "../program/manifest.js";
import type { PackSource } from "../store/pack_source.js";
import {
  type Built,
  type BuiltDraft,
  build,
  type CheckedPack,
  type Chosen,
  type DraftCode,
} from "./build.js";
import { checkVocabulary } from "./draft.js";
import type { EmbeddingModel } from "./embedding_model.js";
import type { Host } from "./host.js";
import { checkPrefixCache } from "./kv_memory.js";
import { LanguageModel } from "./language_model.js";
import { loadEncoder } from "./load_encoder.js";
import { Losses } from "./losses.js";
import {
  abortedWith,
  choose,
  chooseCapacity,
  findAdapter,
  type LoadOptions,
  openSource,
  readProgram,
} from "./opening.js";
import { checkedYield } from "./page_share.js";
import { type LoadProgress, ProgressReporter } from "./progress.js";
import { pause } from "./recovery.js";
import { readDefaults, readText } from "./text_parts.js";

export type { LoadOptions };

/** @throws every error that `Engine.load` documents, and WrongModelKind for a pack that does not generate text */
export async function load(
  host: Host,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel> {
  const model = await loadAny(host, options, onProgress, signal);
  if (model instanceof LanguageModel) return model;
  model.unload();
  throw embedsTexts(model.info().model.name);
}

/** Of either kind. @throws every error that `Engine.load` documents */
export async function loadAny(
  host: Host,
  options: LoadOptions,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LanguageModel | EmbeddingModel> {
  const losses = new Losses(options.recovery);
  checkPrefixCache(options.prefixCache);
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
): Promise<LanguageModel | EmbeddingModel | undefined> {
  const { loading, dispose } = abortedWith(signal);
  const progress = new ProgressReporter(onProgress);
  let opened: Promise<Device> | undefined;
  try {
    // The GPU process makes a device while files are read and checked.
    const found = findAdapter(host, options);
    const more: GPUFeatureName[] = options.tune ? ["timestamp-query"] : [];
    const counters = newCounters();
    opened = found.then((adapter) => requestDevice(adapter, more, counters));
    opened.catch(() => {});
    const onBytes = () => progress.bytes();
    const source = await openSource(host, options, loading.signal, onBytes);
    progress.sources.push(source);
    const manifest = await source.manifest();
    progress.totalBytes = packBytes(manifest);
    if (manifest.embedding) {
      const making = { opened, found, progress, loading, signal, counters };
      return await loadEncoder(host, options, losses, source, manifest, making);
    }
    const [model, defaults] = await Promise.all([
      readProgram(source, manifest),
      readDefaults(source, manifest),
    ]);
    const capacity = chooseCapacity(manifest, options);
    const yieldMs = checkedYield(options.yieldMs ?? 0);
    const symbols = chooseSymbols(model.program, capacity);
    const pack = { manifest, model, symbols, defaults };
    const target = { source, manifest, capacity, defaults };
    const draft = await openDraft(host, options, target, loading.signal, onBytes);
    if (draft) {
      progress.sources.push(draft.source);
      progress.totalBytes += packBytes(draft.pack.manifest);
    }
    const adapter = await found;
    const { choice: usual, has } = choose(adapter, model, symbols, options);
    const kernels = fileOf(manifest, "kernels") as PackFile;
    const tuning =
      options.tune && usual.problems.length === 0
        ? await (await onDemand(() => import("./page_tuning.js"))).PageTuning.open(
            source,
            kernels.sha256,
            describeAdapter(adapter),
            usual.name,
          )
        : undefined;
    const tuned = (tier: TierChoice, has: Available) =>
      tuning?.choose(model, symbols, has, tier.name) ?? tier;

    const chosen = { adapter, has, choice: tuned(usual, has) };
    const beside = () => readText(source, manifest, defaults);
    const making = { opened, progress, loading, signal };
    const built = {
      draft: draft && (await buildDraft(draft, chosen, draft.source, making)),
      ...(await build(pack, chosen, source, { ...making, beside })),
    };
    const { executor } = built;
    const prefixCache = options.prefixCache ?? {};
    const setting = { ...capacity, prefixCache, tuning: tuning?.report ?? null };
    const language = new LanguageModel(built, manifest, model.program, built.beside, setting);
    language.scheduler.page.set(yieldMs);
    if (tuning) {
      progress.enter("tune");
      if (!(await tuning.run(language, model, built.choice, has, signal))) {
        executor.gpu.destroy();
        return undefined;
      }
    }
    await Promise.all([source.tidy(), draft?.source.tidy()]);
    throwIfAborted(signal);
    const failure = executor.gpu.failure();
    if (failure) throw failure;

    // What was saved, and what other engines are sent, is of this tier.
    const pinned = { ...options, tier: built.choice.name };
    language.recoverWith(losses, (signal, onProgress) => {
      const from = { host, options: pinned, counters, tuned, draft };
      return again(language.source, pack, from, onProgress, signal);
    });
    progress.enter("ready");
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
    draft: OpenDraft | undefined;
  },
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<Built<void>> {
  const { loading, dispose } = abortedWith(signal);
  const progress = new ProgressReporter(onProgress);
  let opened: Promise<Device> | undefined;
  try {
    const { host, options, counters, tuned, draft } = from;
    const source = before.again(loading.signal, () => progress.bytes());
    const drafts = draft?.source.again(loading.signal, () => progress.bytes());
    progress.sources.push(source, ...(drafts ? [drafts] : []));
    const files = [...pack.manifest.files, ...(draft?.pack.manifest.files ?? [])];
    const weights = files.filter(({ role }) => role === "weights");
    progress.totalBytes = weights.reduce((sum, { nbytes }) => sum + nbytes, 0);
    const adapter = await findAdapter(host, options);
    const { choice, has } = choose(adapter, pack.model, pack.symbols, options);
    const chosen = { adapter, has, choice: tuned(choice, has) };
    opened = requestDevice(adapter, [], counters);
    const making = { opened, progress, loading, signal };
    return {
      draft: draft && drafts && (await buildDraft(draft, chosen, drafts, making)),
      ...(await build(pack, chosen, source, { ...making, beside: async () => {} })),
    };
  } catch (error) {
    opened?.then((device) => device.destroy()).catch(() => {});
    throw error;
  } finally {
    progress.stop();
    dispose();
  }
}

/** A draft whose files are read, but for its weights. */
interface OpenDraft {
  source: PackSource;
  pack: CheckedPack;
  contextLength: number;
  code: DraftCode;
}

/** Opens the draft, if there is one to be. @throws DraftMismatch, and what reading a pack throws */
export async function openDraft(
  host: Host,
  options: LoadOptions,
  target: Pick<CheckedPack, "manifest" | "defaults"> & { source: PackSource; capacity: Capacity },
  signal: AbortSignal,
  onBytes?: () => void,
): Promise<OpenDraft | undefined> {
  if (options.draft === undefined) return undefined;
  const source = await openSource(host, { ...options, url: options.draft }, signal, onBytes);
  const manifest = await source.manifest();
  if (manifest.embedding) throw embedsTexts(manifest.model.name, "draft");
  const code = await onDemand(() => import("./drafted_steps.js"));
  await checkVocabulary(target, { source, manifest }, code);
  const model = await readProgram(source, manifest);
  const { limits } = manifest;
  const contextLength = Math.min(target.capacity.contextLength, limits.context_length);
  const maxBatch = Math.min(target.capacity.maxBatch, limits.max_batch);
  const symbols = chooseSymbols(model.program, { ...target.capacity, contextLength, maxBatch });
  // It draws as the target does.
  const { defaults } = target;
  return { source, pack: { manifest, model, symbols, defaults }, contextLength, code };
}

/** Which of its tiers a draft runs in: the target's, if it has that. */
export function chooseDraft(
  adapter: GPUAdapter,
  { pack: { model, symbols } }: OpenDraft,
  tier: string,
): { choice: TierChoice; has: Available } {
  return choose(adapter, model, symbols, tier in model.program.tiers ? { tier } : {});
}

/** Makes a draft ready on the device that is or will be its target's. */
async function buildDraft(
  draft: OpenDraft,
  { adapter, choice }: Chosen,
  source: PackSource,
  making: Omit<Parameters<typeof build<void>>[3], "beside">,
): Promise<BuiltDraft> {
  const { pack, contextLength, code } = draft;
  const chosen = { adapter, ...chooseDraft(adapter, draft, choice.name) };
  const built = await build(pack, chosen, source, {
    ...making,
    // Its steps and launches are not the target's.
    opened: making.opened.then((device) => ({ ...device, counters: newCounters() })),
    progress: { enter() {} },
    beside: async () => {},
  });
  const { manifest, model } = pack;
  return { ...built, manifest, program: model.program, contextLength, code };
}
