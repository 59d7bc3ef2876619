/**
 * Entry of service-worker.js: gives requests below `v1/` of its scope to a page that serves them (`serveV1`), and streams what comes
 * back. It keeps nothing: a browser ends it whenever it likes, and each request asks anew who is there.
 *
 * `service-worker.js?path=…` takes another path than `v1/`, relative to the scope.
 */
import type { AnswerMessage, AskMessage, WireRequest } from "./exchange.js";

/** To pages: who serves this path? The answer comes at the port, and then the request's. */
export interface Question {
  webbuild: "v1";
  path: string;
}

/** From a page: `claim`: serves its requests though it was loaded before this worker. `awake`: an answer is under way. */
export type PageMessage = { webbuild: "claim" } | { webbuild: "awake" };

const worker = globalThis as unknown as ServiceWorkerGlobalScope;
const path = new URL(worker.location.href).searchParams.get("path") ?? "v1/";

/** Milliseconds that pages have to say that they serve. */
const ANSWER_MS = 2000;
/** Milliseconds that the page which asks has for itself, before others are asked. */
const OWN_MS = 30;
/** Milliseconds between two looks whether the page is still there. */
const LOOK_MS = 2000;

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("message", (event) => {
  if ((event.data as PageMessage | null)?.webbuild === "claim")
    event.waitUntil(worker.clients.claim());
});
worker.addEventListener("fetch", (event) => {
  const base = new URL(path, worker.registration.scope).href;
  if (event.request.url.startsWith(base)) event.respondWith(answer(event, base));
});

async function answer({ request, clientId }: FetchEvent, base: string): Promise<Response> {
  const asked: WireRequest = {
    method: request.method,
    url: request.url,
    headers: [...request.headers],
    body: await request.text(),
  };
  const host = await findHost(clientId, base);
  if (host) return exchange(host, asked, request.signal);
  const told = failure(
    "no page of this origin serves a model: open one that calls serveV1(engine), and keep it open",
    "no_engine",
  );
  return Response.json(told, { status: 503 });
}

interface Host {
  port: MessagePort;
  id: string;
}

/** A page that serves: the one that asks, if it does, else the first that says so. */
async function findHost(asker: string, path: string): Promise<Host | undefined> {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  let found: Host | undefined;
  const ask = (page: Client) =>
    new Promise<Host>((resolve) => {
      const { port1: port, port2 } = new MessageChannel();
      port.onmessage = () => {
        if (found) return port.close(); // it learns that no request comes
        found = { port, id: page.id };
        resolve(found);
      };
      page.postMessage({ webbuild: "v1", path } satisfies Question, [port2]);
    });
  const own = pages.filter(({ id }) => id === asker);
  const others = pages.filter(({ id }) => id !== asker);
  const later = wait(own.length > 0 ? OWN_MS : 0).then(() =>
    found ? found : Promise.race(others.map(ask)),
  );
  return Promise.race([...own.map(ask), later, wait(pages.length > 0 ? ANSWER_MS : 0)]);
}

/** Gives a page the request, and streams what it answers. */
function exchange(
  { port, id }: Host,
  request: WireRequest,
  signal: AbortSignal,
): Promise<Response> {
  const encoder = new TextEncoder();
  return new Promise((resolve, reject) => {
    let body: ReadableStreamDefaultController<Uint8Array> | undefined;
    let streams = false;
    const finish = () => {
      clearInterval(looking);
      port.close();
    };
    const cancel = () => {
      port.postMessage({ id: 0, cancel: true } satisfies AskMessage);
      finish();
    };
    const fail = (message: string) => {
      finish();
      const told = failure(message, "engine_unreachable");
      if (!body) return resolve(Response.json(told, { status: 503 }));
      if (!streams) return body.error(new TypeError(message));
      body.enqueue(encoder.encode(`event: error\ndata: ${JSON.stringify(told)}\n\n`));
      body.close();
    };
    const gone = () => fail("the page that served the model was closed");
    const looking = setInterval(async () => {
      if (!(await worker.clients.get(id))) gone();
    }, LOOK_MS);
    port.addEventListener("close", gone); // at once, in browsers that tell
    signal.addEventListener("abort", () => {
      cancel();
      body?.error(signal.reason);
      reject(signal.reason);
    });
    port.onmessage = ({ data }: MessageEvent<AnswerMessage>) => {
      if ("head" in data) {
        const start = (controller: typeof body) => {
          body = controller;
        };
        const response = new Response(new ReadableStream({ start, cancel }), data.head);
        streams = /event-stream/.test(response.headers.get("content-type") ?? "");
        resolve(response);
      } else if ("text" in data) {
        body?.enqueue(encoder.encode(data.text));
      } else if ("error" in data) {
        fail(data.error);
      } else {
        finish();
        body?.close();
      }
    };
    port.postMessage({ id: 0, request } satisfies AskMessage);
  });
}

const failure = (message: string, code: string) => ({
  error: { message, type: "server_error", param: null, code },
});

const wait = (ms: number) => new Promise<undefined>((resolve) => setTimeout(resolve, ms));
