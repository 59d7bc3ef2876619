/** Starts an engine somewhere, a worker unless told otherwise, and connects to it. */
import {
  fromWire,
  InvalidRequestError,
  rejectOnAbort,
  type WireError,
  WorkerFailed,
} from "../errors.js";
import type { Link } from "../peer/link.js";
import { type Calls, connectClient } from "./client.js";
import type { MethodMap, Methods, Port } from "./protocol.js";

export interface ConnectOptions {
  /**
   * Where the engine is. true, the default where there are workers: a worker of its own. false: this thread. "shared": one
   * worker for all tabs of this origin. A Worker: one that runs this package's worker.js. A ServiceWorker whose script imports
   * service_worker_engine.js. Or a function that leads to an engine elsewhere, such as `connectExtension()`. See docs/hosts.md.
   */
  worker?: boolean | "shared" | Worker | ServiceWorker | (() => Promise<Link>) | undefined;
  /** The WebGPU implementation when not in a worker; default `navigator.gpu`. */
  gpu?: GPU | undefined;
}

export interface Connection<M extends MethodMap = Methods> {
  call: Calls<M>;
  /** Ends the engine; everything under way rejects with `error`. */
  close(error: Error): void;
}

/** @throws WorkerFailed, ProtocolMismatch, HostUnsupported, AbortError */
export async function connect(
  { worker, gpu }: ConnectOptions,
  signal?: AbortSignal,
): Promise<Connection> {
  if (!signal) return connectTo(worker, gpu);
  const aborted = rejectOnAbort(signal);
  try {
    return await connectTo(worker, gpu, aborted.promise);
  } finally {
    aborted.dispose();
  }
}

/** @param given rejects when nobody waits for the greeting any more */
async function connectTo(
  worker: ConnectOptions["worker"],
  gpu: GPU | undefined,
  given?: Promise<never>,
): Promise<Connection> {
  const inWorker = worker ?? (gpu === undefined && typeof Worker !== "undefined");
  if (inWorker === false) {
    const { serveInline } = await import("./inline.js");
    return connectInline(serveInline(gpu ?? globalThis.navigator?.gpu));
  }
  const link = linkTo(inWorker);
  if (link) return connectLink(link.catch(ours), given);
  const about = {
    what: "the engine's worker",
    hint: "is worker.js served beside the package's index.js?",
  };
  return connectWorker(inWorker === true ? startWorker() : (inWorker as Worker), about, given);
}

/** The way to an engine that others may use too; undefined for one of the page's own. */
function linkTo(worker: ConnectOptions["worker"]): Promise<Link> | undefined {
  if (typeof worker === "function") return worker();
  if (worker === "shared") return import("./links.js").then((links) => links.sharedWorkerLink());
  if (typeof worker === "string") {
    throw new InvalidRequestError(`worker must be "shared", not "${worker}"`, { param: "worker" });
  }
  if (typeof ServiceWorker === "undefined" || !(worker instanceof ServiceWorker)) return undefined;
  return import("./links.js").then((links) => links.serviceWorkerLink(worker));
}

/** Connects to a worker that serves `M`, and ends it with the connection. @throws WorkerFailed, ProtocolMismatch */
export async function connectWorker<M extends MethodMap = Methods>(
  worker: Worker,
  { what, hint }: { what: string; hint: string },
  given?: Promise<never>,
): Promise<Connection<M>> {
  let reject: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, no) => {
    reject = no;
  });
  worker.addEventListener("error", ({ message }) => {
    reject(new WorkerFailed(`${what} failed${message ? `: ${message}` : `; ${hint}`}`));
    worker.terminate(); // what it holds is of no use any more
  });
  try {
    const client = connectClient<M>(worker as unknown as Port, failed);
    const { call, close } = await unless(given, client);
    return {
      call,
      close(error) {
        close(error);
        worker.terminate();
      },
    };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}

/** Connects to an engine that others may use too: the connection's end is not the engine's. */
async function connectLink(linking: Promise<Link>, given?: Promise<never>): Promise<Connection> {
  const {
    port,
    lost,
    close: leave,
  } = await unless(given, linking).catch((error: unknown) => {
    linking.then(
      (late) => late.close(),
      () => {},
    );
    throw error;
  });
  const failed = lost.then(ours);
  try {
    const { call, close } = await unless(given, connectClient(port, failed));
    return {
      call,
      close(error) {
        close(error);
        leave();
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
}

const unless = <T>(given: Promise<never> | undefined, work: Promise<T>): Promise<T> =>
  given ? Promise.race([work, given]) : work;

/** Links come from bundles with classes of their own. @throws the error, as one of this bundle's */
function ours(error: unknown): never {
  const { name, message, data = {}, stack } = error as WireError;
  throw fromWire({ name, message, data, ...(stack === undefined ? {} : { stack }) });
}

/** Connects to what serves `M` in this thread, and ends it with the connection. */
export async function connectInline<M extends MethodMap = Methods>(served: {
  port: Port;
  stop: () => void;
}): Promise<Connection<M>> {
  const { call, close } = await connectClient<M>(served.port, new Promise<never>(() => {}));
  return {
    call,
    close(error) {
      close(error);
      served.stop(); // its device goes with it, as a worker's does
      served.port.close?.();
    },
  };
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
