/** From a checked manifest to an encoder that answers, and that goes on when its device is lost. */
import { InvalidRequestError, throwIfAborted } from "../errors.js";
import type { EmbeddingInfo, PackManifest } from "../generated/pack.js";
import type { Counters } from "../gpu/counters.js";
import { type Device, requestDevice } from "../gpu/device.js";
import { chooseSymbols } from "../gpu/sizes.js";
import { packBytes } from "../program/manifest.js";
import type { PackSource } from "../store/pack_source.js";
import { type Built, buildWith, type Making } from "./build.js";
import { EmbeddingModel } from "./embedding_model.js";
import { Encoder } from "./encoder.js";
import type { Host } from "./host.js";
import type { Losses } from "./losses.js";
import {
  abortedWith,
  choose,
  chooseCapacity,
  findAdapter,
  type LoadOptions,
  readProgram,
} from "./opening.js";
import { type LoadProgress, ProgressReporter } from "./progress.js";
import { readText } from "./text_parts.js";

/** Options of a load that are of models that generate text. */
const GENERATES = ["draft", "kvTokens", "prefixCache", "tune", "yieldMs"] as const;

/** @throws every error that `Engine.load` documents */
export async function loadEncoder(
  host: Host,
  options: LoadOptions,
  losses: Losses,
  source: PackSource,
  manifest: PackManifest,
  under: Omit<Making<unknown>, "beside" | "progress"> & {
    found: Promise<GPUAdapter>;
    progress: ProgressReporter;
    counters: Counters;
  },
): Promise<EmbeddingModel> {
  const useless = GENERATES.find((name) => options[name]);
  if (useless) {
    const what = `${useless} is of models that generate text, and ${manifest.model.name} embeds texts`;
    throw new InvalidRequestError(`${what}: leave it out`, { param: useless });
  }
  const model = await readProgram(source, manifest);
  const capacity = chooseCapacity(manifest, options);
  const symbols = chooseSymbols(model.program, capacity);
  const pack = { manifest, model, symbols };

  const build = async <T>(
    source: PackSource,
    adapter: GPUAdapter,
    making: Making<T>,
    tier: Pick<LoadOptions, "tier"> = options,
  ): Promise<Built<T, Encoder>> => {
    const chosen = { adapter, ...choose(adapter, model, symbols, tier) };
    return buildWith(pack, chosen, source, making, (device) => {
      const { tier } = chosen.choice;
      const about = manifest.embedding as EmbeddingInfo;
      return Encoder.create(device, model, tier, symbols, manifest.model.hidden_size, about);
    });
  };
  const beside = async () => (await readText(source, manifest, {})).tokenizer;
  const built = await build(source, await under.found, { ...under, beside });
  const again = async (
    signal: AbortSignal,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<Built<void, Encoder>> => {
    const { loading, dispose } = abortedWith(signal);
    const progress = new ProgressReporter(onProgress);
    let opened: Promise<Device> | undefined;
    try {
      const fresh = source.again(loading.signal, () => progress.bytes());
      progress.sources.push(fresh);
      progress.totalBytes = packBytes(manifest);
      const adapter = await findAdapter(host, options);
      opened = requestDevice(adapter, [], under.counters);
      const making = { opened, progress, loading, signal, beside: async () => {} };
      return await build(fresh, adapter, making, { tier: built.choice.name });
    } catch (error) {
      opened?.then((device) => device.destroy()).catch(() => {});
      throw error;
    } finally {
      progress.stop();
      dispose();
    }
  };
  await source.tidy();
  throwIfAborted(under.signal);
  const failure = built.executor.gpu.failure();
  if (failure) throw failure;
  under.progress.enter("ready");
  return new EmbeddingModel(built, manifest, built.beside, capacity.contextLength, {
    losses,
    again,
  });
}
