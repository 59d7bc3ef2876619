/** A way to another engine: messages in order, and the news that it has ended. */
import { PeerLost } from "../errors.js";
import type { Port } from "../worker/protocol.js";

export interface Link {
  /** Carries what structured clone carries; over a relay JSON and `Uint8Array`. */
  port: Port;
  /** Resolves when the transport has noticed that the other side is gone. Not every transport can; heartbeats always do. */
  lost: Promise<Error>;
  /** Ends this side. What was posted before still arrives. */
  close(): void;
}

/** A MessagePort whose other end is in another worker, page or thread. Buffers are transferred. */
export function portLink(port: MessagePort): Link {
  const lost = new Promise<Error>((resolve) => {
    // Where it exists (Chromium from 122, Node) it also tells of a worker or a page that ended.
    port.addEventListener("close", () => resolve(new PeerLost("the other end of the port closed")));
  });
  return { port: port as Port, lost, close: () => port.close() };
}
