/** The page's side of the service worker: makes its `fetch("/v1/…")`, and those of its origin's other pages, reach an engine here. */
import { ServiceWorkerFailed } from "../errors.js";
import type { Engines } from "./engines.js";
import { type AskMessage, serveRequests } from "./exchange.js";
import { createFetch, type Fetch, type FetchOptions } from "./fetch.js";
import type { PageMessage, Question } from "./service_worker.js";

export interface ServeV1Options extends Omit<FetchOptions, "path"> {
  /**
   * Where the package's service-worker.js is, on the page's own origin. Default `service-worker.js` beside the page.
   * A worker of your own that imports it will do.
   */
  script?: string | URL | undefined;
  /** Of the script. Default `classic`, which all browsers take; a worker of your own with `import` is a `module`. */
  type?: WorkerType | undefined;
  /** The pages whose requests are answered: those below this path. Default: the script's folder, which it can't be above. */
  scope?: string | undefined;
  /** Where the API is, below the scope. Default `v1/`. */
  path?: string | undefined;
}

export interface ServedV1 {
  /** For clients, such as `https://example.org/v1`. */
  readonly baseURL: string;
  /** Stays in the browser when this page goes; `registration.unregister()` removes it for all pages. */
  readonly registration: ServiceWorkerRegistration;
  /** This page answers no more; what is under way ends. */
  close(): void;
}

/** Milliseconds between two signs of life to the service worker while an answer is under way; it may be ended without any. */
const AWAKE_MS = 10_000;

/**
 * Registers the package's service worker and answers the requests that it gets, as long as this page lives. Other pages in its scope may do
 * the same: each is answered by its own engine if it has one, else by any.
 *
 * @example
 * const { baseURL } = await serveV1(engine);
 * const client = new OpenAI({ baseURL, apiKey: "none", dangerouslyAllowBrowser: true });
 * @throws ServiceWorkerFailed
 */
export async function serveV1(engines: Engines, options: ServeV1Options = {}): Promise<ServedV1> {
  const { script = "service-worker.js", type = "classic", scope, path = "v1/", ...rest } = options;
  const container = globalThis.navigator?.serviceWorker;
  if (!container) {
    throw new ServiceWorkerFailed(
      "this page has no service workers: serve it over https or from localhost, not in a private window",
    );
  }
  const url = new URL(script, document.baseURI);
  const below = path.replace(/^\/+/, "").replace(/\/*$/, "/");
  if (below !== "v1/") url.searchParams.set("path", below);
  const registration = await register(container, url, {
    type,
    updateViaCache: "none",
    ...(scope === undefined ? {} : { scope }),
  });
  const base = new URL(below, registration.scope).href;
  const fetch = createFetch(engines, { ...rest, path: new URL(base).pathname });

  const closing = new AbortController();
  const onMessage = ({ data, ports, source }: MessageEvent) => {
    const [port] = ports;
    if ((data as Question | null)?.webbuild === "v1" && data.path === base && port) {
      answerAt(port, fetch, source as ServiceWorker, closing.signal);
    }
  };
  container.addEventListener("message", onMessage, { signal: closing.signal });
  container.startMessages();
  await controlled(container, registration);
  return {
    baseURL: base.replace(/\/$/, ""),
    registration,
    close: () => closing.abort(),
  };
}

/** @throws ServiceWorkerFailed */
async function register(
  container: ServiceWorkerContainer,
  url: URL,
  options: RegistrationOptions,
): Promise<ServiceWorkerRegistration> {
  try {
    return await container.register(url, options);
  } catch (cause) {
    throw new ServiceWorkerFailed(
      `${url.href} can't be this page's service worker: ${(cause as Error).message}. Copy the package's service-worker.js to this ` +
        "origin, into the folder that is the scope, or above it, and name it in `script`",
      { script: url.href },
      { cause },
    );
  }
}

/** Resolves once there is a worker that this page's requests go to; at once if the page is outside of its scope. */
async function controlled(
  container: ServiceWorkerContainer,
  registration: ServiceWorkerRegistration,
): Promise<void> {
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  if (!worker) return;
  await new Promise<void>((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") {
        reject(new ServiceWorkerFailed("the service worker could not be installed"));
      }
    };
    worker.addEventListener("statechange", look);
    look();
  });
  if (!location.href.startsWith(registration.scope) || container.controller) return;
  const changed = new Promise((resolve) => {
    container.addEventListener("controllerchange", resolve, { once: true });
  });
  // A page that was loaded around its worker (by a forced reload) or before it.
  worker.postMessage({ webbuild: "claim" } satisfies PageMessage);
  await changed;
}

/** Answers the request that comes at a port, if one does. */
function answerAt(port: MessagePort, fetch: Fetch, worker: ServiceWorker, closing: AbortSignal) {
  let awake: ReturnType<typeof setInterval> | undefined;
  const over = () => {
    clearInterval(awake);
    closing.removeEventListener("abort", over);
    end();
    port.close();
  };
  const end = serveRequests(
    {
      send(message) {
        port.postMessage(message);
        if ("end" in message || "error" in message) over();
      },
      listen(listener) {
        port.onmessage = ({ data }: MessageEvent<AskMessage>) => {
          listener(data);
          if ("cancel" in data) return over();
          const tell = () => worker.postMessage({ webbuild: "awake" } satisfies PageMessage);
          awake = setInterval(tell, AWAKE_MS);
        };
      },
    },
    fetch,
    { early: true }, // Chromium tells a worker only of bodies that nobody reads on
  );
  port.addEventListener("close", over); // in browsers that tell: the worker was ended
  closing.addEventListener("abort", over);
  port.postMessage(null); // here is an engine
}
