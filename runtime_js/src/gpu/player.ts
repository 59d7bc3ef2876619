/**
 * The player: launch lists become arrays of {pipeline, bind group, grid} at load; a step is one loop in one compute pass
 * and one submit. Per step it creates no buffer and no bind group, looks up no name, and writes one buffer.
 */
import { InvalidPack } from "../errors.js";
import type { Expr, Few, ProgramFunction } from "../generated/program.js";
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

/** A kernel that takes a launch's place in steps of `least` to `most` rows, once it is ready. */
interface FewPlanned extends Pick<Few, "rows" | "least" | "most" | "kernel"> {
  /** The symbol that counts the rows. */
  symbol: number;
  grid: Evaluate[];
}

/** What of a function needs no pipeline. */
export interface Planned {
  name: string;
  /** Three per launch. */
  grids: Evaluate[];
  /** Of each launch; launches share entries. */
  few: (readonly FewPlanned[])[];
  fields: Field[];
}

/** One function of the program, ready to play. */
export interface Prepared extends Planned {
  /** Of the launches' own kernels. */
  own: GPUComputePipeline[];
  /** Of those of their kernels for few rows that are ready. */
  fewPipelines: ReadonlyMap<string, GPUComputePipeline>;
  bindGroups: GPUBindGroup[];
  /** What the last symbol values mean: a pipeline and a grid of three for each launch, and the uniform blocks. */
  pipelines: GPUComputePipeline[];
  counts: Uint32Array;
  computedFor: number[];
}

/** Where a step's results go. */
export interface Readback {
  ring: ReadbackRing;
  source: GPUBuffer;
  bytes: number;
}

/** Encodes commands beside a step's pass. */
export type Encode = (encoder: GPUCommandEncoder) => void;

/** What is done before the pass, and after it; results are read then. */
export interface Around {
  before?: Encode | undefined;
  after?: Encode | undefined;
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
    const { index, maxima } = this.symbols;
    const compile = (e: Expr) => compileExpression(e, index);
    const table = fn.few.map((entry) =>
      entry
        .map(({ rows, least, most, kernel, grid }): FewPlanned => {
          const symbol = index.get(rows) as number;
          return { rows, least, most, kernel, symbol, grid: grid.map(compile) };
        })
        .filter(({ symbol, least }) => least <= (maxima[symbol] as number)),
    );
    const planned: Planned = {
      name,
      grids: fn.launches.flatMap((launch) => launch.grid.map(compile)),
      few: fn.launches.map(({ few }) => (few === null ? [] : (table[few] ?? []))),
      fields: fn.params.flatMap((block, b) =>
        block.map(
          (p, i): Field => ({
            offset: (offsets[b] as number) + 4 * i,
            write: p.dtype === "f32" ? "setFloat32" : p.dtype === "i32" ? "setInt32" : "setUint32",
            value: compile(p.value),
          }),
        ),
      ),
    };
    planned.grids.forEach((grid, i) => {
      workgroups(name, i / 3, grid, maxima); // a grid that is too large fails at load
    });
    planned.few.forEach((entry, i) => {
      for (const { grid } of entry) for (const size of grid) workgroups(name, i, size, maxima);
    });
    return planned;
  }

  /** Makes all bind groups of a function. @param fewPipelines may still grow */
  bind(
    planned: Planned,
    fn: ProgramFunction,
    pipelines: ReadonlyMap<string, Pipeline>,
    fewPipelines: ReadonlyMap<string, GPUComputePipeline>,
  ): Prepared {
    const offsets = this.memory.block.layout.params.get(planned.name) ?? [];
    const own: GPUComputePipeline[] = [];
    const bindGroups: GPUBindGroup[] = [];
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
      own.push(pipeline);
      bindGroups.push(this.device.createBindGroup({ label: launch.label, layout, entries }));
    }
    return ready({ ...planned, own, fewPipelines, bindGroups });
  }

  /** Pipelines, grids and uniform blocks for new symbol values; nothing to do in a run of decode steps. */
  #compute(fn: Prepared, env: Environment): void {
    const { computedFor, grids, counts } = fn;
    let same = computedFor.length === env.length;
    for (let i = 0; same && i < env.length; i++) same = computedFor[i] === env[i];
    if (same) return;
    for (let i = 0; i < fn.own.length; i++) {
      const few = fewFor(fn.few[i] as readonly FewPlanned[], env);
      const ready = few && fn.fewPipelines.get(few.kernel);
      fn.pipelines[i] = ready ?? (fn.own[i] as GPUComputePipeline);
      for (let d = 0; d < 3; d++) {
        const grid = (ready ? few.grid[d] : grids[3 * i + d]) as Evaluate;
        counts[3 * i + d] = workgroups(fn.name, i, grid, env);
      }
    }
    const { view } = this.memory.block;
    for (const f of fn.fields) view[f.write](f.offset, f.value(env), true);
    for (let i = 0; i < env.length; i++) computedFor[i] = env[i] as number;
  }

  /**
   * Of these functions, one launch per pipeline: enough to make a driver compile all of them. Their uniform blocks are the
   * functions' own, which so have to write them again.
   *
   * @param seen pipelines to leave out; those of the launches are added
   */
  sampleOf(functions: readonly Prepared[], seen: Set<GPUComputePipeline>): Prepared[] {
    return functions.map((fn) => {
      const own: GPUComputePipeline[] = [];
      const bindGroups: GPUBindGroup[] = [];
      const grids: Evaluate[] = [];
      const add = (i: number, pipeline: GPUComputePipeline | undefined, grid: Evaluate[]) => {
        if (!pipeline || seen.has(pipeline)) return;
        seen.add(pipeline);
        own.push(pipeline);
        bindGroups.push(fn.bindGroups[i] as GPUBindGroup);
        grids.push(...grid);
      };
      fn.own.forEach((pipeline, i) => {
        add(i, pipeline, fn.grids.slice(3 * i, 3 * i + 3));
        for (const { kernel, grid } of fn.few[i] ?? []) add(i, fn.fewPipelines.get(kernel), grid);
      });
      fn.computedFor.length = 0;
      return ready({ ...fn, own, bindGroups, grids, few: own.map(() => []) });
    });
  }

  /**
   * Plays functions, one after another, in one pass and one submit.
   *
   * @param env symbol values of this step
   * @returns resolves with the results, or with nothing when `readback` is undefined
   */
  run(
    functions: readonly Prepared[],
    env: Environment,
    readback?: Readback,
    around?: Around,
  ): Promise<Uint32Array> | undefined {
    this.upload(functions, env);
    return this.submit(functions, readback, around);
  }

  /** Writes what a step of these functions reads. @param env symbol values of this step */
  upload(functions: readonly Prepared[], env: Environment): void {
    const { device, memory } = this;
    for (const fn of functions) this.#compute(fn, env);
    memory.block.upload(device.queue, memory.blockBuffer, env);
    this.counters.steps++;
  }

  /**
   * Plays functions of the step that was uploaded last, in one pass and one submit.
   *
   * @returns resolves with the results, or with nothing when `readback` is undefined
   */
  submit(
    functions: readonly Prepared[],
    readback?: Readback,
    { before, after }: Around = {},
  ): Promise<Uint32Array> | undefined {
    const { device } = this;
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
    after?.(encoder);
    const read = readback?.ring.copy(encoder, readback.source, readback.bytes);
    device.queue.submit([encoder.finish()]);
    this.counters.launches += launches;
    return read?.();
  }
}

/** A function before its first step. */
const ready = (fn: Omit<Prepared, "pipelines" | "counts" | "computedFor">): Prepared => ({
  ...fn,
  pipelines: [...fn.own],
  counts: new Uint32Array(fn.own.length * 3),
  computedFor: [],
});

/** What takes a launch's place in a step with these symbol values. */
function fewFor(entry: readonly FewPlanned[], env: Environment): FewPlanned | undefined {
  for (const few of entry) {
    const rows = env[few.symbol] as number;
    if (few.least <= rows && rows <= few.most) return few;
  }
  return undefined;
}

function workgroups(name: string, launch: number, grid: Evaluate, env: Environment): number {
  const n = grid(env);
  if (n >= 0 && n <= MAX_GRID) return n;
  throw new InvalidPack(`${name}: launch ${Math.floor(launch)} asks for ${n} workgroups`);
}
