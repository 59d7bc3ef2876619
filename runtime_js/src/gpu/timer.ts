/** GPU time of dispatches, taken in turns, so that a machine's moods hit all candidates alike. */
import { throwIfAborted } from "../errors.js";
import { COPY_DST, COPY_SRC, MAP_READ, MODE_READ, QUERY_RESOLVE } from "./flags.js";

/** One dispatch. */
export interface Run {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: readonly [number, number, number];
}

/** Milliseconds of one dispatch: the least and the median of many. */
export interface Took {
  least: number;
  median: number;
}

export interface TurnOptions {
  /** Samples of each run. */
  samples: number;
  /** A sample is at least this long; shorter ones measure the way to the GPU and back. */
  leastMs: number;
  /** `performance.now()` after which no further turn begins; there is always one. */
  deadline?: number;
  signal?: AbortSignal;
}

const MOST_REPEATS = 4096;

/** @returns the time of each run, in their order @throws AbortError */
export async function takeTurns(
  device: GPUDevice,
  runs: readonly Run[],
  { samples, leastMs, deadline = Number.POSITIVE_INFINITY, signal }: TurnOptions,
): Promise<Took[]> {
  const [first] = runs;
  if (!first) return [];
  const timer = new Timer(device);
  try {
    await timer.take(first, 1); // drivers compile late
    let repeats = 1;
    while (repeats < MOST_REPEATS && (await timer.take(first, repeats)) < leastMs) {
      throwIfAborted(signal);
      repeats *= 2;
    }
    const taken: number[][] = runs.map(() => []);
    for (let i = 0; i < samples && (i === 0 || performance.now() < deadline); i++) {
      for (const [j, run] of runs.entries()) {
        throwIfAborted(signal);
        taken[j]?.push((await timer.take(run, repeats)) / repeats);
      }
    }
    return taken.map((times) => {
      times.sort((a, b) => a - b);
      return { least: times[0] as number, median: times[times.length >> 1] as number };
    });
  } finally {
    timer.destroy();
  }
}

/** By timestamps where the device has them, else from submit to done. */
class Timer {
  readonly #queries: GPUQuerySet | undefined;
  readonly #resolved: GPUBuffer | undefined;
  readonly #read: GPUBuffer | undefined;

  constructor(private readonly device: GPUDevice) {
    if (!device.features.has("timestamp-query")) return;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 });
    this.#resolved = device.createBuffer({ size: 16, usage: QUERY_RESOLVE | COPY_SRC });
    this.#read = device.createBuffer({ size: 16, usage: MAP_READ | COPY_DST });
  }

  /** Milliseconds of `repeats` dispatches. */
  async take({ pipeline, bindGroup, grid }: Run, repeats: number): Promise<number> {
    const { device } = this;
    const began = performance.now();
    const encoder = device.createCommandEncoder();
    const querySet = this.#queries;
    const stamps = { beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass(
      querySet ? { timestampWrites: { querySet, ...stamps } } : {},
    );
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(...grid);
    pass.end();
    if (!querySet || !this.#resolved || !this.#read) {
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      return performance.now() - began;
    }
    encoder.resolveQuerySet(querySet, 0, 2, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#read, 0, 16);
    device.queue.submit([encoder.finish()]);
    await this.#read.mapAsync(MODE_READ);
    const [begin, end] = new BigUint64Array(this.#read.getMappedRange().slice(0));
    this.#read.unmap();
    return Number((end as bigint) - (begin as bigint)) / 1e6;
  }

  destroy(): void {
    this.#queries?.destroy();
    this.#resolved?.destroy();
    this.#read?.destroy();
  }
}

/** The largest difference of two results, relative to the largest value; Infinity where one is not finite. */
export function difference(got: Float32Array, want: Float32Array): number {
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const [a, b] = [got[i] as number, want[i] as number];
    if (!Number.isFinite(a) || !Number.isFinite(b)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(b));
    worst = Math.max(worst, Math.abs(a - b));
  }
  return worst / (largest || 1);
}

/** The largest difference of a right kernel: sums in another order. */
export const TOLERANCE = 1e-4;
