/** Whether a pack fits this device, found without reading a weight. */
import { NoWebGPU } from "../errors.js";
import { type AdapterReport, describeAdapter } from "../gpu/device.js";
import type { Requirements } from "../gpu/requirements.js";
import { chooseSymbols } from "../gpu/sizes.js";
import { packBytes } from "../program/manifest.js";
import { addBytes } from "./draft.js";
import type { Host } from "./host.js";
import { checkPrefixCache } from "./kv_memory.js";
import { chooseDraft, openDraft } from "./load.js";
import {
  choose,
  chooseCapacity,
  findAdapter,
  type LoadOptions,
  openSource,
  readProgram,
} from "./opening.js";

export interface CanRunReport {
  ok: boolean;
  /** The tier that would run; null when there is no adapter. */
  tier: string | null;
  /** Why not, one sentence each; empty when `ok`. */
  reasons: string[];
  /** GPU bytes that loading would allocate, for a draft too; null without an adapter. */
  bytes: Requirements["bytes"] | null;
  /** Bytes to download, when nothing is cached, a draft's too. */
  downloadBytes: number;
  contextLength: number;
  maxBatch: number;
  kvTokens: number;
  /** The most that `contextLength` can be. */
  longestContext: number;
  /** The most that `maxBatch` can be. */
  largestBatch: number;
  adapter: AdapterReport | null;
}

/** @throws InvalidPack and its kind, NetworkError, AbortError, InvalidRequestError: a pack that can't be read at all */
export async function canRun(
  host: Host,
  options: LoadOptions,
  signal: AbortSignal,
): Promise<CanRunReport> {
  checkPrefixCache(options.prefixCache);
  const source = await openSource(host, options, signal);
  const manifest = await source.manifest();
  const capacity = chooseCapacity(manifest, options);
  const draft = await openDraft(
    host,
    options,
    { source, manifest, capacity, defaults: {} },
    signal,
  );
  const report: CanRunReport = {
    ok: false,
    tier: null,
    reasons: [],
    bytes: null,
    downloadBytes: packBytes(manifest) + (draft ? packBytes(draft.pack.manifest) : 0),
    ...capacity,
    longestContext: manifest.limits.context_length,
    largestBatch: manifest.limits.max_batch,
    adapter: null,
  };
  const model = await readProgram(source, manifest);
  try {
    const adapter = await findAdapter(host, options);
    const { choice } = choose(adapter, model, chooseSymbols(model.program, capacity), options);
    const drafts = draft && chooseDraft(adapter, draft, choice.name).choice;
    const bytes = addBytes(choice.needs.bytes, drafts?.needs.bytes);
    const reasons = choice.problems.map((p) => p.message);
    reasons.push(...(drafts?.problems ?? []).map((p) => `the draft: ${p.message}`));
    reasons.push(...memoryReasons(bytes.total));
    return {
      ...report,
      ok: reasons.length === 0,
      tier: choice.name,
      reasons,
      bytes,
      adapter: describeAdapter(adapter),
    };
  } catch (error) {
    if (!(error instanceof NoWebGPU)) throw error;
    return { ...report, reasons: [error.message] };
  }
}

/** WebGPU tells no memory size; browsers tell the machine's, rounded and capped at 8 GiB or more. */
function memoryReasons(bytes: number): string[] {
  const gib = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
  if (gib === undefined || gib >= 8 || bytes <= gib * 2 ** 30 * 0.75) return [];
  const need = (bytes / 2 ** 30).toFixed(1);
  return [`the pack needs ${need} GiB of memory, this device has ${gib} GiB`];
}
