/** The requests that run: each has a sampler slot and KV pages. */
import type { Sequence } from "../kv/sequence.js";
import { fits, waitsForPrefix } from "./admission.js";
import type { Generation } from "./generation.js";
import type { KvMemory } from "./kv_memory.js";
import { AGEING_MS, byRank, insertRanked } from "./rank.js";

/** What keeps a sampler's settings for each slot. */
export interface Sampler {
  writeBias(slot: number, bias: readonly [number, number][]): void;
  writeCounts(slot: number, tokens: Int32Array): void;
}

/** The same, told when a slot is nobody's any more. */
export interface Slots extends Sampler {
  free(slot: number): void;
}

export class Running {
  readonly #all: Generation[] = [];
  readonly #slots: number[];
  /** Sequences that do not run, and whose pages somebody needs; with what lets go of one before its time, if that may be. */
  readonly #held = new Map<Sequence, (() => void) | undefined>();

  /** @param slots of the sampler: as many can run */
  constructor(
    private readonly kv: KvMemory,
    private readonly sampler: Slots,
    private readonly slots: number,
  ) {
    this.#slots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  /** In order of rank. */
  get all(): readonly Generation[] {
    return this.#all;
  }

  get usedSlots(): number {
    return this.slots - this.#slots.length;
  }

  /** KV pages: all, theirs, and those that only the prefix cache keeps. */
  get pages(): { total: number; running: number; cached: number } {
    const { pool } = this.kv;
    const available = this.kv.available(this.#sequences());
    return {
      total: pool.pages,
      running: pool.pages - available,
      cached: available - pool.free,
    };
  }

  /** Those that hold pages. */
  #sequences(): Sequence[] {
    return [...this.#all.map(({ sequence }) => sequence as Sequence), ...this.#held.keys()];
  }

  /**
   * From now on the pages of a sequence that does not run count as in use.
   *
   * @param drop lets go of it, when a request that runs alone needs its pages; without it that request waits
   */
  hold(sequence: Sequence, drop?: () => void): void {
    this.#held.set(sequence, drop);
  }

  /** Releases a sequence that was held. */
  letGo(sequence: Sequence): void {
    this.#held.delete(sequence);
    sequence.release();
  }

  /**
   * Gives a waiting request a slot, and what the prefix cache has of its tokens.
   *
   * @returns `later`: another is just computing more of its beginning; `full`: there is no slot, or no room
   */
  begin(generation: Generation): "begun" | "full" | "later" {
    const { kv } = this;
    const { spec, tokens } = generation;
    const sequence = spec.cache ? kv.match(tokens) : kv.take(spec.start ?? 0);
    if (!sequence) return "full";
    const answer = this.#mayBegin(generation, sequence);
    if (answer !== "begun") {
      sequence.release();
      return answer;
    }
    const slot = this.#slots.pop() as number;
    sequence.slot = slot;
    if (spec.sampling.usesBias) this.sampler.writeBias(slot, spec.options.logitBias);
    if (spec.sampling.usesPenalties) this.sampler.writeCounts(slot, generation.counted);
    generation.sequence = sequence;
    insertRanked(this.#all, generation);
    return "begun";
  }

  #mayBegin(generation: Generation, sequence: Sequence): "begun" | "full" | "later" {
    const { kv } = this;
    const { spec, tokens } = generation;
    // Nobody waits for one behind it: that may get no tokens for long.
    const computing = this.#all
      .filter((other) => other.spec.cache && other.prefills && byRank(other, generation) < 0)
      .map(({ spec, sequence }) => ({
        prompt: spec.prompt,
        computed: (sequence as Sequence).length,
      }));
    if (spec.cache && waitsForPrefix(tokens, sequence.length, computing, kv.pageSize)) {
      return "later";
    }
    if (this.#slots.length === 0) return "full";
    const needed = kv.pagesOf(tokens.length) - Math.floor(sequence.length / kv.pageSize);
    const available = kv.available([...this.#sequences(), sequence]);
    const promised = this.#promised();
    return fits(this.#all.length, { available, promised, needed }) ? "begun" : "full";
  }

  /** Pages that prompts still take. */
  #promised(): number {
    return this.#all.reduce((sum, { tokens: { length }, sequence }) => {
      return sum + Math.max(0, this.kv.pagesOf(length) - (sequence as Sequence).pages.length);
    }, 0);
  }

  /** Whether those that run, and one more, can do without so many pages for now, and without those of a sequence. */
  spares(pages: number, sequence?: Sequence): boolean {
    const available = this.kv.available([...this.#sequences(), ...(sequence ? [sequence] : [])]);
    return fits(this.#all.length + 1, { available, promised: this.#promised(), needed: pages });
  }

  /** Whether nobody can begin but in the place of another. */
  get full(): boolean {
    return this.#slots.length === 0;
  }

  /** Who gives way to one that waits: the last in rank, if half a point of priority lies between them. */
  outrankedBy({ rank }: Generation): Generation | undefined {
    const last = this.#all.at(-1);
    return last && last.rank - rank >= AGEING_MS / 2 ? last : undefined;
  }

  /**
   * Reserves pages for the next tokens of one.
   *
   * @returns true, or who gives way, the last in rank; `alone`: it has all pages there are; `wait`: until one before it ends, or what is held is let go
   */
  makeRoom(generation: Generation, tokens: number): true | Generation | "alone" | "wait" {
    const sequence = generation.sequence as Sequence;
    if (this.kv.reserve(sequence, tokens)) return true;
    const last = this.#all.at(-1) as Generation;
    if (last !== generation) return last;
    if (this.#all.length > 1) return "wait";
    for (const drop of [...this.#held.values()]) {
      drop?.();
      if (drop && this.kv.reserve(sequence, tokens)) return true;
    }
    if (this.#held.size > 0) return "wait";
    return this.kv.clear() && this.kv.reserve(sequence, tokens) ? true : "alone";
  }

  /** What is computed of its prompt others can use: all whole pages, as it goes on writing to the last. */
  keepPrompt({ spec, sequence, promptTokens }: Generation): void {
    if (!spec.cache || !sequence) return;
    const computed = Math.min(sequence.length, promptTokens);
    const whole = computed - (computed % this.kv.pageSize);
    if (whole > 0) this.kv.keep(sequence, spec.prompt.subarray(0, whole));
  }

  /** Takes slot and pages back. What it has computed stays in the prefix cache. */
  vacate(generation: Generation): void {
    const { sequence, spec, tokens } = generation;
    this.#all.splice(this.#all.indexOf(generation), 1);
    if (!sequence) return;
    if (spec.cache) this.kv.keep(sequence, tokens.subarray(0, sequence.length));
    this.#slots.push(sequence.slot);
    this.sampler.free(sequence.slot);
    sequence.release();
    generation.sequence = undefined;
  }
}
