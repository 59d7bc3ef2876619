/**
 * A second, smaller model guesses what the first will draw. It has pages of its own, in which its sequence of each sampler
 * slot follows the first model's, as far as it was needed so far. It draws with the same settings, seeds and draw indices,
 * so that where both would choose alike they do choose the same. What it draws stays on the GPU.
 */
import { COPY_DST, COPY_SRC } from "../gpu/flags.js";
import type { Encode } from "../gpu/player.js";
import type { Sequence } from "../kv/sequence.js";
import type { Executor } from "./executor.js";
import { SAMPLED_WORDS } from "./generation.js";
import type { KvMemory } from "./kv_memory.js";
import { type BatchRow, type Drafted, lastOf } from "./plan.js";
import { MAX_AHEAD } from "./run_ahead.js";
import { MOST_GUESSES } from "./speculation.js";

/** Most draws of a slot in a row: guesses, and before them what the first model has under way. */
const MOST_DRAWS = MOST_GUESSES + MAX_AHEAD;

const SAMPLE = ["sample"];
const NO_SAMPLE: string[] = [];

/** What a slot's request has here. */
interface Held {
  sequence: Sequence;
  /** Its tokens, as they were when they were last needed. */
  known: Int32Array;
  /** Positions that hold what `known` says: those behind them are guesses. */
  sure: number;
}

/** A row to guess for, and the slot it is in. */
export interface Drafting extends Drafted {
  slot: number;
}

export class Drafter {
  readonly #held: (Held | undefined)[] = [];
  /** i32 [slots, {@link MOST_DRAWS}]: what was drawn last. */
  readonly #guesses: GPUBuffer;
  /** Steps submitted. */
  steps = 0;

  /**
   * @param executor of the smaller model, on the first one's device
   * @param kv its pages
   * @param contextLength most tokens of a sequence
   * @param cost bytes of its weights, of the first model's as 1: about what a step of it takes
   */
  constructor(
    readonly executor: Executor,
    readonly kv: KvMemory,
    private readonly contextLength: number,
    readonly cost: number,
  ) {
    const size = executor.maxBatch * MOST_DRAWS * 4;
    const usage = COPY_SRC | COPY_DST;
    this.#guesses = executor.gpu.device.createBuffer({ label: "guesses", size, usage });
  }

  /** Pages that requests hold here. */
  get usedPages(): number {
    const held = this.#held.flatMap((held) => held?.sequence ?? []);
    return this.kv.pool.pages - this.kv.available(held);
  }

  /**
   * Tokens of a slot's request that are to be computed before its first guess, one or more; undefined when there is no room
   * for guesses.
   *
   * @param draws see {@link reserve}
   */
  lag(slot: number, known: Int32Array, draws: number): number | undefined {
    if (slot >= this.executor.maxBatch || draws > MOST_DRAWS) return undefined;
    if (known.length + draws > this.contextLength) return undefined;
    return known.length - this.#of(slot, known).sequence.length;
  }

  #of(slot: number, known: Int32Array): Held {
    const held = this.#held[slot];
    if (!held) {
      const sequence = this.kv.match(known);
      sequence.slot = slot;
      const begun = { sequence, known: known.slice(), sure: sequence.length };
      this.#held[slot] = begun;
      return begun;
    }
    const same = commonLength(held.known, known);
    if (same < held.known.length) {
      // A window that was full has slid.
      held.sequence.truncate(Math.min(same, known.length - 1, held.sequence.length));
      held.known = known.slice();
      held.sure = held.sequence.length;
    }
    return held;
  }

  /** Reserves pages for `draws` guesses after what is known. @returns false if there is no room */
  reserve(slot: number, known: Int32Array, draws: number): boolean {
    const lag = this.lag(slot, known, draws);
    return lag !== undefined && this.kv.reserve(this.#of(slot, known).sequence, lag + draws - 1);
  }

  /** A slot's request is gone: its pages go back, and what is sure in them stays in the cache. */
  free(slot: number): void {
    const held = this.#held[slot];
    if (!held) return;
    this.#held[slot] = undefined;
    const { sequence, known, sure } = held;
    this.kv.keep(sequence, known.subarray(0, Math.min(sure, sequence.length)));
    sequence.release();
  }

  /** What {@link draft} needs for these rows and is not ready. */
  missing(rows: readonly Drafting[]): readonly string[] {
    const { executor } = this;
    const { length: seqs } = rows;
    const lags = rows.reduce((sum, { slot, known }) => sum + (this.lag(slot, known, 0) ?? 0), 0);
    const tokens = Math.min(lags, executor.chunk);
    const plain = rows.every(({ sampling }) => sampling.plain);
    const first = executor.missingOf(["prefill"], plain, { tokens, seqs, outs: seqs });
    // Rows of fewer guesses end before others.
    const counts = new Set(rows.map(({ skip, count }) => rowsAt(rows, skip + count - 1).length));
    const decode = [...counts].flatMap((seqs) => {
      const step = { tokens: seqs, seqs, outs: seqs };
      return executor.missingOf(["decode", "decode_split"], plain, step);
    });
    return [...new Set([...first, ...decode])];
  }

  /**
   * Submits the steps that guess for these rows, whose pages are reserved: what is not computed yet first, then a token of
   * each row a step. All must be ready.
   */
  draft(rows: readonly Drafting[]): void {
    this.#catchUp(rows);
    const longest = Math.max(...rows.map(({ skip, count }) => skip + count));
    for (let draw = 0; draw < longest; draw++) {
      const drawing = rowsAt(rows, draw);
      const batch = drawing.map(({ slot, known, sampling, drawIndex }): BatchRow => {
        const { sequence } = this.#of(slot, known);
        const tokens = draw === 0 ? known.subarray(sequence.length) : Int32Array.of(lastOf(slot));
        const outs = [{ index: tokens.length - 1, sampling, drawIndex: drawIndex + draw }];
        return { sequence, tokens, outs };
      });
      const keep: Encode = (encoder) => {
        const sampled = this.executor.memory.buffers.get("sampled") as GPUBuffer;
        drawing.forEach(({ slot }, row) => {
          const to = (slot * MOST_DRAWS + draw) * 4;
          encoder.copyBufferToBuffer(sampled, row * SAMPLED_WORDS * 4, this.#guesses, to, 4);
        });
      };
      this.#step(batch, SAMPLE, keep);
    }
    for (const { slot, known } of rows) {
      Object.assign(this.#of(slot, known), { known: known.slice(), sure: known.length });
    }
  }

  /** Computes all that does not fit into the first step that draws. */
  #catchUp(rows: readonly Drafting[]): void {
    const lagging = rows.map(({ slot, known }) => ({ held: this.#of(slot, known), known }));
    const lag = ({ held, known }: (typeof lagging)[number]) => known.length - held.sequence.length;
    const { chunk } = this.executor;
    for (;;) {
      let left = lagging.reduce((sum, row) => sum + lag(row), 0);
      if (left <= chunk) return;
      let room = chunk;
      const batch: BatchRow[] = [];
      for (const row of lagging) {
        const { sequence } = row.held;
        const count = Math.min(lag(row) - 1, room, left - chunk);
        if (count <= 0) continue;
        const tokens = row.known.subarray(sequence.length, sequence.length + count);
        batch.push({ sequence, tokens, outs: [] });
        room -= count;
        left -= count;
      }
      this.#step(batch, NO_SAMPLE);
    }
  }

  #step(batch: readonly BatchRow[], sample: readonly string[], after?: Encode): void {
    this.steps++;
    this.executor.step(batch, sample, { unread: true, after });
  }

  /** Encodes a copy of a row's guesses, which {@link draft} has drawn, one after another. */
  copy(
    encoder: GPUCommandEncoder,
    { slot, skip, count }: Drafting,
    to: GPUBuffer,
    at: number,
  ): void {
    const from = (slot * MOST_DRAWS + skip) * 4;
    encoder.copyBufferToBuffer(this.#guesses, from, to, at, count * 4);
  }

  /** Encodes copies of a row's guesses to words that lie `stride` bytes apart. */
  scatter(
    encoder: GPUCommandEncoder,
    { slot, skip, count }: Drafting,
    to: GPUBuffer,
    { at, stride }: { at: number; stride: number },
  ): void {
    const from = (slot * MOST_DRAWS + skip) * 4;
    for (let i = 0; i < count; i++) {
      encoder.copyBufferToBuffer(this.#guesses, from + 4 * i, to, at + i * stride, 4);
    }
  }

  /** What {@link draft} guessed for a row is known to be right so far, and is forgotten from there on. @returns does it */
  settling({ slot, known, skip, count }: Drafting): (right: number) => void {
    const held = this.#of(slot, known);
    const { sequence } = held;
    return (right) => {
      if (this.#held[slot] !== held) return; // its request is gone
      // Guesses after others that were left out may follow from wrong ones; the last one was not computed.
      const kept = known.length + (skip === 0 ? Math.min(right, count - 1) : 0);
      sequence.truncate(Math.min(kept, sequence.length));
      held.sure = sequence.length;
    };
  }
}

/** Tokens that two texts begin with alike. */
function commonLength(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a[same] === b[same]) same++;
  return same;
}

/** Rows that draw for the time `draw`, counted from 0. */
const rowsAt = (rows: readonly Drafting[], draw: number): readonly Drafting[] =>
  rows.filter(({ skip, count }) => draw < skip + count);
