import { describe, expect, test } from "vitest";
import type { Program } from "../generated/program.js";
import { chooseSymbols } from "../gpu/sizes.js";
import { layoutStepBlock, StepBlock } from "../gpu/step_block.js";
import { PagePool } from "../kv/page_pool.js";
import { Sequence } from "../kv/sequence.js";
import { tinyProgram } from "../testing/tiny_pack.js";
import { type BatchRow, lastOf, Planner } from "./plan.js";
import { SamplingRow, seedBits } from "./sampling.js";

/** The toy program with room for 40 tokens of 3 sequences. */
function setUp() {
  const json = tinyProgram();
  const program = {
    ...json,
    symbols: json.symbols.map((s) => ({
      ...s,
      max: { tokens: 40, seqs: 3, outs: 6, q_tiles: 6 }[s.name] ?? null,
    })),
  } as unknown as Program;
  const symbols = chooseSymbols(program, { contextLength: 64, maxBatch: 3, kvTokens: 192 });
  const block = new StepBlock(layoutStepBlock(program, {}, symbols));
  return { planner: new Planner(block, symbols, 4, false), block, symbols };
}

const neutral = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null };

describe("planning a ragged batch", () => {
  test("positions, rows, pages and tiles of every sequence", () => {
    const { planner, block, symbols } = setUp();
    const pool = new PagePool(48);
    const [a, b, c] = [0, 1, 2].map((slot) => new Sequence(pool, 4, slot)) as [
      Sequence,
      Sequence,
      Sequence,
    ];
    const row = (sequence: Sequence, tokens: number[], draws: [number, number][]): BatchRow => {
      sequence.reserve(tokens.length);
      const sampling = new SamplingRow(neutral, {}, 7n);
      const outs = draws.map(([index, drawIndex]) => ({ index, drawIndex, sampling }));
      return { sequence, tokens: Int32Array.from(tokens), outs };
    };
    expect(planner.plan([row(a, [1, 2, 3, 4, 5], [])])).toMatchObject({ kind: "prefill", outs: 0 });
    const prompt = Array.from({ length: 17 }, (_, i) => 100 + i);
    const verified: [number, number][] = [
      [0, 8],
      [1, 9],
    ];
    const { kind, env, outs } = planner.plan([
      row(a, [lastOf(2)], [[0, 3]]),
      row(b, prompt, []),
      row(c, [7, 9], verified),
    ]);
    expect({ kind, outs }).toEqual({ kind: "prefill", outs: 3 });
    const values = ["tokens", "seqs", "outs", "q_tiles"].map(
      (s) => env[symbols.index.get(s) as number],
    );
    expect(values).toEqual([20, 3, 3, 4]);
    const i32 = (name: string, n: number) => [...(block.i32(name) as Int32Array).slice(0, n)];
    expect(i32("token_ids", 20)).toEqual([-3, ...prompt, 7, 9]);
    expect(i32("positions", 20)).toEqual([5, ...Array.from({ length: 17 }, (_, i) => i), 0, 1]);
    expect(i32("token_seq", 20)).toEqual([0, ...Array(17).fill(1), 2, 2]);
    expect(i32("logit_rows", 3)).toEqual([0, 18, 19]);
    expect(i32("slots", 3)).toEqual([0, 2, 2]);
    expect(i32("tiles", 16)).toEqual([0, 1, 0, 5, 1, 16, 1, 0, 17, 1, 1, 16, 18, 2, 2, 0]);
    const table = block.i32("page_table") as Int32Array;
    for (const [r, s] of [a, b, c].entries()) {
      expect([...table.slice(16 * r, 16 * r + s.pages.length)]).toEqual(s.pages);
    }
    expect([a, b, c].map((s) => s.length)).toEqual([6, 17, 2]);
    const sampling = block.u32("sampling") as Uint32Array;
    expect([sampling[6], sampling[8], sampling[16 + 8], sampling[32 + 8]]).toEqual([7, 3, 8, 9]);
  });

  /** Rows of `tokens` tokens, each with `outs` draws. */
  const rowsOf = (count: number, tokens: number, outs = 1): BatchRow[] => {
    const pool = new PagePool(48);
    const sampling = new SamplingRow(neutral, {}, 0n);
    return Array.from({ length: count }, (_, slot) => {
      const sequence = new Sequence(pool, 4, slot);
      sequence.reserve(tokens);
      const draws = Array.from({ length: outs }, (_, index) => ({ index, sampling, drawIndex: 0 }));
      return { sequence, tokens: new Int32Array(tokens), outs: draws };
    });
  };

  test("one new token per sequence is a decode, if all of them are followed", () => {
    const { planner } = setUp();
    expect(planner.plan(rowsOf(2, 1)).kind).toBe("decode");
    expect(planner.plan([...rowsOf(1, 1), ...rowsOf(1, 1, 0)]).kind).toBe("prefill");
  });

  test("what a step can't hold is refused before anything is written", () => {
    const { planner } = setUp();
    const rows = rowsOf(4, 1);
    expect(() => planner.plan(rows)).toThrow(/4 sequences exceed a step's 3/);
    expect(() => planner.plan(rowsOf(1, 41))).toThrow(/41 tokens exceed a step's 40/);
    expect(() => planner.plan(rowsOf(1, 7, 7))).toThrow(/7 outs exceed a step's 6/);
    expect(() => planner.plan(rowsOf(1, 0))).toThrow(/no token/);
    expect(rows.map(({ sequence }) => sequence.length)).toEqual([0, 0, 0, 0]);
  });
});

describe("the sampling row", () => {
  const words = (row: SamplingRow, index = 0) => {
    const u32 = new Uint32Array(16);
    row.write(u32, 0, index);
    return { u32, f32: new Float32Array(u32.buffer) };
  };

  test("request before model default before neutral", () => {
    const defaults = { temperature: 0.5, top_p: 0.75, top_k: 20 };
    const own = words(new SamplingRow({ ...neutral, temperature: 0, topK: 3 }, defaults, 0n));
    expect([own.f32[0], own.f32[1], own.u32[5]]).toEqual([0, 0.75, 3]);
    const plain = words(new SamplingRow(neutral, {}, 0n));
    expect([plain.f32[0], plain.f32[1], plain.f32[2], plain.u32[5], plain.u32[9]]).toEqual([
      1, 1, 0, 0, 0,
    ]);
  });

  test("seed, draw index, flags", () => {
    const options = {
      ...neutral,
      presencePenalty: 1,
      logitBias: [[1, 2]] as [number, number][],
      logprobs: 5,
    };
    const { u32, f32 } = words(new SamplingRow(options, {}, 0x1_0000_0002n), 9);
    expect([u32[6], u32[7], u32[8], u32[9], u32[10]]).toEqual([2, 1, 9, 3, 5]);
    expect(f32[4]).toBe(1);
  });

  test("seeds are 64 bits, negative ones too; without one they differ", () => {
    expect(seedBits(5)).toBe(5n);
    expect(seedBits(-1)).toBe(2n ** 64n - 1n);
    expect(seedBits(undefined)).not.toBe(seedBits(undefined));
  });
});
