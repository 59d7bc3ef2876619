/** All GPU memory of a loaded model, made once at load. */
import { OutOfMemory } from "../errors.js";
import type { Binding, Program, Tier } from "../generated/program.js";
import { type ArenaLayout, layoutArenas } from "./arena.js";
import { COPY_DST, COPY_SRC, STORAGE, UNIFORM } from "./flags.js";
import { bufferBytes, type Symbols, storageBytes } from "./sizes.js";
import { layoutStepBlock, StepBlock } from "./step_block.js";

export interface Memory {
  arenas: GPUBuffer[];
  arenaLayout: ArenaLayout;
  storages: GPUBuffer[];
  buffers: ReadonlyMap<string, GPUBuffer>;
  block: StepBlock;
  blockBuffer: GPUBuffer;
  /** The range that a launch binds. */
  resolve(binding: Binding): GPUBufferBinding;
}

/** @returns the memory, and what rejects with OutOfMemory when the GPU has not enough: compiling need not wait for it */
export function allocate(
  device: GPUDevice,
  program: Program,
  tier: Tier,
  symbols: Symbols,
): { memory: Memory; allocated: Promise<void> } {
  device.pushErrorScope("out-of-memory");
  const make = (label: string, size: number, usage: number) =>
    device.createBuffer({ label, size, usage });
  const data = STORAGE | COPY_SRC | COPY_DST;
  const arenaLayout = layoutArenas(program.segments, device.limits.maxBufferSize);
  const arenas = arenaLayout.arenas.map((size, i) =>
    make(`weights.${i}`, size, STORAGE | COPY_DST),
  );
  const storages = tier.storages.map((_, i) =>
    make(`storage.${i}`, storageBytes(tier, i, symbols), STORAGE),
  );
  const buffers = new Map(
    tier.buffers.map((b) => [b.name, make(b.name, bufferBytes(b, symbols), data)]),
  );
  const layout = layoutStepBlock(program, tier.functions, symbols);
  const blockBuffer = make("step", layout.bytes, UNIFORM | STORAGE | COPY_DST);
  const allocated = device.popErrorScope().then((error) => {
    if (!error) return;
    throw new OutOfMemory(
      `the GPU has not enough memory for this pack (${error.message}): use a smaller contextLength, kvTokens, maxBatch or model`,
    );
  });

  const resolve = (binding: Binding): GPUBufferBinding => {
    switch (binding.kind) {
      case "weight": {
        const { arena, offset, nbytes } = arenaLayout.placements[
          binding.segment
        ] as ArenaLayout["placements"][number];
        return { buffer: arenas[arena] as GPUBuffer, offset, size: nbytes };
      }
      case "storage":
        return { buffer: storages[binding.index] as GPUBuffer };
      case "buffer":
        return { buffer: buffers.get(binding.name) as GPUBuffer };
      case "input": {
        const slot = layout.inputs.get(binding.name) as { offset: number; nbytes: number };
        return { buffer: blockBuffer, offset: slot.offset, size: slot.nbytes };
      }
    }
  };
  const memory: Memory = {
    arenas,
    arenaLayout,
    storages,
    buffers,
    block: new StepBlock(layout),
    blockBuffer,
    resolve,
  };
  return { memory, allocated };
}
