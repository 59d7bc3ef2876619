/** Steps of two models: where a row's last tokens are a draft's guesses, the draft's steps go before, and nothing waits for them. */
import type { Sequence } from "../kv/sequence.js";
import type { Drafter, Drafting } from "./drafter.js";
import type { Executor } from "./executor.js";
import { DRAFTED_WORD, rightGuesses, SAMPLED_WORDS } from "./generation.js";
import type { BatchRow } from "./plan.js";
import type { StepRunner } from "./step_runner.js";

export { Drafter } from "./drafter.js";
export { vocabularyProblem } from "./vocabulary.js";

/** What a function of the draft is called. */
const DRAFTS = "draft:";

/** A row with guesses, and where it is in its step. */
interface Placed extends Drafting {
  /** Of its first guess among the step's tokens, and of its first draw. */
  token: number;
  out: number;
}

export class DraftedSteps implements StepRunner {
  constructor(
    private readonly target: Executor,
    readonly drafter: Drafter,
  ) {}

  get chunk(): number {
    return this.target.chunk;
  }

  get maxBatch(): number {
    return this.target.maxBatch;
  }

  get outs(): number {
    return this.target.outs;
  }

  get hostMs(): StepRunner["hostMs"] {
    return this.target.hostMs;
  }

  get gpu(): StepRunner["gpu"] {
    return this.target.gpu;
  }

  missing(batch: readonly BatchRow[], sample: readonly string[]): readonly string[] {
    const own = this.target.missing(batch, sample);
    const drafted = placed(batch);
    if (drafted.length === 0) return own;
    return [...own, ...this.drafter.missing(drafted).map((name) => DRAFTS + name)];
  }

  async prepare(...names: string[]): Promise<void> {
    const drafts = names.filter((name) => name.startsWith(DRAFTS));
    const own = names.filter((name) => !name.startsWith(DRAFTS));
    const { executor } = this.drafter;
    await Promise.all([
      this.target.prepare(...own),
      executor.prepare(...drafts.map((name) => name.slice(DRAFTS.length))),
    ]);
  }

  /** See {@link Executor.unfinished}. */
  get unfinished(): readonly string[] {
    return [
      ...this.target.unfinished,
      ...this.drafter.executor.unfinished.map((name) => DRAFTS + name),
    ];
  }

  /** See {@link Executor.finish}. */
  async finish(name: string, scratch: Sequence): Promise<void> {
    if (!name.startsWith(DRAFTS)) return this.target.finish(name, scratch);
    const own = this.drafter.kv.take(1);
    if (!own) return;
    own.length = 0;
    own.slot = 0;
    try {
      await this.drafter.executor.finish(name.slice(DRAFTS.length), own);
    } finally {
      own.release();
    }
  }

  /** See {@link Executor.compileRest}. */
  compileRest(): void {
    this.target.compileRest();
    this.drafter.executor.compileRest();
  }

  writeBias(slot: number, bias: readonly [number, number][]): void {
    this.target.writeBias(slot, bias);
    if (slot < this.drafter.executor.maxBatch) this.drafter.executor.writeBias(slot, bias);
  }

  writeCounts(slot: number, tokens: Int32Array): void {
    this.target.writeCounts(slot, tokens); // with penalties nothing is guessed
  }

  get masks(): StepRunner["masks"] {
    return this.target.masks;
  }

  /** A step whose draws wait for the host checks no guesses. */
  forward(
    ...[batch, sample]: Parameters<StepRunner["forward"]>
  ): ReturnType<StepRunner["forward"]> {
    return this.target.forward(batch, sample);
  }

  idle(): Promise<void> {
    return this.target.idle();
  }

  /** Submits a step; its result tells the guesses too, each in the row of the draw that checks it. */
  step(batch: readonly BatchRow[], sample: readonly string[]): Promise<Uint32Array> | undefined {
    const rows = placed(batch);
    if (rows.length === 0) return this.target.step(batch, sample);
    const { drafter } = this;
    drafter.draft(rows);
    const { block, blockBuffer, buffers } = this.target.memory;
    const tokenIds = block.layout.inputs.get("token_ids")?.offset as number;
    const sampled = buffers.get("sampled") as GPUBuffer;
    const stride = SAMPLED_WORDS * 4;
    const result = this.target.step(batch, sample, {
      before: (encoder) => {
        for (const row of rows) drafter.copy(encoder, row, blockBuffer, tokenIds + 4 * row.token);
      },
      after: (encoder) => {
        for (const row of rows) {
          drafter.scatter(encoder, row, sampled, {
            at: row.out * stride + 4 * DRAFTED_WORD,
            stride,
          });
        }
      },
    });
    const settle = rows.map((row) => drafter.settling(row));
    return result?.then((words) => {
      rows.forEach(({ out, count }, i) => {
        const own = words.subarray(out * SAMPLED_WORDS);
        settle[i]?.(rightGuesses(own, count, (guess) => own[guess * SAMPLED_WORDS + DRAFTED_WORD]));
      });
      return words;
    });
  }
}

/** The rows of a batch whose last tokens a draft guesses. */
function placed(batch: readonly BatchRow[]): Placed[] {
  const rows: Placed[] = [];
  let token = 0;
  let out = 0;
  for (const { sequence, tokens, outs, drafted } of batch) {
    if (drafted) {
      const first = token + tokens.length - drafted.count;
      rows.push({ ...drafted, slot: sequence.slot, token: first, out });
    }
    token += tokens.length;
    out += outs.length;
  }
  return rows;
}
