import { describe, expect, test } from "vitest";
import type { Program } from "../generated/program.js";
import { chooseSymbols } from "../gpu/sizes.js";
import { layoutStepBlock, StepBlock } from "../gpu/step_block.js";
import { PagePool } from "../kv/page_pool.js";
import { Sequence } from "../kv/sequence.js";
import { tinyProgram } from "../testing/tiny_pack.js";
import { Planner } from "./plan.js";
import { SamplingRow, seedBits } from "./sampling.js";

/** The toy program with room for 40 tokens of 3 sequences. */
function setUp() {
  const json = tinyProgram();
  const program = {
    ...json,
    symbols: json.symbols.map((s) => ({
      ...s,
      max: { tokens: 40, seqs: 3, q_tiles: 6 }[s.name] ?? null,
    })),
  } as unknown as Program;
  const symbols = chooseSymbols(program, 64, 3);
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
    const row = (sequence: Sequence, tokens: number, drawIndex = 0) => {
      sequence.reserve(tokens);
      return { sequence, tokens, drawIndex, sampling: new SamplingRow(neutral, {}, 7n) };
    };
    planner.plan([row(a, 5)]);
    const { kind, env, rows } = planner.plan([row(a, 1, 3), row(b, 17), row(c, 2)]);
    expect({ kind, rows }).toEqual({ kind: "prefill", rows: 3 });
    expect(["tokens", "seqs", "q_tiles"].map((s) => env[symbols.index.get(s) as number])).toEqual([
      20, 3, 4,
    ]);
    const i32 = (name: string, n: number) => [...(block.i32(name) as Int32Array).slice(0, n)];
    expect(i32("positions", 20)).toEqual([5, ...Array.from({ length: 17 }, (_, i) => i), 0, 1]);
    expect(i32("token_seq", 20)).toEqual([0, ...Array(17).fill(1), 2, 2]);
    expect(i32("logit_rows", 3)).toEqual([0, 17, 19]);
    expect(i32("slots", 3)).toEqual([0, 1, 2]);
    expect(i32("tiles", 16)).toEqual([0, 1, 0, 5, 1, 16, 1, 0, 17, 1, 1, 16, 18, 2, 2, 0]);
    const table = block.i32("page_table") as Int32Array;
    for (const [r, s] of [a, b, c].entries()) {
      expect([...table.slice(16 * r, 16 * r + s.pages.length)]).toEqual(s.pages);
    }
    expect([a, b, c].map((s) => s.length)).toEqual([6, 17, 2]);
    const sampling = block.u32("sampling") as Uint32Array;
    expect([sampling[6], sampling[8], sampling[16 + 8]]).toEqual([7, 3, 0]);
  });

  test("one new token per sequence is a decode", () => {
    const { planner } = setUp();
    const pool = new PagePool(48);
    const rows = [0, 1].map((slot) => {
      const sequence = new Sequence(pool, 4, slot);
      sequence.reserve(1);
      return { sequence, tokens: 1, drawIndex: 0, sampling: new SamplingRow(neutral, {}, 0n) };
    });
    expect(planner.plan(rows).kind).toBe("decode");
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
