/** A pack measured on this device. */
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { EngineUnloaded } from "../errors.js";
import { type Connection, connectInline, connectWorker } from "../worker/connect.js";
import type { BenchMethods } from "./methods.js";
import type {
  Bandwidth,
  Case,
  Generation,
  LoadReport,
  ProfiledStep,
  ProfileMode,
  StepTraffic,
} from "./types.js";

/** An engine that measures itself, in a worker of its own (in Node, in this thread). */
export class Bench {
  private constructor(private readonly connection: Connection<BenchMethods>) {}

  /** @param gpu outside of browsers: the WebGPU implementation. @throws WorkerFailed, ProtocolMismatch */
  static async open(gpu?: GPU): Promise<Bench> {
    if (gpu) {
      const { serveBenchInline } = await import("./bench_inline.js");
      return new Bench(await connectInline<BenchMethods>(serveBenchInline(gpu)));
    }
    const worker = new Worker(new URL("./bench_worker.js", import.meta.url), { type: "module" });
    const about = {
      what: "the benchmark's worker",
      hint: "is bench_worker.js served beside bench.js?",
    };
    return new Bench(await connectWorker<BenchMethods>(worker, about));
  }

  /** Loads a pack in place of the one before. @throws as `Engine.load` */
  load(
    options: LoadOptions,
    onProgress?: (progress: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<LoadReport> {
    return this.connection.call.load(options, { onEvent: onProgress, signal });
  }

  /** @throws InvalidRequestError for a case that the loaded context does not hold */
  generate(what: Case, signal?: AbortSignal): Promise<Generation> {
    return this.connection.call.generate(what, { signal });
  }

  /** GPU time of a generation's launches, each in a pass of its own, or of its passes. */
  profile(what: Case, mode: ProfileMode, signal?: AbortSignal): Promise<ProfiledStep[]> {
    return this.connection.call.profile({ what, mode }, { signal });
  }

  /** What memory gives: with buffers of `nbytes`, a multiple of 16 MiB, at most 128 MiB. */
  bandwidth(nbytes: number, signal?: AbortSignal): Promise<Bandwidth> {
    return this.connection.call.bandwidth(nbytes, { signal });
  }

  /** Bytes that a decode step of the loaded pack moves at each of these contexts, by count. */
  traffic(contexts: readonly number[], signal?: AbortSignal): Promise<StepTraffic[]> {
    return this.connection.call.traffic(contexts, { signal });
  }

  /** Frees the loaded pack's memory. */
  async unload(): Promise<void> {
    await this.connection.call.unload(null);
  }

  /** Frees all memory and ends the worker, whatever it is doing; calls under way reject with `error`. */
  close(error: Error = new EngineUnloaded("the benchmark is over")): void {
    this.connection.close(error);
  }
}
