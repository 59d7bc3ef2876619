/**
 * The way to an engine in another tab of this origin: a BroadcastChannel of its own for each pair, from worker to worker.
 *
 * Why not a SharedWorker that hands out ports: it needs a script of the same URL in every tab (a page that loads this package
 * from a CDN has none), a dedicated worker can't start one, and Chrome for Android lacks it. Between processes a port's
 * buffers are copied too, so that nothing is lost but the transfer between tabs that happen to share a process.
 */
import { PeerLost } from "../errors.js";
import type { Port } from "../worker/protocol.js";
import type { Link } from "./link.js";
import { pairLocks } from "./pair_locks.js";

/** @param side of the pair `name`, which only these two know */
export async function broadcastLink(name: string, side: "a" | "b"): Promise<Link> {
  const locks = await pairLocks(name, side);
  const channel = new BroadcastChannel(name);
  let resolveLost: (error: Error) => void = () => {};
  const lost = new Promise<Error>((resolve) => {
    resolveLost = resolve;
  });
  const watch = async () => {
    await locks.gone();
    resolveLost(new PeerLost("the other tab is gone"));
  };
  channel.addEventListener("message", watch, { once: true });
  return {
    port: {
      postMessage: (message) => channel.postMessage(message),
      addEventListener: (type, listener) => channel.addEventListener(type, listener),
    } satisfies Port,
    lost,
    close() {
      channel.close();
      locks.release();
    },
  };
}
