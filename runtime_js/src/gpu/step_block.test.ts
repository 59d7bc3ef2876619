import { describe, expect, test } from "vitest";
import type { Program } from "../generated/program.js";
import { tinyProgram } from "../testing/tiny_pack.js";
import { chooseSymbols } from "./sizes.js";
import { layoutStepBlock, StepBlock } from "./step_block.js";

const program = tinyProgram() as unknown as Program;
const functions = (program.tiers["f32"] as Program["tiers"][string]).functions;
const symbols = chooseSymbols(program, { contextLength: 64, maxBatch: 2, kvTokens: 64 });

describe("the step block", () => {
  const layout = layoutStepBlock(program, functions, symbols);

  test("parts are 256-byte aligned and apart", () => {
    const inputs = [...layout.inputs.values()].map(({ offset, nbytes }) => ({ offset, nbytes }));
    const params = [...layout.params.values()].flat().map((offset) => ({ offset, nbytes: 16 }));
    const parts = [...inputs, ...params].sort((a, b) => a.offset - b.offset);
    parts.forEach(({ offset, nbytes }, i) => {
      expect(offset % 256).toBe(0);
      expect(offset + nbytes).toBeLessThanOrEqual(parts[i + 1]?.offset ?? layout.bytes);
    });
    expect(inputs).toHaveLength(program.inputs.length);
    expect(params).toHaveLength(6);
  });

  test("inputs hold their shapes at symbol maxima", () => {
    // 8 tokens; 2 sequences; 4 outs; 16 pages in a row of the table.
    expect(layout.inputs.get("positions")?.nbytes).toBe(8 * 4);
    expect(layout.inputs.get("page_table")?.nbytes).toBe(2 * 16 * 4);
    expect(layout.inputs.get("sampling")?.nbytes).toBe(4 * 16 * 4);
  });

  test("a step uploads once, no further than what it uses", () => {
    const block = new StepBlock(layout);
    const writes: number[] = [];
    const queue = { writeBuffer: (...args: unknown[]) => writes.push(args[4] as number) };
    const env = [...symbols.maxima];
    env[symbols.index.get("tokens") as number] = 1;
    env[symbols.index.get("seqs") as number] = 1;
    env[symbols.index.get("outs") as number] = 1;
    block.upload(queue as unknown as GPUQueue, {} as GPUBuffer, env);
    block.upload(queue as unknown as GPUQueue, {} as GPUBuffer, symbols.maxima);
    expect(writes).toHaveLength(2);
    expect(writes[0]).toBeLessThan(writes[1] as number);
    expect(writes[1]).toBeLessThanOrEqual(layout.bytes);
  });
});
