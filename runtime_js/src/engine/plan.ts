/**
 * Planning a step: which tokens of which sequences, written into the step block. The host plans, the GPU runs
 * (FlashInfer's split): what a kernel needs to know about the batch is decided here and nowhere else.
 */

import type { Symbols } from "../gpu/sizes.js";
import type { StepBlock } from "../gpu/step_block.js";
import type { Sequence } from "../kv/sequence.js";
import type { SamplingRow } from "./sampling.js";
import { PIECE_TOKENS, planWorks, SPLIT_CONTEXT } from "./works.js";

/** Rows of a prefill attention tile. */
const TILE_ROWS = 16;

/** One row of a ragged batch: `tokens` new tokens of a sequence whose KV pages have room for them. */
export interface BatchRow {
  sequence: Sequence;
  tokens: number;
  sampling: SamplingRow;
  /** Tokens generated so far. */
  drawIndex: number;
}

export interface Step {
  /** `decode` when every sequence has one new token, in pieces of a context where that pays and the program can. */
  kind: "prefill" | "decode" | "decode_split";
  /** Symbol values. */
  env: number[];
  rows: number;
}

export class Planner {
  readonly #positions: Int32Array;
  readonly #tokenSeq: Int32Array;
  readonly #pageTable: Int32Array;
  readonly #logitRows: Int32Array;
  readonly #slots: Int32Array;
  readonly #sampling: Uint32Array;
  readonly #tileList: Int32Array;
  readonly #work: Int32Array | undefined;
  readonly #workRows: Int32Array | undefined;
  readonly #env: number[];
  readonly #tokens: number;
  readonly #seqs: number;
  readonly #tiles: number;
  readonly #works: number | undefined;
  readonly #mostWorks: number;
  readonly #tableWidth: number;

  /** canSplit: the program has `decode_split`; pieceTokens: of a piece, at least. */
  constructor(
    block: StepBlock,
    symbols: Symbols,
    private readonly pageSize: number,
    private readonly canSplit: boolean,
    private readonly pieceTokens = PIECE_TOKENS,
  ) {
    // check.ts has proved that these exist.
    this.#positions = block.i32("positions") as Int32Array;
    this.#tokenSeq = block.i32("token_seq") as Int32Array;
    this.#pageTable = block.i32("page_table") as Int32Array;
    this.#logitRows = block.i32("logit_rows") as Int32Array;
    this.#slots = block.i32("slots") as Int32Array;
    this.#sampling = block.u32("sampling") as Uint32Array;
    this.#tileList = block.i32("tiles") as Int32Array;
    this.#work = block.i32("work");
    this.#workRows = block.i32("work_rows");
    this.#env = [...symbols.maxima];
    this.#tokens = symbols.index.get("tokens") as number;
    this.#seqs = symbols.index.get("seqs") as number;
    this.#tiles = symbols.index.get("q_tiles") as number;
    this.#works = symbols.index.get("works");
    this.#mostWorks = this.#works === undefined ? 0 : (symbols.maxima[this.#works] as number);
    this.#tableWidth = symbols.maxima[symbols.index.get("max_pages") as number] as number;
  }

  /** Fills the step block for this batch and advances its sequences. */
  plan(batch: readonly BatchRow[]): Step {
    let token = 0;
    let tiles = 0;
    batch.forEach(({ sequence, tokens, sampling, drawIndex }, row) => {
      for (let i = 0; i < tokens; i++) {
        this.#positions[token + i] = sequence.length + i;
        this.#tokenSeq[token + i] = row;
      }
      for (let at = 0; at < tokens; at += TILE_ROWS, tiles++) {
        const tile = [token + at, Math.min(TILE_ROWS, tokens - at), row, sequence.length + at];
        this.#tileList.set(tile, 4 * tiles);
      }
      this.#pageTable.set(sequence.pages, row * this.#tableWidth);
      this.#slots[row] = sequence.slot;
      sampling.write(this.#sampling, row, drawIndex);
      sequence.length += tokens;
      token += tokens;
      this.#logitRows[row] = token - 1;
    });
    this.#env[this.#tokens] = token;
    this.#env[this.#seqs] = batch.length;
    this.#env[this.#tiles] = tiles;
    const lengths = batch.map(({ sequence: { length }, tokens }) => ({ length, tokens }));
    const kind = this.kindOf(lengths);
    if (kind !== "prefill" && this.#works !== undefined && this.#work && this.#workRows) {
      // Contexts are cut in every decode, so that a warm-up runs those kernels too.
      const all = lengths.map(({ length }) => length);
      this.#env[this.#works] = planWorks(
        all,
        this.pageSize,
        this.#mostWorks,
        this.#work,
        this.#workRows,
        this.pieceTokens,
      );
    }
    return { kind, env: this.#env, rows: batch.length };
  }

  /** What a step is: `tokens` new ones of each sequence, whose length counts them. */
  kindOf(rows: readonly { tokens: number; length: number }[]): Step["kind"] {
    if (rows.some(({ tokens }) => tokens > 1)) return "prefill";
    const longest = Math.max(...rows.map(({ length }) => length));
    return this.canSplit && longest >= SPLIT_CONTEXT ? "decode_split" : "decode";
  }
}
