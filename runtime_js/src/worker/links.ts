/** Ways to engines that other pages use too. Each end sees by a lock that the other is gone. */
import { HostUnsupported, WorkerFailed } from "../errors.js";
import type { Link } from "../peer/link.js";
import { pairLocks } from "../peer/pair_locks.js";
import type { Port } from "./protocol.js";
import type { Joining } from "./shared.js";

/** A service worker is ended after 30 s without an event; messages to its ports are none. */
const STAY_MS = 15_000;

/** A service worker without an engine says nothing at all. */
const GREET_MS = 10_000;

/** To the engine that all tabs of this origin share. @throws HostUnsupported */
export async function sharedWorkerLink(): Promise<Link> {
  if (typeof SharedWorker === "undefined") {
    throw new HostUnsupported(
      "there are no shared workers here: load the engine with worker: true, or in Node with worker: false",
      { host: "shared" },
    );
  }
  let worker: SharedWorker;
  try {
    // Written so that bundlers see it and emit the worker.
    worker = new SharedWorker(new URL("./shared_worker.js", import.meta.url), {
      type: "module",
      name: "webbuild",
    });
  } catch (cause) {
    throw new HostUnsupported(
      `a shared worker can't be started here (${(cause as Error).message}): serve the package from the page's own origin, or load the engine with worker: true`,
      { host: "shared" },
      { cause },
    );
  }
  // Heard from the start: where a policy forbids the worker, it comes at once.
  const failed = new Promise<Error>((resolve) => {
    worker.addEventListener("error", () =>
      resolve(
        new WorkerFailed(
          "the engine's shared worker failed; is shared_worker.js served beside the package's index.js, and allowed by the page's Content-Security-Policy?",
        ),
      ),
    );
  });
  const link = await portLinkTo(worker.port);
  return { ...link, lost: Promise.race([link.lost, failed]) };
}

/** To the engine in a service worker whose script imports service_worker_engine.js. */
export async function serviceWorkerLink(worker: ServiceWorker): Promise<Link> {
  const link = await portLinkTo(worker);
  const staying = setInterval(() => worker.postMessage({ webbuild: "stay" }), STAY_MS);
  let greeting: ReturnType<typeof setTimeout> | undefined;
  const silent = new Promise<Error>((resolve) => {
    const hint = "does its script import this package's service_worker_engine.js?";
    greeting = setTimeout(
      () => resolve(new WorkerFailed(`the service worker does not answer; ${hint}`)),
      GREET_MS,
    );
    link.port.addEventListener("message", () => clearTimeout(greeting));
  });
  return {
    port: link.port,
    lost: Promise.race([link.lost, silent]),
    close() {
      clearInterval(staying);
      clearTimeout(greeting);
      link.close();
    },
  };
}

/** Hands a port in to whoever runs shared_worker.js, or service_worker_engine.js. */
export async function portLinkTo(to: Pick<MessagePort, "postMessage">): Promise<Link> {
  const pair = `webbuild.page.${crypto.randomUUID()}`;
  const locks = await pairLocks(pair, "a");
  const { port1, port2 } = new MessageChannel();
  const lost = new Promise<Error>((resolve) => {
    port1.addEventListener(
      "message",
      async () => {
        await locks.gone();
        resolve(new WorkerFailed("the worker that held the engine has ended: load it again"));
      },
      { once: true },
    );
  });
  to.postMessage({ webbuild: "connect", pair } satisfies Joining, [port2]);
  return {
    port: port1 as Port,
    lost,
    close() {
      locks.release();
      port1.close();
    },
  };
}
