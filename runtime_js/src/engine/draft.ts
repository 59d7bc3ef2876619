/** A draft: a second pack, loaded beside the first and on its device, that reads and writes the same tokens. */
import { DraftMismatch } from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import type { Requirements } from "../gpu/requirements.js";
import { parseJson } from "../program/json.js";
import { fileOf } from "../program/manifest.js";
import type { PackSource } from "../store/pack_source.js";
import type { Built, DraftCode } from "./build.js";
import type { Executor } from "./executor.js";
import { KvMemory, type PrefixCacheOptions } from "./kv_memory.js";
import type { StepRunner } from "./step_runner.js";

/** What `Engine.info` says of a draft. */
export interface DraftInfo {
  model: string;
  quantization: string;
  tier: string;
  /** GPU bytes, which those of the engine include. */
  bytes: Requirements["bytes"];
}

export type Bytes = Requirements["bytes"];

export function addBytes(a: Bytes, b: Bytes | undefined): Bytes {
  const sum = { ...a };
  for (const part of Object.keys(b ?? {}) as (keyof Bytes)[]) sum[part] += b?.[part] ?? 0;
  return sum;
}

export function draftInfo({ draft }: Pick<Built<unknown>, "draft">): DraftInfo | null {
  if (!draft) return null;
  const { manifest, choice } = draft;
  const { model, quantization } = manifest;
  return { model: model.name, quantization, tier: choice.name, bytes: choice.needs.bytes };
}

/** What runs the steps of a model, and makes ready what they take. */
export type Runner = StepRunner & Pick<Executor, "unfinished" | "finish" | "compileRest">;

/** What runs the steps of what was built: its executor, with a draft's before it. */
export function runnerOf(
  { executor, draft, choice }: Omit<Built<unknown>, "beside">,
  prefixCache: PrefixCacheOptions,
): Runner {
  if (!draft) return executor;
  const { contextLength, program, code } = draft;
  const kv = new KvMemory(pagesOf(draft.executor), program.page_size, prefixCache);
  const cost = draft.choice.needs.bytes.weights / choice.needs.bytes.weights;
  return new code.DraftedSteps(executor, new code.Drafter(draft.executor, kv, contextLength, cost));
}

/** Pages of an executor's KV pool. */
export function pagesOf({ symbols }: Executor): number {
  return symbols.maxima[symbols.index.get("pages") as number] as number;
}

/** A pack whose tokenizer may be read. */
interface Reads {
  source: PackSource;
  manifest: PackManifest;
}

/**
 * Checks that a draft's token ids mean what the target's do. Sizes of vocabularies may differ, by ids that no text has.
 *
 * @throws DraftMismatch
 */
export async function checkVocabulary(
  target: Reads,
  draft: Reads,
  { vocabularyProblem }: DraftCode,
): Promise<void> {
  const file = ({ manifest }: Reads) => fileOf(manifest, "tokenizer") as PackFile;
  if (file(target).sha256 === file(draft).sha256) return;
  const [own, other] = await Promise.all(
    [target, draft].map(async (pack) => {
      const bytes = await pack.source.read(file(pack));
      return parseJson(file(pack).path, new TextDecoder().decode(bytes));
    }),
  );
  const names = { target: target.manifest.model.name, draft: draft.manifest.model.name };
  const problem = vocabularyProblem(own, other, names);
  if (problem) throw new DraftMismatch(problem, { param: "draft", ...names });
}
