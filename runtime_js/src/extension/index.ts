/**
 * `webbuild/extension`: one engine for all of an extension, in its offscreen document, which lives as long as the extension;
 * its service worker may sleep meanwhile.
 */
import { HostUnsupported, WorkerFailed } from "../errors.js";
import type { Link } from "../peer/link.js";
import { portLinkTo } from "../worker/links.js";
import { extensionApi, type Offscreen, type Runtime, type RuntimePort } from "./chrome.js";
import { protocolPort } from "./runtime_port.js";

/** Ports of this name are ours. */
const NAME = "webbuild";
/** Asks the extension's service worker for the offscreen document. */
const WAKE = { webbuild: "wake" };
/** A message to a port within 30 s keeps an extension's service worker alive. */
const STAY_MS = 20_000;
const STAY = { webbuild: "stay" };

const isWake = (message: unknown) => (message as typeof WAKE | null)?.webbuild === WAKE.webbuild;

/**
 * In the extension's service worker: makes the offscreen document now, and again whenever somebody wants to connect and it
 * is gone. The manifest needs the permission "offscreen".
 *
 * @param page of the extension; its script calls {@link serveExtension}
 * @throws HostUnsupported
 */
export function keepOffscreen(page: string): void {
  const { runtime, offscreen } = api();
  if (!offscreen) {
    throw new HostUnsupported(
      'there is no chrome.offscreen: ask for the permission "offscreen", and call keepOffscreen in the service worker',
      { host: "extension" },
    );
  }
  let making: Promise<void> | undefined;
  const make = () => {
    making ??= ensure(offscreen, page).finally(() => {
      making = undefined;
    });
    return making;
  };
  const onMessage = (message: unknown, _: unknown, answer: (answer: unknown) => void) => {
    if (!isWake(message)) return undefined;
    make().then(
      () => answer(null),
      (error: Error) => answer(error.message),
    );
    return true as const;
  };
  runtime.onMessage.addListener(onMessage);
  runtime.onMessageExternal?.addListener(onMessage);
  make().catch((error: Error) => console.error(error.message)); // whoever connects tries again
}

async function ensure(offscreen: Offscreen, url: string): Promise<void> {
  if (await offscreen.hasDocument()) return;
  await offscreen.createDocument({
    url,
    reasons: ["WORKERS"],
    justification: "a language model runs in a worker",
  });
}

/**
 * In the offscreen document: serves the engine to the extension's pages and content scripts, and to web pages that the
 * manifest's `externally_connectable` lets in. It runs in a worker that begins here.
 *
 * @returns ends it
 * @throws HostUnsupported
 */
export function serveExtension(): () => void {
  const { runtime } = api();
  if (typeof Worker === "undefined") {
    throw new HostUnsupported(
      "a service worker can't start the engine's worker: call serveExtension in an offscreen document, see keepOffscreen",
      { host: "extension" },
    );
  }
  // Written so that bundlers see it and emit the worker.
  const worker = new Worker(new URL("./shared_worker.js", import.meta.url), { type: "module" });
  const ports = new Set<RuntimePort>();
  const onConnect = (port: RuntimePort) => {
    if (port.name === NAME) void pipe(port, worker, ports);
  };
  runtime.onConnect.addListener(onConnect);
  runtime.onConnectExternal?.addListener(onConnect);
  return () => {
    runtime.onConnect.removeListener(onConnect);
    runtime.onConnectExternal?.removeListener(onConnect);
    for (const port of ports) port.disconnect();
    worker.terminate();
  };
}

/** Carries messages between a port of the extension and the worker, until one of them has ended. */
async function pipe(port: RuntimePort, worker: Worker, ports: Set<RuntimePort>): Promise<void> {
  const early: unknown[] = [];
  let toWorker = (message: unknown): void => {
    early.push(message);
  };
  let ended = false;
  let end = (): void => {
    ended = true;
  };
  ports.add(port);
  port.onMessage.addListener((message) => {
    if ((message as typeof STAY | null)?.webbuild !== STAY.webbuild) toWorker(message);
  });
  port.onDisconnect.addListener(() => {
    ports.delete(port);
    end();
  });
  const link = await portLinkTo(worker);
  if (ended) return link.close();
  end = () => link.close();
  link.port.addEventListener("message", ({ data }) => port.postMessage(data));
  link.port.start?.();
  for (const message of early) link.port.postMessage(message);
  toWorker = (message) => link.port.postMessage(message);
  await link.lost;
  port.disconnect();
}

/**
 * The way to the engine of an extension, for `worker` of `Engine.load`.
 *
 * @param id of the extension, for web pages that it lets in; its own pages and content scripts need none
 * @example
 * const engine = await Engine.load("packs/demo/", { worker: connectExtension() });
 */
export function connectExtension(id?: string): () => Promise<Link> {
  return async () => {
    const { runtime } = api();
    const problem = await runtime.sendMessage(id, WAKE).catch((error: Error) => error.message);
    if (problem) throw new WorkerFailed(`the extension's engine can't be reached: ${problem}`);
    const port = runtime.connect(id, { name: NAME });
    const staying = setInterval(() => port.postMessage(STAY), STAY_MS);
    const lost = new Promise<Error>((resolve) => {
      port.onDisconnect.addListener(() => {
        clearInterval(staying);
        resolve(new WorkerFailed("the extension's engine has ended: load it again"));
      });
    });
    return {
      port: protocolPort(port),
      lost,
      close() {
        clearInterval(staying);
        port.disconnect();
      },
    };
  };
}

function api(): { runtime: Runtime; offscreen?: Offscreen } {
  const found = extensionApi();
  if (found) return found;
  throw new HostUnsupported(
    "there is no chrome.runtime here: this belongs in an extension, or in a page that one lets in (externally_connectable)",
    { host: "extension" },
  );
}
