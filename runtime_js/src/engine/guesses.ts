/** Which requests of a step have guesses of their next tokens checked in it, and what came of it. */
import type { Sequence } from "../kv/sequence.js";
import type { Generation } from "./generation.js";
import type { KvMemory } from "./kv_memory.js";
import type { BatchRow } from "./plan.js";
import { mean, type ServingStats } from "./serving_stats.js";
import { Speculation } from "./speculation.js";

/** A request in a step. */
export interface Chosen {
  generation: Generation;
  /** Tokens that it has to compute. */
  count: number;
  /** Guessed ones after these. */
  guesses: number;
}

interface Kernels {
  missing(batch: readonly BatchRow[], sample: readonly string[]): readonly string[];
  prepare(...names: string[]): Promise<void>;
}

interface Checked {
  /** Requests that drew. */
  draws: readonly unknown[];
  promptTokens: number;
  guesses: number;
  steady: boolean;
}

export class Guesses {
  #speculation = new Speculation();
  #compiles = false;
  #guessed = 0;
  #accepted = 0;

  get stats(): ServingStats["speculation"] {
    const guessed = this.#guessed;
    const accepted = this.#accepted;
    return { guessed, accepted, acceptanceRate: mean(accepted, guessed) };
  }

  /**
   * Adds guesses to requests that may, with pages for them. Nobody gives way to a guess.
   *
   * @param draws how many of them draw
   * @param most tokens and draws of a step
   */
  add(
    chosen: readonly Chosen[],
    draws: number,
    kv: KvMemory,
    { chunk, outs }: { readonly chunk: number; readonly outs: number },
  ): void {
    let room = Math.min(chunk - chosen.reduce((sum, { count }) => sum + count, 0), outs - draws);
    const add = (of: Chosen, guesses: number) => {
      if (guesses === 0) return;
      if (!kv.reserve(of.generation.sequence as Sequence, 1 + guesses)) return;
      of.guesses = guesses;
      room -= guesses;
    };
    const measured: Chosen[] = [];
    for (const of of chosen) {
      const { speculation = "off" } = of.generation.spec;
      if (typeof speculation === "object") {
        add(of, of.generation.guess(Math.min(speculation.tokens, room)));
      } else if (speculation === "auto") measured.push(of);
    }
    // Beside chunks of prompts, and others' guesses, a step's time says nothing.
    if (measured.length === 0 || draws < chosen.length || room <= 0) return;
    if (chosen.some(({ count, guesses }) => count > 1 || guesses > 0)) return;
    const candidates = measured.map(({ generation }) => {
      return { rate: generation.acceptance.rate, most: generation.guess(room) };
    });
    const guesses = this.#speculation.choose(chosen.length, candidates, room);
    measured.forEach((of, i) => {
      add(of, guesses[i] as number);
    });
  }

  /**
   * The rows of a step. Kernels for guesses that are not ready are compiled beside what goes on without them; what does not
   * compile is not tried again.
   */
  rows(chosen: readonly Chosen[], sample: readonly string[], runner: Kernels): BatchRow[] {
    const rows = chosen.map(({ generation, count, guesses }) => generation.next(count, guesses));
    if (chosen.every(({ guesses }) => guesses === 0)) return rows;
    const missing = runner.missing(rows, sample);
    if (missing.length === 0) return rows;
    if (!this.#compiles) {
      this.#compiles = true;
      const done = () => {
        this.#compiles = false;
      };
      runner.prepare(...missing).then(done, () => {});
    }
    for (const of of chosen) of.guesses = 0;
    return chosen.map(({ generation, count }) => generation.next(count));
  }

  /** Another device has other times, and other kernels that are ready. */
  restart(): void {
    this.#speculation = new Speculation();
    this.#compiles = false;
  }

  /** A step took `ms`; `right` of its guesses were. */
  checked({ draws, promptTokens, guesses, steady }: Checked, right: number, ms: number): void {
    this.#guessed += guesses;
    this.#accepted += right;
    const rows = draws.length;
    if (promptTokens > 0 || rows === 0) return;
    if (guesses === 0) this.#speculation.plain(rows, ms, steady);
    else this.#speculation.checked(rows, rows + guesses, rows + right, ms);
  }
}
