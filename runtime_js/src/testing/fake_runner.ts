/**
 * A GPU of numbers: pages hold token ids, steps run in the order in which they were submitted, results arrive when the test
 * says so. The next token is a function of all tokens that the page table leads to, so that a page given away too early,
 * copied too late or found under a wrong prefix changes the answer.
 */
import type { MaskBuffer } from "../engine/mask_table.js";
import type { StepRunner } from "../engine/step_runner.js";
import type { PagePool } from "../kv/page_pool.js";
import { FOLLOW, MASK_HEAD, maskRowWords, maskWords } from "../program/masks.js";
import type { TokenBytes } from "../text/token_bytes.js";

export const FAKE_VOCAB = 40;
const MASK_ROW = maskRowWords(FAKE_VOCAB);

/** Draws, by a row of masks if one is named: the token, and the tag of the mask. */
type Draw = (named?: number) => [id: number, tag: number];

/** Tokens as letters. */
export const fakeBytes = {
  leadingSpaces: 0,
  isSpecial: () => false,
  has: () => true,
  first: (id: number) => Uint8Array.of(97 + (id % 26)),
  of: (id: number) => Uint8Array.of(97 + (id % 26)),
} as unknown as TokenBytes;

export interface FakeDraw {
  seed: number;
  index: number;
  /** By token id; all zero when not used. */
  counts: ArrayLike<number>;
  bias: number;
}

/** The model's next token. */
export function fakeNext(
  tokens: ArrayLike<number>,
  { seed, index, counts, bias }: FakeDraw,
): number {
  let h = seed * 31 + index * 7 + bias;
  for (let i = 0; i < tokens.length; i++) h = (h * 33 + (tokens[i] as number) + 1) % 1000003;
  for (let t = 0; t < FAKE_VOCAB; t++) h = (h + (counts[t] ?? 0) * (t + 3) * 97) % 1000003;
  return h % FAKE_VOCAB;
}

/** Another model: mostly the same token after the same one, and now and then what all tokens say. */
export function fakeRepeats(tokens: ArrayLike<number>, draw: FakeDraw): number {
  const all = fakeNext(tokens, draw);
  const last = tokens[tokens.length - 1] as number;
  return all % 10 === 0 ? all : (last * 7 + 3 + draw.bias) % FAKE_VOCAB;
}

const USE_BIAS = 1;
const USE_PENALTIES = 2;
const USE_MASK = 4;

/** The nearest token from `id` on that a mask allows. */
export function fakeAllowed(id: number, mask: Uint32Array): number {
  for (let i = 0; i < FAKE_VOCAB; i++) {
    const other = (id + i) % FAKE_VOCAB;
    if (((mask[other >> 5] as number) >> (other & 31)) & 1) return other;
  }
  throw new Error("the mask allows nothing");
}

export class FakeRunner implements StepRunner {
  readonly hostMs = { plan: 0, encode: 0 };
  readonly #pages: Int32Array[];
  readonly #last: Int32Array;
  readonly #counts: Int32Array[];
  readonly #bias: number[];
  /** The buffer `masks`. */
  readonly #masks: Uint32Array;
  readonly masks: MaskBuffer;
  /** Draws of a step that are not submitted. */
  #open: object | undefined;
  readonly #results: (() => void)[] = [];
  #lose: (error: Error) => void = () => {};
  #failure: Error | undefined;
  readonly gpu: StepRunner["gpu"];
  /** Functions that must be prepared first. */
  unready = new Set<string>();
  prepareError: Error | undefined;
  /** The model. */
  next = fakeNext;
  steps = 0;
  tokens = 0;
  rows = 0;
  /** Tokens of each step. */
  readonly sizes: number[][] = [];

  constructor(
    private readonly pool: PagePool,
    private readonly pageSize: number,
    readonly maxBatch: number,
    readonly chunk: number,
    readonly outs = 2 * maxBatch,
  ) {
    this.#pages = Array.from({ length: pool.pages }, () => new Int32Array(pageSize).fill(-1));
    this.#last = new Int32Array(maxBatch).fill(-1);
    this.#counts = Array.from({ length: maxBatch }, () => new Int32Array(FAKE_VOCAB).fill(99));
    this.#bias = Array(maxBatch).fill(99);
    const maskRows = 2 * maxBatch + 6;
    this.#masks = new Uint32Array(maskRows * MASK_ROW);
    this.masks = {
      rows: maskRows,
      vocab: FAKE_VOCAB,
      write: (offset, words) => this.#masks.set(words, offset),
    };
    const failed = new Promise<never>((_, reject) => {
      this.#lose = reject;
    });
    failed.catch(() => {});
    this.gpu = { failed, failure: () => this.#failure };
  }

  /** Results that have not arrived. */
  get underWay(): number {
    return this.#results.length;
  }

  /** Lets the oldest result arrive. */
  arrive(): void {
    this.#results.shift()?.();
  }

  lose(error: Error): void {
    this.#failure = error;
    this.#lose(error);
  }

  missing(...[, sample]: Parameters<StepRunner["missing"]>): readonly string[] {
    return sample.filter((name) => this.unready.has(name));
  }

  async prepare(...names: string[]): Promise<void> {
    if (this.prepareError) throw this.prepareError;
    for (const name of names) this.unready.delete(name);
  }

  writeBias(slot: number, bias: readonly [number, number][]): void {
    this.#bias[slot] = bias.reduce((sum, [, value]) => sum + value, 0);
  }

  writeCounts(slot: number, tokens: Int32Array): void {
    const counts = this.#counts[slot] as Int32Array;
    counts.fill(0);
    for (const token of tokens) counts[token] = (counts[token] as number) + 1;
  }

  step(...[batch, sample]: Parameters<StepRunner["step"]>): Promise<Uint32Array> | undefined {
    const draws = this.#compute(batch);
    if (draws.length > this.outs) throw new Error("the step draws too much");
    if (draws.length > 0 !== sample.length > 0) throw new Error("draws without a sampler");
    return draws.length > 0 ? this.#draw(draws) : undefined;
  }

  /** Steps in two halves. */
  halves = 0;
  /** Whether the result of each was hurried. */
  readonly hurried: boolean[] = [];

  forward(...[batch]: Parameters<StepRunner["forward"]>): ReturnType<StepRunner["forward"]> {
    const draws = this.#compute(batch);
    const open = {};
    this.#open = open;
    this.halves++;
    return (rows, hurries) => {
      this.hurried.push(hurries);
      if (this.#open !== open) throw new Error("draws of a step that is over");
      this.#open = undefined;
      return this.#draw(draws, rows);
    };
  }

  /** Runs a step but for its draws. */
  #compute(batch: Parameters<StepRunner["step"]>[0]): Draw[] {
    this.#open = undefined;
    this.steps++;
    this.rows += batch.length;
    this.sizes.push(batch.map(({ tokens }) => tokens.length));
    for (const { from, to } of this.pool.takeCopies()) {
      (this.#pages[to] as Int32Array).set(this.#pages[from] as Int32Array);
    }
    const total = batch.reduce((sum, { tokens }) => sum + tokens.length, 0);
    this.tokens += total;
    if (batch.length > this.maxBatch || total > this.chunk)
      throw new Error("the step is too large");
    const held = new Set<number>();
    const draws: Draw[] = [];
    for (const { sequence, tokens, outs } of batch) {
      const { pages, slot } = sequence;
      const from = sequence.length;
      tokens.forEach((token, i) => {
        const page = pages[Math.floor((from + i) / this.pageSize)] as number;
        const id = token >= 0 ? token : (this.#last[-1 - token] as number);
        (this.#pages[page] as Int32Array)[(from + i) % this.pageSize] = id;
        held.add(page);
      });
      sequence.length += tokens.length;
      if (held.has(-1 - slot)) throw new Error("two rows of one slot");
      held.add(-1 - slot);
      for (const { index, sampling, drawIndex } of outs) {
        const known = Array.from({ length: from + index + 1 }, (_, p) => {
          const page = pages[Math.floor(p / this.pageSize)] as number;
          return (this.#pages[page] as Int32Array)[p % this.pageSize] as number;
        });
        const words = new Uint32Array(16);
        sampling.write(words, 0, drawIndex);
        draws.push((named = words[12] as number) => {
          const flags = words[9] as number;
          const counts = flags & USE_PENALTIES ? (this.#counts[slot] as Int32Array) : [];
          const bias = flags & USE_BIAS ? (this.#bias[slot] as number) : 0;
          const seed = words[6] as number;
          let id = this.next(known, { seed, index: words[8] as number, counts, bias });
          let tag = 0;
          if (flags & USE_MASK) {
            const by = named === FOLLOW ? (this.#masks[slot * MASK_ROW] as number) : named;
            const row = this.#masks.subarray(by * MASK_ROW, (by + 1) * MASK_ROW);
            tag = row[1] as number;
            if (by > 0) id = fakeAllowed(id, row.subarray(MASK_HEAD));
            const next = row[MASK_HEAD + maskWords(FAKE_VOCAB) + (id >> 2)] as number;
            this.#masks[slot * MASK_ROW] = (next >>> (8 * (id & 3))) & 255;
          }
          if (flags & USE_PENALTIES) (counts as Int32Array)[id] = (counts[id] as number) + 1;
          this.#last[slot] = id;
          return [id, tag];
        });
      }
    }
    return draws;
  }

  #draw(draws: readonly Draw[], rows?: ReadonlyMap<number, number>): Promise<Uint32Array> {
    const result = new Uint32Array(64 * draws.length);
    draws.forEach((draw, i) => {
      const [id, tag] = draw(rows?.get(i));
      result[64 * i] = id;
      result[64 * i + 3] = tag;
    });
    return new Promise((resolve) => this.#results.push(() => resolve(result)));
  }

  idle(): Promise<void> {
    return new Promise((resolve) => this.#results.push(resolve));
  }
}
