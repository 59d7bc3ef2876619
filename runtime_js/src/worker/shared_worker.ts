/**
 * Entry of shared_worker.js, in which pages share engines: as a SharedWorker, as a dedicated worker that others are led to (an
 * extension's), and, as service_worker_engine.js, in a service worker whose script imports that.
 */
import { browserHost } from "./hosts.js";
import type { Port } from "./protocol.js";
import { type Joining, SharedEngines } from "./shared.js";

const engines = new SharedEngines(browserHost());

const takeIn = ({ data, ports }: MessageEvent<Joining | undefined>) => {
  if (data?.webbuild === "connect") void engines.welcome(ports[0] as Port, data);
};

addEventListener("message", takeIn as EventListener);
addEventListener("connect", ((event: MessageEvent) => {
  (event.ports[0] as MessagePort).onmessage = takeIn; // which starts it
}) as EventListener);
