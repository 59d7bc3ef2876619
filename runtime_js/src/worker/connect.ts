/** Starts an engine somewhere, a worker unless told otherwise, and connects to it. */
import { WorkerFailed } from "../errors.js";
import { type Calls, connectClient } from "./client.js";
import type { Port } from "./protocol.js";

export interface ConnectOptions {
  /** false: in this thread. A Worker: one that runs this package's worker.js. Default: a new worker where there are any. */
  worker?: boolean | Worker | undefined;
  /** The WebGPU implementation when not in a worker; default `navigator.gpu`. */
  gpu?: GPU | undefined;
}

export interface Connection {
  call: Calls;
  /** Ends the engine; everything under way rejects with `error`. */
  close(error: Error): void;
}

/** @throws WorkerFailed, ProtocolMismatch */
export async function connect({ worker, gpu }: ConnectOptions): Promise<Connection> {
  const inWorker = worker ?? (gpu === undefined && typeof Worker !== "undefined");
  if (inWorker === false) return connectInline(gpu);
  const started = inWorker === true ? startWorker() : inWorker;
  let reject: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, no) => {
    reject = no;
  });
  started.addEventListener("error", (event) => {
    const why = event.message
      ? `: ${event.message}`
      : "; is worker.js served beside the package's index.js?";
    reject(new WorkerFailed(`the engine's worker failed${why}`));
  });
  try {
    const { call, close } = await connectClient(started as unknown as Port, failed);
    return {
      call,
      close(error) {
        close(error);
        started.terminate();
      },
    };
  } catch (error) {
    started.terminate();
    throw error;
  }
}

function startWorker(): Worker {
  try {
    // Written so that bundlers see it and emit the worker.
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  } catch {
    // From another origin (a CDN) a worker must be started from a script of the page's own origin.
    const code = `import ${JSON.stringify(new URL("./worker.js", import.meta.url).href)};`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    return new Worker(url, { type: "module" });
  }
}

async function connectInline(gpu: GPU | undefined): Promise<Connection> {
  const { serveInline } = await import("./inline.js");
  const { port, stop } = serveInline(gpu ?? globalThis.navigator?.gpu);
  const { call, close } = await connectClient(port, new Promise<never>(() => {}));
  return {
    call,
    close(error) {
      close(error);
      stop(); // its device goes with it, as a worker's does
      port.close?.();
    },
  };
}
