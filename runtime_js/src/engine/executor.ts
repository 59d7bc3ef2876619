/** A model on a GPU: everything made at load, and the one verb `step`. */

import type { Tier } from "../generated/program.js";
import type { Device } from "../gpu/device.js";
import { allocate, type Memory } from "../gpu/memory.js";
import { compilePipelines, type Pipeline } from "../gpu/pipelines.js";
import { Player, type Prepared } from "../gpu/player.js";
import { ReadbackRing } from "../gpu/readback.js";
import { tierKernels } from "../gpu/requirements.js";
import type { Symbols } from "../gpu/sizes.js";
import type { Model } from "../program/check.js";
import { type BatchRow, Planner } from "./plan.js";
import { MAX_AHEAD } from "./run_ahead.js";

/** Words per row of `sampled`. */
export const SAMPLED_WORDS = 64;

/** Steps whose results can be under way at once: the run-ahead, and one being read. */
const RING_DEPTH = MAX_AHEAD + 1;

export class Executor {
  #functions: ReadonlyMap<string, Prepared>;
  readonly #player: Player;
  readonly #planner: Planner;
  readonly #ring: ReadbackRing;

  private constructor(
    readonly gpu: Device,
    readonly memory: Memory,
    readonly symbols: Symbols,
    private readonly vocab: number,
    parts: {
      functions: Map<string, Prepared>;
      player: Player;
      ring: ReadbackRing;
      pageSize: number;
    },
  ) {
    this.#functions = parts.functions;
    this.#player = parts.player;
    this.#ring = parts.ring;
    this.#planner = new Planner(
      memory.block,
      symbols,
      parts.pageSize,
      parts.functions.has("decode_split"),
    );
  }

  /**
   * Allocates memory and starts to compile kernels; the weights are still to be written.
   *
   * @returns the memory at once, and `ready` when all is compiled
   */
  static async create(
    gpu: Device,
    model: Model,
    tier: Tier,
    symbols: Symbols,
    vocab: number,
  ): Promise<{ memory: Memory; ready: Promise<Executor> }> {
    const memory = await allocate(gpu.device, model.program, tier, symbols);
    const compiling = compilePipelines(gpu.device, model.kernels, tierKernels(tier));
    const ready = compiling.then((pipelines) => {
      const player = new Player(gpu.device, memory, symbols, gpu.counters);
      const functions = prepareAll(player, tier, pipelines);
      const seqs = symbols.maxima[symbols.index.get("seqs") as number] as number;
      const ring = new ReadbackRing(gpu.device, RING_DEPTH, seqs * SAMPLED_WORDS * 4);
      return new Executor(gpu, memory, symbols, vocab, {
        functions,
        player,
        ring,
        pageSize: model.program.page_size,
      });
    });
    ready.catch(() => {}); // awaited after the weights; a failure before that is not lost
    return { memory, ready };
  }

  has(name: string): boolean {
    return this.#functions.has(name);
  }

  /** Launches of each function. */
  launches(): Record<string, number> {
    return Object.fromEntries([...this.#functions].map(([name, f]) => [name, f.pipelines.length]));
  }

  /** The most new tokens a step takes. */
  get chunk(): number {
    return this.symbols.maxima[this.symbols.index.get("tokens") as number] as number;
  }

  /** Writes the input tokens of a prefill step, rows 0 onward. */
  writeTokens(ids: Int32Array): void {
    this.#write("token_ids", 0, ids);
  }

  /** Sets the additive bias of a sampler slot. */
  writeBias(slot: number, bias: readonly [number, number][]): void {
    const row = new Float32Array(this.vocab);
    for (const [id, value] of bias) row[id] = value;
    this.#write("logit_bias", slot * row.byteLength, row);
  }

  /** Forgets which tokens a sampler slot has generated. */
  clearCounts(slot: number): void {
    this.#write("token_counts", slot * this.vocab * 4, new Uint32Array(this.vocab));
  }

  #write(buffer: string, offset: number, data: Int32Array | Uint32Array | Float32Array): void {
    const target = this.memory.buffers.get(buffer) as GPUBuffer;
    this.gpu.device.queue.writeBuffer(
      target,
      offset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
  }

  /**
   * Submits one step.
   *
   * @param sample what follows the model's own function: nothing, `sample`, or `sample` and `logprobs`
   * @returns rows of `sampled`, 64 words each, once the GPU has them; undefined when nothing is sampled
   */
  step(batch: readonly BatchRow[], sample: readonly string[]): Promise<Uint32Array> | undefined {
    const { kind, env, rows } = this.#planner.plan(batch);
    const functions = [kind, ...sample].map((name) => this.#functions.get(name) as Prepared);
    if (sample.length === 0) {
      this.#player.run(functions, env);
      return undefined;
    }
    const source = this.memory.buffers.get("sampled") as GPUBuffer;
    const bytes = rows * SAMPLED_WORDS * 4;
    return this.#player.run(functions, env, { ring: this.#ring, source, bytes });
  }

  /**
   * Runs every kernel once, so that a driver compiles now what it would compile late. What it computes is of no use; it
   * writes to the pages of `row`'s sequence, which nobody has read.
   *
   * @returns symbol values of this step, which stays in the step block
   */
  async warmUp(row: BatchRow): Promise<number[]> {
    const { env } = this.#planner.plan([row]);
    this.#player.run(this.#player.sampleOf([...this.#functions.values()]), env);
    await this.idle();
    return [...env];
  }

  /** From now on other kernels of the same tier run. No step may be under way. @throws DeviceError */
  async adopt(model: Model, tier: Tier): Promise<void> {
    const pipelines = await compilePipelines(this.gpu.device, model.kernels, tierKernels(tier));
    this.#functions = prepareAll(this.#player, tier, pipelines);
  }

  /** Resolves when the GPU has done everything submitted so far. */
  async idle(): Promise<void> {
    await Promise.race([this.gpu.device.queue.onSubmittedWorkDone(), this.gpu.failed]);
  }
}

function prepareAll(
  player: Player,
  tier: Tier,
  pipelines: ReadonlyMap<string, Pipeline>,
): Map<string, Prepared> {
  const functions = Object.entries(tier.functions);
  return new Map(functions.map(([name, fn]) => [name, player.prepare(name, fn, pipelines)]));
}
