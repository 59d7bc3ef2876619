/**
 * Planning a step: which tokens of which sequences, written into the step block. The host plans, the GPU runs
 * (FlashInfer's split): what a kernel needs to know about the batch is decided here and nowhere else.
 */

import { type Symbols, TILE_ROWS } from "../gpu/sizes.js";
import type { StepBlock } from "../gpu/step_block.js";
import type { Sequence } from "../kv/sequence.js";
import type { SamplingRow } from "./sampling.js";
import { PIECE_TOKENS, SPLIT_CONTEXT, WorkPlanner } from "./works.js";

/** A token to draw. */
export interface Out {
  /** The place in the row's tokens after which it comes. */
  index: number;
  sampling: SamplingRow;
  /** Tokens that its sequence has drawn before it. */
  drawIndex: number;
}

/** One row of a ragged batch: new tokens of a sequence whose KV pages have room for them. */
export interface BatchRow {
  sequence: Sequence;
  /** Ids, or {@link lastOf} a slot. */
  tokens: Int32Array;
  /** What is drawn, in the order of the places; a chunk of a prompt that is not its last draws nothing. */
  outs: readonly Out[];
  /** Set where a draft guesses its last tokens, whose ids are on the GPU then, and not in `tokens`. */
  drafted?: Drafted | undefined;
}

/** What a draft goes on from. */
export interface Drafted {
  /** Prompt and answer, as far as they are known. */
  known: Int32Array;
  /** Of the draw that follows these, see {@link Out}. */
  drawIndex: number;
  sampling: SamplingRow;
  /** Tokens after the known ones that are drawn already, but not read: they are guessed too, and left out. */
  skip: number;
  /** Guesses: so many tokens of the row, the last. */
  count: number;
}

/** What stands for the token that a sampler slot drew last, in the place of its id: it may still be on the GPU. */
export const lastOf = (slot: number): number => -1 - slot;

export interface Step {
  /** `decode` when every row has one token and draws one, in pieces of a context where that pays and the program can. */
  kind: "prefill" | "decode" | "decode_split";
  /** Symbol values. */
  env: number[];
  /** Tokens that it draws: rows of `sampled`, in the order of the batch's outs. */
  outs: number;
}

export class Planner {
  readonly #tokenIds: Int32Array;
  readonly #positions: Int32Array;
  readonly #tokenSeq: Int32Array;
  readonly #pageTable: Int32Array;
  readonly #logitRows: Int32Array;
  readonly #slots: Int32Array;
  readonly #sampling: Uint32Array;
  readonly #tileList: Int32Array;
  readonly #workPlanner: WorkPlanner | undefined;
  readonly #most: readonly number[];
  readonly #env: number[];
  readonly #tokens: number;
  readonly #seqs: number;
  readonly #outs: number;
  readonly #tiles: number;
  readonly #works: number;
  readonly #sharedWorks: number;
  readonly #parts: number;
  readonly #tableWidth: number;

  /** canSplit: the program has `decode_split`; pieceTokens: of a piece, at least; cores: of a software adapter, else 0; splitContext: from which it decodes in pieces. */
  constructor(
    block: StepBlock,
    symbols: Symbols,
    pageSize: number,
    canSplit: boolean,
    pieceTokens = PIECE_TOKENS,
    cores = 0,
    private readonly splitContext = SPLIT_CONTEXT,
  ) {
    // check.ts has proved that these exist.
    this.#tokenIds = block.i32("token_ids") as Int32Array;
    this.#positions = block.i32("positions") as Int32Array;
    this.#tokenSeq = block.i32("token_seq") as Int32Array;
    this.#pageTable = block.i32("page_table") as Int32Array;
    this.#logitRows = block.i32("logit_rows") as Int32Array;
    this.#slots = block.i32("slots") as Int32Array;
    this.#sampling = block.u32("sampling") as Uint32Array;
    this.#tileList = block.i32("tiles") as Int32Array;
    this.#most = symbols.maxima;
    this.#env = [...symbols.maxima];
    this.#tokens = symbols.index.get("tokens") as number;
    this.#seqs = symbols.index.get("seqs") as number;
    this.#outs = symbols.index.get("outs") as number;
    this.#tiles = symbols.index.get("q_tiles") as number;
    this.#works = symbols.index.get("works") as number;
    this.#sharedWorks = symbols.index.get("shared_works") as number;
    this.#parts = symbols.index.get("parts") as number;
    if (canSplit) {
      this.#workPlanner = new WorkPlanner(
        block.i32("work") as Int32Array,
        block.i32("work_rows") as Int32Array,
        pageSize,
        symbols.maxima[this.#parts] as number,
        pieceTokens,
        cores,
      );
    }
    this.#tableWidth = symbols.maxima[symbols.index.get("max_pages") as number] as number;
  }

  /**
   * Fills the step block for this batch and advances its sequences.
   *
   * @throws RangeError when it holds more than a step can
   */
  plan(batch: readonly BatchRow[]): Step {
    this.#check(batch);
    const kind = this.kindOf(batch);
    let token = 0;
    let out = 0;
    let tiles = 0;
    batch.forEach(({ sequence, tokens, outs }, row) => {
      this.#tokenIds.set(tokens, token);
      for (let i = 0; i < tokens.length; i++) {
        this.#positions[token + i] = sequence.length + i;
        this.#tokenSeq[token + i] = row;
      }
      for (let at = 0; at < tokens.length; at += TILE_ROWS, tiles++) {
        const place = 4 * tiles;
        this.#tileList[place] = token + at;
        this.#tileList[place + 1] = Math.min(TILE_ROWS, tokens.length - at);
        this.#tileList[place + 2] = row;
        this.#tileList[place + 3] = sequence.length + at;
      }
      this.#pageTable.set(sequence.pages, row * this.#tableWidth);
      for (const { index, sampling, drawIndex } of outs) {
        this.#logitRows[out] = token + index;
        this.#slots[out] = sequence.slot;
        sampling.write(this.#sampling, out, drawIndex);
        out++;
      }
      sequence.length += tokens.length;
      token += tokens.length;
    });
    this.#env[this.#tokens] = token;
    this.#env[this.#seqs] = batch.length;
    this.#env[this.#outs] = out;
    this.#env[this.#tiles] = tiles;
    if (kind !== "prefill" && this.#workPlanner) {
      this.#env[this.#works] = this.#workPlanner.works;
      this.#env[this.#sharedWorks] = this.#workPlanner.sharedWorks;
      this.#env[this.#parts] = this.#workPlanner.parts;
    }
    return { kind, env: this.#env, outs: out };
  }

  /** What a step of these rows is, before it is planned. */
  kindOf(batch: readonly BatchRow[]): Step["kind"] {
    let longest = 0;
    for (const { sequence, tokens, outs } of batch) {
      if (tokens.length !== 1 || outs.length !== 1) return "prefill";
      longest = Math.max(longest, sequence.length + 1);
    }
    const works = this.#workPlanner;
    if (!works) return "decode";
    // Contexts are cut in every decode, so that a warm-up runs those kernels too.
    works.clear();
    for (const { sequence } of batch) works.add(sequence.length + 1, sequence.pages);
    return works.cut() || longest >= this.splitContext ? "decode_split" : "decode";
  }

  #check(batch: readonly BatchRow[]): void {
    let tokens = 0;
    let outs = 0;
    for (const row of batch) {
      if (row.tokens.length === 0) throw new RangeError("a row of a step has no token");
      tokens += row.tokens.length;
      outs += row.outs.length;
    }
    for (const [count, symbol, what] of [
      [batch.length, this.#seqs, "sequences"],
      [tokens, this.#tokens, "tokens"],
      [outs, this.#outs, "outs"],
    ] as const) {
      const most = this.#most[symbol] as number;
      if (count > most) throw new RangeError(`${count} ${what} exceed a step's ${most}`);
    }
  }
}
