/** The demo model on a real device, with variants of itself for drafts. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LanguageModel } from "../engine/language_model.js";
import { load } from "../engine/load.js";
import type { Delta, GenerateRequest, SamplingOptions } from "../engine/request.js";
import type { TensorCache } from "../generated/tensor_cache.js";
import { BASE, dawn, testHost } from "./host.js";
import { replaceFile } from "./tiny_pack.js";
import { DRAFT, withDraft } from "./tiny_serving.js";

const shipped = fileURLToPath(new URL("../../../demo_site/public/packs/demo", import.meta.url));
/** Where the pack is. */
export const folder = process.env["WEBBUILD_TEST_PACK"] ?? shipped;

export const hasDemo = existsSync(join(folder, "pack.json"));

/** All files of the pack, by name. */
export function demoFiles(): Map<string, Uint8Array> {
  return new Map(
    readdirSync(folder).map((f) => [f, new Uint8Array(readFileSync(join(folder, f)))]),
  );
}

/** The demo model with other weights: `edit` gets each word of eight, 4 bits each, and its number. */
export function requantised(edit: (word: number, i: number) => number): Map<string, Uint8Array> {
  const pack = demoFiles();
  const cache: TensorCache = JSON.parse(new TextDecoder().decode(pack.get("tensor-cache.json")));
  for (const { dataPath, records } of cache.records) {
    const bytes = pack.get(dataPath) as Uint8Array;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (const { name, byteOffset, nbytes } of records) {
      if (!name.endsWith("q_weight")) continue;
      for (let at = byteOffset; at < byteOffset + nbytes; at += 4) {
        view.setUint32(at, edit(view.getUint32(at, true), at / 4) >>> 0, true);
      }
    }
    replaceFile(pack, dataPath, bytes);
  }
  return pack;
}

/** In one of sixteen words, weights have 3 bits instead of 4: odd numbers, of which one is zero. */
export const coarser = () => requantised((word, i) => (i % 16 === 0 ? word | 0x11111111 : word));

/** Nothing of what it has learnt is left. */
export const forgetful = () => requantised((word, i) => word ^ Math.imul(i + 1, 0x9e3779b1));

/** The demo model, with a draft of these files. */
export async function loadDemo(
  draft?: ReadonlyMap<string, Uint8Array>,
  contextLength = 400,
): Promise<LanguageModel> {
  const files = draft ? withDraft(demoFiles(), draft) : demoFiles();
  const options = { url: BASE, contextLength, ...(draft ? { draft: DRAFT } : {}) };
  const never = new AbortController().signal;
  const model = await load(testHost(files, await dawn()), options, () => {}, never);
  await model.finish(); // so that no idle moment's work is counted
  return model;
}

/** What the model says to a prompt, greedily unless told otherwise. @returns its tokens, with their log-probabilities if asked for */
export async function answer(
  model: LanguageModel,
  messages: GenerateRequest["messages"],
  request: Partial<Omit<GenerateRequest, "sampling">> & {
    sampling?: Partial<SamplingOptions>;
  } = {},
) {
  const deltas: Delta[] = [];
  const defaults: SamplingOptions = {
    temperature: 0,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: [],
    logprobs: 0,
  };
  const sampling = { ...defaults, ...request.sampling };
  const result = await model.generate(
    { maxTokens: 12, stop: [], ...request, messages, sampling },
    { delta: (delta) => deltas.push(delta) },
    new AbortController().signal,
  );
  return { ...result, tokens: deltas.flatMap(({ logprobs }) => logprobs) };
}
