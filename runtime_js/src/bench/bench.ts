/** A pack measured on this device. */
import type { LoadOptions } from "../engine/load.js";
import type { LoadProgress } from "../engine/progress.js";
import { EngineUnloaded, WorkerFailed } from "../errors.js";
import { connectClient } from "../worker/client.js";
import type { Port } from "../worker/protocol.js";
import type { BenchMethods } from "./methods.js";
import type {
  Bandwidth,
  Case,
  Generation,
  LoadReport,
  ProfiledStep,
  ProfileMode,
} from "./types.js";

type Calls = {
  [M in keyof BenchMethods]: (
    args: Parameters<BenchMethods[M]>[0],
    options?: {
      signal?: AbortSignal | undefined;
      onEvent?: ((event: Parameters<BenchMethods[M]>[1]) => void) | undefined;
    },
  ) => Promise<ReturnType<BenchMethods[M]>>;
};

/** An engine that measures itself, in a worker of its own (in Node, in this thread). */
export class Bench {
  private constructor(
    private readonly calls: Calls,
    private readonly end: (error: Error) => void,
  ) {}

  /** @param gpu outside of browsers: the WebGPU implementation. @throws WorkerFailed, ProtocolMismatch */
  static async open(gpu?: GPU): Promise<Bench> {
    if (gpu) {
      const { serveBenchInline } = await import("./bench_inline.js");
      const { port, stop } = serveBenchInline(gpu);
      const { call, close } = await connectClient(port, new Promise<never>(() => {}));
      return new Bench(call as unknown as Calls, (error) => {
        close(error);
        stop();
        port.close?.();
      });
    }
    const worker = new Worker(new URL("./bench_worker.js", import.meta.url), { type: "module" });
    const failed = new Promise<never>((_, reject) => {
      worker.addEventListener("error", ({ message }) => {
        const why = message || "is bench_worker.js served beside bench.js?";
        reject(new WorkerFailed(`the benchmark's worker failed: ${why}`));
      });
    });
    try {
      const { call, close } = await connectClient(worker as unknown as Port, failed);
      return new Bench(call as unknown as Calls, (error) => {
        close(error);
        worker.terminate();
      });
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Loads a pack in place of the one before. @throws as `Engine.load` */
  load(
    options: LoadOptions,
    onProgress?: (progress: LoadProgress) => void,
    signal?: AbortSignal,
  ): Promise<LoadReport> {
    return this.calls.load(options, { onEvent: onProgress, signal });
  }

  /** @throws InvalidRequestError for a case that the loaded context does not hold */
  generate(what: Case, signal?: AbortSignal): Promise<Generation> {
    return this.calls.generate(what, { signal });
  }

  /** GPU time of a generation's launches, each in a pass of its own, or of its passes. */
  profile(what: Case, mode: ProfileMode, signal?: AbortSignal): Promise<ProfiledStep[]> {
    return this.calls.profile({ what, mode }, { signal });
  }

  /** What memory gives: with buffers of `nbytes`, a multiple of 16 MiB, at most 128 MiB. */
  bandwidth(nbytes: number, signal?: AbortSignal): Promise<Bandwidth> {
    return this.calls.bandwidth(nbytes, { signal });
  }

  /** Frees all memory and ends the worker. */
  close(): void {
    this.end(new EngineUnloaded("the benchmark is over"));
  }
}
