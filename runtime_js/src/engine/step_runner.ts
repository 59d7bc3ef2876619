/** What runs steps: an executor, or two of them, of which one guesses. */
import type { Drafter } from "./drafter.js";
import type { MaskBuffer } from "./mask_table.js";
import type { BatchRow } from "./plan.js";
import type { Sampler } from "./running.js";

export interface StepRunner extends Sampler {
  /** The most tokens, and the most sequences, of a step. There are as many sampler slots as sequences. */
  readonly chunk: number;
  readonly maxBatch: number;
  /** The most draws of a step. */
  readonly outs: number;
  /** What guesses tokens beside, if there is a draft. */
  readonly drafter?: Drafter | undefined;
  /** Milliseconds spent in `step` so far: planning and writing, encoding and submitting. */
  readonly hostMs: { readonly plan: number; readonly encode: number };
  readonly gpu: { readonly failed: Promise<never>; failure(): Error | undefined };
  missing(batch: readonly BatchRow[], sample: readonly string[]): readonly string[];
  prepare(...names: string[]): Promise<void>;
  step(batch: readonly BatchRow[], sample: readonly string[]): Promise<Uint32Array> | undefined;
  /**
   * Submits a step but for its draws, which need masks that the host does not know yet.
   *
   * @returns submits the draws, by these rows of `masks`: of each draw that has one, by its number; before any other step, or never.
   *   `hurries`: their result is asked for until it is here
   */
  forward(
    batch: readonly BatchRow[],
    sample: readonly string[],
  ): (rows: ReadonlyMap<number, number>, hurries: boolean) => Promise<Uint32Array>;
  readonly masks: MaskBuffer;
  idle(): Promise<void>;
}
