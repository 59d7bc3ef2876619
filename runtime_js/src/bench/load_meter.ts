/**
 * A host that behaves as another one does and measures the parts of a load. Its devices have `timestamp-query` where the
 * adapter knows it.
 */
import type { Host } from "../engine/host.js";
import type { LoadProgress } from "../engine/progress.js";
import { newHasher } from "../store/sha256.js";
import type { Store } from "../store/store.js";
import { Busy } from "./busy.js";
import type { LoadParts } from "./types.js";

export class LoadMeter {
  readonly #fetch = new Busy();
  readonly #store = new Busy();
  readonly #hash = new Busy();
  readonly #upload = new Busy();
  readonly #compile = new Busy();
  readonly #began = performance.now();
  /** When each phase began. */
  readonly #phases = new Map<LoadProgress["phase"], number>();
  #compiled = 0;
  #last: LoadProgress | undefined;
  /** Once the weights have arrived, calls of the queue go straight through. */
  #streamed = false;

  /** Hand this to the load as its listener. */
  progress(progress: LoadProgress): void {
    if (!this.#phases.has(progress.phase)) this.#phases.set(progress.phase, performance.now());
    this.#last = progress;
    this.#streamed ||= this.#phases.has("compile");
  }

  parts(): LoadParts {
    const at = (phase: LoadProgress["phase"]) => this.#phases.get(phase) ?? this.#began;
    const streamed = at("compile");
    return {
      total: at("ready") - this.#began,
      fetch: this.#fetch.total,
      store: this.#store.total,
      hash: this.#hash.total,
      upload: this.#upload.total,
      compile: this.#compile.total,
      warmup: at("ready") - at("warmup"),
      compileTail: Math.max(0, this.#compiled - streamed),
      networkBytes: this.#last?.networkBytes ?? 0,
      cacheBytes: this.#last?.cachedBytes ?? 0,
    };
  }

  host(host: Host): Host {
    return {
      gpu: host.gpu && this.#gpu(host.gpu),
      fetch: async (url, init) => this.#response(await this.#fetch.during(host.fetch(url, init))),
      openStore: async () => {
        const store = await host.openStore();
        return store && this.#measuredStore(store);
      },
      newHasher: async () => {
        const hasher = await newHasher();
        return {
          update: (bytes) => this.#hash.sync(() => hasher.update(bytes)),
          digest: () => this.#hash.sync(() => hasher.digest()),
        };
      },
    };
  }

  #response(response: Response): Response {
    if (!response.body) return response;
    const reader = response.body.getReader();
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        pull: async (controller) => {
          const { done, value } = await this.#fetch.during(reader.read());
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
    const { status, statusText, headers } = response;
    return new Response(body, { status, statusText, headers });
  }

  #measuredStore(store: Store): Store {
    const busy = this.#store;
    return {
      kind: store.kind,
      size: (key) => store.size(key),
      get: (key) => busy.during(store.get(key)),
      read: (key, at, length) => busy.during(store.read(key, at, length)),
      open: async (key) => {
        const reader = await store.open?.(key);
        return (
          reader && {
            size: reader.size,
            read: (into, at) => busy.during(reader.read(into, at)),
            close: () => reader.close(),
          }
        );
      },
      append: async (key, anew) => {
        const appender = await store.append(key, anew);
        return (
          appender && {
            get size() {
              return appender.size;
            },
            append: (bytes) => busy.during(appender.append(bytes)),
            close: () => busy.during(appender.close()),
          }
        );
      },
      remove: (key) => store.remove(key),
      keys: () => store.keys(),
    };
  }

  #gpu(gpu: GPU): GPU {
    const requestAdapter = async (options?: GPURequestAdapterOptions) => {
      const adapter = await gpu.requestAdapter(options);
      if (adapter) {
        override(adapter, "requestDevice", async (original, descriptor = {}) => {
          const features = new Set(descriptor.requiredFeatures);
          if (adapter.features.has("timestamp-query")) features.add("timestamp-query");
          return this.#device(await original({ ...descriptor, requiredFeatures: [...features] }));
        });
      }
      return adapter;
    };
    return { requestAdapter } as GPU;
  }

  #device(device: GPUDevice): GPUDevice {
    override(device, "createComputePipelineAsync", async (original, descriptor) => {
      const pipeline = await this.#compile.during(original(descriptor));
      this.#compiled = performance.now();
      return pipeline;
    });
    override(device, "createBuffer", (original, descriptor) => {
      const buffer = original(descriptor);
      // Of staging memory, which can be mapped again once the GPU has copied it.
      if (descriptor.mappedAtCreation) {
        override(buffer, "mapAsync", (mapAgain, ...args) => this.#upload.during(mapAgain(...args)));
      }
      return buffer;
    });
    const { queue } = device;
    override(queue, "writeBuffer", (original, ...args) =>
      this.#streamed ? original(...args) : this.#upload.sync(() => original(...args)),
    );
    override(queue, "onSubmittedWorkDone", (original) =>
      this.#streamed ? original() : this.#upload.during(original()),
    );
    return device;
  }
}

/** Puts `replacement` in a method's place on this one object. */
export function override<T extends object, K extends keyof T>(
  target: T,
  method: K,
  replacement: T[K] extends (...args: infer A) => infer R
    ? (original: (...args: A) => R, ...args: A) => R
    : never,
): void {
  const original = (target[method] as (...args: unknown[]) => unknown).bind(target);
  const value = (...args: unknown[]) =>
    (replacement as (...args: unknown[]) => unknown)(original, ...args);
  Object.defineProperty(target, method, { value, configurable: true });
}
