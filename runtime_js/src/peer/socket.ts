/** The way to an engine on another machine: a room of a relay (`webbuild serve --relay`), where both open a WebSocket. */
import { InvalidRequestError, PeerLost, PeerTimeout, rejectOnAbort } from "../errors.js";
import type { Port } from "../worker/protocol.js";
import { decodeFrame, encodeFrame, FrameReader, partsOf } from "./frame.js";
import type { Link } from "./link.js";

/**
 * Waits in a room until the other side is there.
 *
 * @param url `ws://HOST:PORT/relay/TOKEN` (or wss, http, https), the same on both sides
 * @throws InvalidRequestError, PeerTimeout, PeerLost (no such relay, or it refuses), AbortError
 */
export async function socketLink(
  url: string | URL,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Link> {
  const socket = open(url);
  socket.binaryType = "arraybuffer";
  const lost = new Promise<Error>((resolve) => {
    socket.addEventListener("close", ({ code, reason }) => {
      resolve(new PeerLost(`the relay's link closed: ${reason || `code ${code}`}`, { code }));
    });
  });
  const aborted = rejectOnAbort(signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new PeerTimeout(`nobody else came to ${socket.url} in ${timeoutMs / 1000} s`);
    timer = setTimeout(() => reject(error), timeoutMs);
  });
  const joined = new Promise<void>((resolve) => {
    socket.addEventListener("message", ({ data }) => data === JOINED && resolve());
  });
  try {
    const gone = lost.then((error) => Promise.reject(error));
    await Promise.race([joined, late, aborted.promise, gone]);
  } catch (error) {
    socket.close();
    throw error;
  } finally {
    clearTimeout(timer);
    aborted.dispose();
  }
  return { port: new SocketPort(socket), lost, close: () => socket.close() };
}

const JOINED = '{"joined": true}';

function open(url: string | URL): WebSocket {
  try {
    return new WebSocket(new URL(String(url).replace(/^http/, "ws")));
  } catch {
    const what = `${url} is no address of a relay: ws://HOST:PORT/relay/TOKEN`;
    throw new InvalidRequestError(what, { param: "url" });
  }
}

const OPEN = 1;

/** What a WebSocket is used for. */
export type Socket = Pick<WebSocket, "send" | "close" | "addEventListener" | "readyState">;

/** Messages over a WebSocket. Part of a long one is a sign of life: `{beat}`, as peers say. */
export class SocketPort implements Port {
  constructor(private readonly socket: Socket) {}

  postMessage(message: unknown): void {
    const frame = encodeFrame(message);
    for (const part of partsOf(frame)) {
      if (this.socket.readyState === OPEN) this.socket.send(part);
    }
  }

  addEventListener(_: "message", listener: (event: { data: unknown }) => void): void {
    const reader = new FrameReader();
    this.socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (!(data instanceof ArrayBuffer)) return;
      let message: unknown;
      try {
        const frame = reader.push(data);
        message = frame ? decodeFrame(frame) : { beat: true };
      } catch {
        this.socket.close(4003, "a frame that is none");
        return;
      }
      listener({ data: message });
    });
  }
}
