/** Entry of bench_inline.js: benchmarks in the calling thread, for Node. */
import { nativeHost } from "../worker/hosts.js";
import type { Port } from "../worker/protocol.js";
import { serveBench } from "./methods.js";

/** @returns the caller's end of the channel, and a function that frees the engine */
export function serveBenchInline(gpu: GPU): { port: Port; stop: () => void } {
  const { port1, port2 } = new MessageChannel();
  return { port: port1, stop: serveBench(port2, nativeHost(gpu)) };
}
