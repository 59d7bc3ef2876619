/** Which requests of a step have guesses of their next tokens checked in it, and what came of it. */
import type { Sequence } from "../kv/sequence.js";
import { AnswerLengths } from "./answer_lengths.js";
import type { Drafter } from "./drafter.js";
import type { Generation } from "./generation.js";
import type { KvMemory } from "./kv_memory.js";
import type { BatchRow } from "./plan.js";
import type { Speculates } from "./request.js";
import { mean, type ServingStats } from "./serving_stats.js";
import {
  Acceptance,
  type Candidate,
  type Origin,
  type Source,
  Speculation,
} from "./speculation.js";

/** A request in a step. */
export interface Chosen {
  generation: Generation;
  /** Tokens that it has to compute. */
  count: number;
  /** Guessed ones after these, and of them those that were right, once it is known. */
  guesses: number;
  right: number;
  /** Tokens that its request took of this step: it may have ended before the last one that was right. */
  gained: number;
  /** Draws that its request had submitted before, how often these had strayed, and whether this one is of no use. */
  draws: number;
  strays: number;
  dropped: boolean;
  /** Whether it is drawn by the mask that the draw before it led to. */
  follows: boolean;
  /** Where they come from, and tokens that a draft computes before them. */
  origin: Origin;
  lag: number;
}

/** A request before anything is guessed. */
export const choose = (generation: Generation, count: number): Chosen => {
  const { draws, strays } = generation;
  const none = { guesses: 0, right: 0, gained: 0, origin: "prompt", lag: 0 } as const;
  return { generation, count, draws, strays, dropped: false, follows: false, ...none };
};

/** What runs the step, and how much of it fits into one. */
interface Runner {
  readonly chunk: number;
  readonly outs: number;
  readonly drafter?: Drafter | undefined;
}

interface Kernels {
  missing(batch: readonly BatchRow[], sample: readonly string[]): readonly string[];
  prepare(...names: string[]): Promise<void>;
}

interface Checked {
  /** Requests that drew. */
  draws: readonly Chosen[];
  promptTokens: number;
  steady: boolean;
}

export class Guesses {
  #speculation = new Speculation();
  #compiles = false;
  readonly #all = { guessed: 0, right: 0 };
  readonly #draft = { guessed: 0, right: 0 };
  /** Of all requests: what one that begins may expect. */
  readonly #acceptance = { prompt: new Acceptance(), draft: new Acceptance() };
  readonly #lengths = new AnswerLengths();

  get stats(): ServingStats["speculation"] {
    const of = ({ guessed, right }: { guessed: number; right: number }) => {
      return { guessed, accepted: right, acceptanceRate: mean(right, guessed) };
    };
    return { ...of(this.#all), draft: of(this.#draft) };
  }

  /**
   * Adds guesses to requests that may, with pages for them. Nobody gives way to a guess.
   *
   * @param draws how many of them draw
   */
  add(chosen: readonly Chosen[], draws: number, kv: KvMemory, runner: Runner): void {
    const { chunk, outs, drafter } = runner;
    let room = Math.min(chunk - chosen.reduce((sum, { count }) => sum + count, 0), outs - draws);
    const add = (of: Chosen, origin: Origin, guesses: number) => {
      const { generation } = of;
      if (guesses === 0) return;
      const lag = origin === "draft" ? this.#reserveDraft(generation, guesses, drafter) : 0;
      if (lag === undefined) return;
      if (!kv.reserve(generation.sequence as Sequence, 1 + guesses)) return;
      Object.assign(of, { origin, guesses, lag });
      room -= guesses;
    };
    const measured: Chosen[] = [];
    for (const of of chosen) {
      const { speculation = "off" } = of.generation.spec;
      if (typeof speculation === "object") {
        const { origin, most } = this.#fixed(of.generation, speculation, room, drafter);
        add(of, origin, most);
      } else if (speculation === "auto") measured.push(of);
    }
    // Beside chunks of prompts, and others' guesses, a step's time says nothing.
    if (measured.length === 0 || draws < chosen.length || room <= 0) return;
    if (chosen.some(({ count, guesses }) => count > 1 || guesses > 0)) return;
    const sources: Source[] = [
      { origin: "prompt", candidates: measured.map((of) => this.#repeats(of.generation, room)) },
    ];
    if (drafter) {
      const candidates = measured.map((of) => this.#drafted(of.generation, room, drafter));
      sources.push({ origin: "draft", candidates, cost: drafter.cost });
    }
    const choice = this.#speculation.choose(chosen.length, sources, room);
    measured.forEach((of, i) => {
      if (choice) add(of, choice.origin, choice.guesses[i] as number);
    });
  }

  /** What a request that always guesses takes: the draft's guesses, or what its text repeats where that was right as often. */
  #fixed(
    generation: Generation,
    { tokens, from }: Speculates & object,
    room: number,
    drafter: Drafter | undefined,
  ): { origin: Origin; most: number } {
    const most = Math.min(tokens, room);
    const repeats = this.#repeats(generation, from === "draft" ? 0 : most);
    const drafted = this.#drafted(generation, from === "prompt" ? 0 : most, drafter);
    const drafts = drafted.most > 0 && (repeats.most === 0 || drafted.rate > repeats.rate);
    return drafts
      ? { origin: "draft", most: drafted.most }
      : { origin: "prompt", most: repeats.most };
  }

  /** A request's answer has ended after so many tokens. */
  ended(tokens: number): void {
    this.#lengths.ended(tokens);
  }

  #repeats(generation: Generation, most: number): Candidate {
    return this.#candidate(generation, "prompt", generation.guess(most));
  }

  #candidate(generation: Generation, origin: Origin, most: number, lag = 0): Candidate {
    const all = this.#acceptance[origin];
    generation.acceptance[origin] ??= new Acceptance(all.rate, all);
    const { rate } = generation.acceptance[origin];
    const left = Math.min(this.#lengths.left(generation.draws), generation.drawsLeft);
    return { rate, most, lag, left };
  }

  #drafted(generation: Generation, most: number, drafter: Drafter | undefined): Candidate {
    const guesses = generation.guessable(most);
    const { slot } = generation.sequence as Sequence;
    const lag =
      guesses > 0 ? drafter?.lag(slot, generation.tokens, generation.unread + guesses) : undefined;
    return this.#candidate(generation, "draft", lag === undefined ? 0 : guesses, lag);
  }

  /** @returns tokens that the draft computes before the first guess; undefined when there is no room */
  #reserveDraft(
    generation: Generation,
    guesses: number,
    drafter: Drafter | undefined,
  ): number | undefined {
    const { sequence, tokens, unread } = generation;
    const { slot } = sequence as Sequence;
    const draws = unread + guesses;
    if (!drafter?.reserve(slot, tokens, draws)) return undefined;
    return drafter.lag(slot, tokens, draws);
  }

  /**
   * The rows of a step. Kernels for guesses that are not ready are compiled beside what goes on without them; what does not
   * compile is not tried again.
   */
  rows(chosen: readonly Chosen[], sample: readonly string[], runner: Kernels): BatchRow[] {
    const rows = chosen.map(({ generation, count, guesses, origin }) => {
      return generation.next(count, guesses, guesses > 0 && origin === "draft");
    });
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

  /** A step took `ms`. */
  checked({ draws, promptTokens, steady }: Checked, ms: number): void {
    let [guesses, right, lag, gained] = [0, 0, 0, draws.length];
    let origin: Origin = "prompt";
    let asked = false;
    for (const of of draws) {
      if (of.guesses === 0) continue;
      guesses += of.guesses;
      right += of.right;
      gained += of.gained - 1;
      lag += of.lag;
      if (of.origin === "draft") {
        origin = "draft";
        this.#draft.guessed += of.guesses;
        this.#draft.right += of.right;
      }
      asked ||= of.generation.spec.speculation !== "auto";
    }
    this.#all.guessed += guesses;
    this.#all.right += right;
    const rows = draws.length;
    const pays = draws.every(({ generation }) => generation.spec.speculation === "auto");
    if (promptTokens > 0) {
      if (guesses === 0) this.#speculation.prompts(promptTokens, ms, pays && rows > 0);
    } else if (rows === 0) return;
    else if (guesses === 0) this.#speculation.plain(rows, ms, steady, pays);
    else {
      const step = { rows, tokens: rows + guesses, gained, ms };
      this.#speculation.checked({ ...step, origin, lag, asked });
    }
  }
}
