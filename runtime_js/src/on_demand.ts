/** Code that not every engine needs: files of their own in the built package, but for service workers. */
import { HostUnsupported } from "./errors.js";

/**
 * @param chunk the `import()`, written out, so that bundlers see it
 * @throws HostUnsupported in a service worker, unless its script is the one that has everything
 */
export async function onDemand<T>(chunk: () => Promise<T>): Promise<T> {
  try {
    return await chunk();
  } catch (cause) {
    if (!("ServiceWorkerGlobalScope" in globalThis)) throw cause;
    throw new HostUnsupported(
      "service workers can't load code on demand: import this package's service_worker_engine.js there, not shared_worker.js",
      { host: "service worker" },
      { cause },
    );
  }
}
