/** `tune: true`: what was measured on this device once, or is measured now, decides which kernels run. */
import { throwIfAborted } from "../errors.js";
import type { KernelRecord } from "../generated/kernels.js";
import { type AdapterReport, chooseTier, type TierChoice } from "../gpu/device.js";
import type { Available } from "../gpu/requirements.js";
import type { Symbols } from "../gpu/sizes.js";
import type { Model } from "../program/check.js";
import type { PackSource } from "../store/pack_source.js";
import type { LanguageModel } from "./language_model.js";
import { inTime, TUNING_MS, TUNING_TOKENS, type TuningReport, tuneFunctions } from "./tune.js";

/** What is kept beside the pack. */
interface Stored {
  records: KernelRecord[];
  /** Whether nothing is left to measure. */
  complete: boolean;
}

export class PageTuning {
  readonly report: TuningReport = { measured: 0, cached: false, problem: null };
  #records: KernelRecord[] = [];

  private constructor(
    private readonly source: PackSource,
    private readonly kernels: string,
    private readonly device: string,
  ) {}

  /** @param kernels SHA-256 of the pack's kernels.json */
  static async open(
    source: PackSource,
    kernels: string,
    { vendor, architecture, device, description }: AdapterReport,
    tier: string,
  ): Promise<PageTuning> {
    const name = [vendor, architecture, device, description, tier].join("|");
    const tuning = new PageTuning(source, kernels, name);
    const stored = (await source.cache?.tuning(kernels, name)) as Partial<Stored> | undefined;
    if (Array.isArray(stored?.records)) {
      tuning.#records = stored.records;
      tuning.report.measured = stored.records.length;
      tuning.report.cached = stored.complete === true;
    }
    return tuning;
  }

  /** The tier's choice of kernels, by what was measured here and else as ever. */
  choose(model: Model, symbols: Symbols, has: Available, tier: string): TierChoice {
    // An adapter that tells no vendor is still this one.
    const here = { ...has, vendor: has.vendor || "this", architecture: has.architecture };
    const records = this.#records.map((record) => ({
      ...record,
      vendor: here.vendor,
      architecture: here.architecture,
    }));
    const kind = has.vendor ? has : here;
    return chooseTier({ ...model, records: [...records, ...model.records] }, symbols, kind, tier);
  }

  /**
   * Measures on a loaded model what was not measured before; then the model runs what was the fastest.
   *
   * Whatever goes wrong is a warning, and the model runs as without tuning.
   *
   * @returns false if the device was lost: load again, without tuning
   * @throws AbortError
   */
  async run(
    language: LanguageModel,
    model: Model,
    choice: TierChoice,
    has: Available,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.report.cached) return true;
    const { executor } = language;
    const { device } = executor.gpu;
    const { memory, symbols } = executor;
    const target = { device, adapter: has, model, tierName: choice.name, memory, symbols };
    const deadline = performance.now() + TUNING_MS;
    const found = [...this.#records];
    let complete = false;
    const scopes = ["validation", "out-of-memory", "internal"] as const;
    for (const scope of scopes) device.pushErrorScope(scope);
    let problem: string | undefined;
    try {
      const functions = Object.keys(choice.tier.functions);
      // What is not ready has no parameters in the step block: its kernels would compute nothing.
      const ready = await inTime(
        executor.prepare(...functions).then(() => true),
        deadline,
      );
      const names = functions.filter((name) => name !== "prefill");
      const prefills = TUNING_TOKENS.map((tokens): [string[], number] => [["prefill"], tokens]);
      const steps: [string[], number][] = [[names, 1], ...prefills];
      complete = ready === true;
      for (const [functions, tokens] of steps) {
        if (!complete) break;
        const env = await executor.warmUp(tokens);
        const chosen = { ...target, chosen: choice.tier };
        complete = await tuneFunctions(chosen, functions, env, found, deadline, signal);
      }
    } catch (error) {
      problem = (error as Error).message;
    }
    for (const _ of scopes) {
      // A device that is gone has no scopes; its loss is told below.
      const refused = await device.popErrorScope().catch(() => null);
      if (refused) problem ??= refused.message;
    }
    throwIfAborted(signal);
    const failure = executor.gpu.failure();
    problem = failure?.message ?? problem;
    if (problem !== undefined) {
      this.report.problem = problem;
      console.warn(`webbuild: kernels could not be tuned (${problem}); the default ones run`);
      if (failure) await this.#keep({ records: [], complete: true }); // once is enough
      return failure === undefined;
    }
    if (!complete) {
      this.report.problem = "there was no time to measure all; the next load goes on with the rest";
    }
    this.report.measured = found.length;
    if (found.length > this.#records.length) {
      this.#records = found;
      await executor.adopt(model, this.choose(model, symbols, has, choice.name).tier);
      await executor.warmUp();
    }
    await this.#keep({ records: found, complete });
    return true;
  }

  async #keep(stored: Stored): Promise<void> {
    const kept = this.source.cache?.keepTuning(this.kernels, this.device, stored);
    await kept?.catch(() => {}); // a full store: measured again next time
  }
}
