/**
 * The way to an engine in another tab of this origin: a BroadcastChannel of its own for each pair, from worker to worker.
 *
 * Why not a SharedWorker that hands out ports: it needs a script of the same URL in every tab (a page that loads this package
 * from a CDN has none), a dedicated worker can't start one, and Chrome for Android lacks it. Between processes a port's
 * buffers are copied too, so that nothing is lost but the transfer between tabs that happen to share a process.
 *
 * Each side holds a Web Lock; the other asks for it and gets it when the tab is gone, however it went.
 */
import { PeerLost } from "../errors.js";
import type { Port } from "../worker/protocol.js";
import type { Link } from "./link.js";

/** @param side of the pair `name`, which only these two know */
export async function broadcastLink(name: string, side: "a" | "b"): Promise<Link> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  const release = await hold(locks, `${name}.${side}`);
  const channel = new BroadcastChannel(name);
  const watching = new AbortController();
  let resolveLost: (error: Error) => void = () => {};
  const lost = new Promise<Error>((resolve) => {
    resolveLost = resolve;
  });
  const watch = () => {
    const other = `${name}.${side === "a" ? "b" : "a"}`;
    locks
      ?.request(other, { signal: watching.signal }, () =>
        resolveLost(new PeerLost("the other tab is gone")),
      )
      .catch(() => {}); // aborted: this side closed first
  };
  // It holds its lock before it says anything.
  channel.addEventListener("message", watch, { once: true });
  return {
    port: {
      postMessage: (message) => channel.postMessage(message),
      addEventListener: (type, listener) => channel.addEventListener(type, listener),
    } satisfies Port,
    lost,
    close() {
      channel.close();
      watching.abort();
      release();
    },
  };
}

/** Takes a lock that nobody else takes. @returns lets go of it */
async function hold(locks: LockManager | undefined, name: string): Promise<() => void> {
  if (!locks) return () => {};
  return new Promise((resolve, reject) => {
    locks
      .request(name, () => new Promise<void>((release) => resolve(() => release())))
      .catch(reject);
  });
}
