/**
 * The player: launch lists become arrays of {pipeline, bind group, grid} at load; a step is one loop in one compute pass
 * and one submit. Per step it creates no buffer and no bind group, looks up no name, and writes one buffer.
 */
import { InvalidPack } from "../errors.js";
import type { ProgramFunction } from "../generated/program.js";
import { compileExpression, type Environment, type Evaluate } from "../program/expression.js";
import type { Counters } from "./counters.js";
import type { Memory } from "./memory.js";
import type { Pipeline } from "./pipelines.js";
import type { ReadbackRing } from "./readback.js";
import type { Symbols } from "./sizes.js";
import { paramBytes } from "./step_block.js";

const MAX_GRID = 65535;

interface Field {
  offset: number;
  write: "setInt32" | "setUint32" | "setFloat32";
  value: Evaluate;
}

/** What of a function needs no pipeline. */
export interface Planned {
  name: string;
  grids: Evaluate[];
  /** Three per launch: the grid of the last symbol values. */
  counts: Uint32Array;
  fields: Field[];
  /** Symbol values that `counts` and the uniform blocks were computed for. */
  computedFor: number[];
}

/** One function of the program, ready to play. */
export interface Prepared extends Planned {
  pipelines: GPUComputePipeline[];
  bindGroups: GPUBindGroup[];
}

/** Where a step's results go. */
export interface Readback {
  ring: ReadbackRing;
  source: GPUBuffer;
  bytes: number;
}

export class Player {
  constructor(
    private readonly device: GPUDevice,
    private readonly memory: Memory,
    private readonly symbols: Symbols,
    private readonly counters: Counters,
  ) {}

  /** A function's grids and parameters. @throws InvalidPack where a grid can be too large */
  plan(name: string, fn: ProgramFunction): Planned {
    const offsets = this.memory.block.layout.params.get(name) ?? [];
    const compile = (e: Parameters<typeof compileExpression>[0]) =>
      compileExpression(e, this.symbols.index);
    const planned: Planned = {
      name,
      grids: fn.launches.flatMap((launch) => launch.grid.map(compile)),
      counts: new Uint32Array(fn.launches.length * 3),
      fields: fn.params.flatMap((block, b) =>
        block.map(
          (p, i): Field => ({
            offset: (offsets[b] as number) + 4 * i,
            write: p.dtype === "f32" ? "setFloat32" : p.dtype === "i32" ? "setInt32" : "setUint32",
            value: compile(p.value),
          }),
        ),
      ),
      computedFor: [],
    };
    this.#compute(planned, this.symbols.maxima); // a grid that is too large fails at load
    return { ...planned, computedFor: [] };
  }

  /** Makes all bind groups of a function. */
  bind(planned: Planned, fn: ProgramFunction, pipelines: ReadonlyMap<string, Pipeline>): Prepared {
    const offsets = this.memory.block.layout.params.get(planned.name) ?? [];
    const prepared: Prepared = { ...planned, pipelines: [], bindGroups: [] };
    for (const launch of fn.launches) {
      const { pipeline, layout } = pipelines.get(launch.kernel) as Pipeline;
      const entries = launch.bindings.map((b, binding) => ({
        binding,
        resource: this.memory.resolve(b),
      }));
      if (launch.params !== null) {
        const size = paramBytes((fn.params[launch.params] as unknown[]).length);
        const offset = offsets[launch.params] as number;
        const resource = { buffer: this.memory.blockBuffer, offset, size };
        entries.push({ binding: entries.length, resource });
      }
      prepared.pipelines.push(pipeline);
      prepared.bindGroups.push(
        this.device.createBindGroup({ label: launch.label, layout, entries }),
      );
    }
    return prepared;
  }

  /** Grids and uniform blocks for new symbol values; nothing to do in a run of decode steps. */
  #compute(fn: Planned, env: Environment): void {
    const { computedFor } = fn;
    let same = computedFor.length === env.length;
    for (let i = 0; same && i < env.length; i++) same = computedFor[i] === env[i];
    if (same) return;
    for (let i = 0; i < fn.grids.length; i++) {
      const n = (fn.grids[i] as Evaluate)(env);
      if (!(n >= 0 && n <= MAX_GRID)) {
        throw new InvalidPack(`${fn.name}: launch ${Math.floor(i / 3)} asks for ${n} workgroups`);
      }
      fn.counts[i] = n;
    }
    const { view } = this.memory.block;
    for (const f of fn.fields) view[f.write](f.offset, f.value(env), true);
    fn.computedFor = Array.from(env);
  }

  /**
   * Of these functions, one launch per pipeline: enough to make a driver compile all of them.
   *
   * @param seen pipelines to leave out; those of the launches are added
   */
  sampleOf(functions: readonly Prepared[], seen: Set<GPUComputePipeline>): Prepared[] {
    return functions.map((fn) => {
      const kept = fn.pipelines.flatMap((pipeline, i) => {
        if (seen.has(pipeline)) return [];
        seen.add(pipeline);
        return [i];
      });
      return {
        ...fn,
        pipelines: kept.map((i) => fn.pipelines[i] as GPUComputePipeline),
        bindGroups: kept.map((i) => fn.bindGroups[i] as GPUBindGroup),
        grids: kept.flatMap((i) => fn.grids.slice(3 * i, 3 * i + 3)),
        counts: new Uint32Array(kept.length * 3),
        computedFor: [],
      };
    });
  }

  /**
   * Plays functions, one after another, in one pass and one submit.
   *
   * @param env symbol values of this step
   * @param before encodes what is to be done before the pass
   * @returns resolves with the results, or with nothing when `readback` is undefined
   */
  run(
    functions: readonly Prepared[],
    env: Environment,
    readback?: Readback,
    before?: (encoder: GPUCommandEncoder) => void,
  ): Promise<Uint32Array> | undefined {
    const { device, memory } = this;
    for (const fn of functions) this.#compute(fn, env);
    memory.block.upload(device.queue, memory.blockBuffer, env);
    const encoder = device.createCommandEncoder();
    before?.(encoder);
    const pass = encoder.beginComputePass();
    let current: GPUComputePipeline | undefined;
    let launches = 0;
    for (const { pipelines, bindGroups, counts } of functions) {
      for (let i = 0; i < pipelines.length; i++) {
        const x = counts[3 * i] as number;
        const y = counts[3 * i + 1] as number;
        const z = counts[3 * i + 2] as number;
        if (x * y * z === 0) continue; // a step without outs has no use for the head
        const pipeline = pipelines[i] as GPUComputePipeline;
        if (pipeline !== current) pass.setPipeline(pipeline);
        current = pipeline;
        pass.setBindGroup(0, bindGroups[i] as GPUBindGroup);
        pass.dispatchWorkgroups(x, y, z);
        launches++;
      }
    }
    pass.end();
    const read = readback?.ring.copy(encoder, readback.source, readback.bytes);
    device.queue.submit([encoder.finish()]);
    this.counters.steps++;
    this.counters.launches += launches;
    return read?.();
  }
}
