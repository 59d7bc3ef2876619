/** The engine in the calling thread, over the same protocol: for Node, for tests, and where workers have no WebGPU. */
import { browserHost, nativeHost } from "./hosts.js";
import type { Port } from "./protocol.js";
import { serve } from "./server.js";

/** @returns the page's end of the channel, and a function that frees the engine */
export function serveInline(gpu: GPU | undefined): { port: Port; stop: () => void } {
  const { port1, port2 } = new MessageChannel();
  const inPage = typeof document !== "undefined" || typeof importScripts === "function";
  return { port: port1, stop: serve(port2, inPage ? browserHost(gpu) : nativeHost(gpu)) };
}
