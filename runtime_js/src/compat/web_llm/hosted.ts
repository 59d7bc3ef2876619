/**
 * Engines in the page's own workers. The worker's handler makes an engine for each model and hands the page one end of its
 * channel, so that all further messages are this package's own.
 */
import { Engine, type EngineOptions, Unsupported, WorkerFailed } from "../../index.js";
import type { ChatOptions } from "./config.js";
import { MLCEngine } from "./engine.js";
import type { MLCEngineConfig } from "./types.js";

/** From the page: makes or frees an engine. */
type Ask = { webbuild: "host" | "free"; id: string };
/** From the worker. */
type Told =
  | { webbuild: "hosted"; id: string; port: MessagePort }
  | { webbuild: "failed"; id: string; problem: string };

/** Where a worker's messages come from and go to. */
export interface Hosting {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEvent) => void): void;
}

/** Serves engines from a dedicated worker. */
export class WebWorkerMLCEngineHandler {
  readonly #engines = new Map<string, () => void>();

  /** Hand it the worker's messages: `self.onmessage = (event) => handler.onmessage(event)`; those of others are left alone. */
  onmessage(event: { data: unknown }): void {
    this.handle(event.data, (message, transfer) =>
      (globalThis as unknown as Worker).postMessage(message, transfer),
    );
  }

  protected handle(data: unknown, reply: (told: Told, transfer: Transferable[]) => void): void {
    const ask = data as Partial<Ask> | null;
    const id = ask?.id;
    if (id === undefined) return;
    if (ask?.webbuild === "host") {
      this.#host(id).then(
        (port) => reply({ webbuild: "hosted", id, port }, [port]),
        (error: unknown) => reply({ webbuild: "failed", id, problem: String(error) }, []),
      );
    } else if (ask?.webbuild === "free") {
      this.#engines.get(id)?.();
      this.#engines.delete(id);
    }
  }

  async #host(id: string): Promise<MessagePort> {
    const { serveInline } = await import("../../worker/inline.js");
    const { port, stop } = serveInline(globalThis.navigator?.gpu);
    this.#engines.set(id, stop);
    return port as MessagePort;
  }
}

/** An engine's channel, in the shape of a worker of its own. */
class HostedWorker {
  constructor(
    private readonly hosting: Hosting,
    private readonly id: string,
    private readonly port: MessagePort,
  ) {}

  /** @throws WorkerFailed */
  static async of(hosting: Hosting): Promise<HostedWorker> {
    const id = crypto.randomUUID();
    const port = await new Promise<MessagePort>((resolve, reject) => {
      const onMessage = ({ data }: MessageEvent) => {
        const told = data as Partial<Told & { port: MessagePort; problem: string }> | null;
        if (told?.id !== id) return;
        hosting.removeEventListener("message", onMessage);
        if (told.port) resolve(told.port);
        else reject(new WorkerFailed(`the worker can't make an engine: ${told.problem}`));
      };
      hosting.addEventListener("message", onMessage);
      hosting.addEventListener("error", ({ message }) =>
        reject(new WorkerFailed(`the worker failed${message ? `: ${message}` : ""}`)),
      );
      hosting.postMessage({ webbuild: "host", id } satisfies Ask);
    });
    return new HostedWorker(hosting, id, port);
  }

  postMessage(message: unknown, transfer: Transferable[] = []): void {
    this.port.postMessage(message, transfer);
  }

  addEventListener(type: "message" | "error", listener: (event: Event) => void): void {
    if (type === "error") {
      this.hosting.addEventListener(type, listener);
    } else {
      this.port.addEventListener(type, listener);
      this.port.start();
    }
  }

  /** Frees the engine; the worker is the page's, and stays. */
  terminate(): void {
    this.hosting.postMessage({ webbuild: "free", id: this.id } satisfies Ask);
    this.port.close();
  }
}

/** An engine whose models run in a worker of the page's, which has a {@link WebWorkerMLCEngineHandler}. */
export class WebWorkerMLCEngine extends MLCEngine {
  constructor(
    readonly worker: Hosting,
    engineConfig?: MLCEngineConfig,
  ) {
    super(engineConfig);
  }

  protected override async load(url: string, options: EngineOptions): Promise<Engine> {
    const worker = (await HostedWorker.of(this.worker)) as unknown as Worker;
    return Engine.load(url, { ...options, worker });
  }
}

/**
 * Loads a model, or several, in a worker of the page's.
 *
 * @throws as {@link CreateMLCEngine}, and WorkerFailed
 */
export async function CreateWebWorkerMLCEngine(
  worker: Hosting,
  modelId: string | string[],
  engineConfig?: MLCEngineConfig,
  chatOpts?: ChatOptions | ChatOptions[],
): Promise<WebWorkerMLCEngine> {
  const engine = new WebWorkerMLCEngine(worker, engineConfig);
  await engine.reload(modelId, chatOpts);
  return engine;
}

/** An engine whose models run in this page's service worker, which all tabs of its scope share. */
export class ServiceWorkerMLCEngine extends MLCEngine {
  protected override async load(url: string, options: EngineOptions): Promise<Engine> {
    const container = globalThis.navigator?.serviceWorker;
    if (!container) {
      throw new Unsupported("there are no service workers here: use CreateMLCEngine", {
        method: "CreateServiceWorkerMLCEngine",
      });
    }
    const { active } = await container.ready;
    return Engine.load(url, { ...options, worker: active as ServiceWorker });
  }
}

/**
 * Loads a model, or several, in this page's service worker, once that is active.
 *
 * @throws as {@link CreateMLCEngine}, Unsupported, and WorkerFailed
 */
export async function CreateServiceWorkerMLCEngine(
  modelId: string | string[],
  engineConfig?: MLCEngineConfig,
  chatOpts?: ChatOptions | ChatOptions[],
): Promise<ServiceWorkerMLCEngine> {
  const engine = new ServiceWorkerMLCEngine(engineConfig);
  await engine.reload(modelId, chatOpts);
  return engine;
}
