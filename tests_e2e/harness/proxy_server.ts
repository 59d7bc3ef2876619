// A man in the middle: forwards to `webbuild serve`, counts what went over the wire, and breaks
// responses on purpose.

import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";

/** What to do to the next responses for a path. */
export interface Fault {
  /** Answer with this status and no body. */
  status?: number;
  /** Send this instead of the body. */
  rewrite?: (body: Buffer) => Buffer;
  /** Close the connection after this many bytes of the body. */
  cutAfter?: number;
  /** Send this many bytes of the body, then nothing more until the fault is cleared. */
  stallAfter?: number;
  /** Send 64 KiB at a time, this many milliseconds apart, so that the page sees bytes arrive. */
  pauseMs?: number;
  /** How many responses are affected; all by default. */
  times?: number;
}

export interface Exchange {
  method: string;
  path: string;
  /** With its question mark. */
  query: string;
  status: number;
  /** The request's Range header. */
  range: string | undefined;
  /** Its Authorization header. */
  authorization: string | undefined;
  /** Body bytes sent to the browser. */
  bytes: number;
}

export class ProxyServer {
  /** What the browser asked for, oldest first. */
  readonly exchanges: Exchange[] = [];
  /** Is added to every response. */
  readonly headers: Record<string, string> = {};
  readonly #faults = new Map<string, Fault>();
  readonly #stalled = new Set<() => void>();
  readonly #server: Server;

  constructor(readonly upstream: string) {
    this.#server = createServer((request, response) => {
      const { pathname: path, search: query } = new URL(request.url ?? "/", "http://proxy");
      const fault = this.#take(path);
      const exchange: Exchange = {
        method: request.method ?? "GET",
        path,
        query,
        status: 0,
        range: request.headers.range,
        authorization: request.headers.authorization,
        bytes: 0,
      };
      this.exchanges.push(exchange);
      if (fault?.status) {
        exchange.status = fault.status;
        response.writeHead(fault.status).end();
        return;
      }
      const headers = { ...request.headers };
      // Faults are about the file's own bytes.
      if (fault) delete headers["accept-encoding"];
      // What the browser has may be what it was before it was rewritten.
      if (fault?.rewrite) for (const name of CONDITIONS) delete headers[name];
      const forwarded = httpRequest(
        new URL(request.url ?? "/", this.upstream),
        { method: request.method, headers },
        (answer) => {
          // Either side may hang up at any time.
          this.#relay(answer, response, exchange, fault).catch(() => response.destroy());
        },
      );
      forwarded.on("error", () => response.destroy());
      response.on("close", () => forwarded.destroy());
      request.pipe(forwarded);
    });
  }

  async #relay(
    answer: IncomingMessage,
    response: ServerResponse,
    exchange: Exchange,
    fault: Fault = {},
  ): Promise<void> {
    const closed = new Promise<void>((resolve) => response.once("close", resolve));
    const headers = { ...answer.headers, ...this.headers };
    let body: AsyncIterable<Buffer> | Buffer[] = answer;
    if (fault.rewrite) {
      body = [fault.rewrite(await readAll(answer))];
      headers["content-length"] = String(body[0]?.length);
    }
    exchange.status = answer.statusCode ?? 0;
    response.writeHead(exchange.status, headers);

    const limit = fault.cutAfter ?? fault.stallAfter ?? Number.POSITIVE_INFINITY;
    for await (const piece of pieces(body, fault.pauseMs)) {
      const part = piece.subarray(0, limit - exchange.bytes);
      exchange.bytes += part.length;
      // Until the bytes are on their way: what is cut off must not take them along.
      await Promise.race([new Promise((sent) => response.write(part, sent)), closed]);
      if (response.destroyed) return;
      if (exchange.bytes < limit) continue;
      if (fault.stallAfter !== undefined) {
        await Promise.race([new Promise<void>((free) => this.#stalled.add(free)), closed]);
      }
      response.destroy();
      return;
    }
    response.end();
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  /** Where the browser goes; ends in a slash. A port of its own, so a fresh origin with empty storage. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Breaks the next responses for `path` (as in a URL, from the root). */
  breakPath(path: string, fault: Fault): void {
    this.#faults.set(path, { ...fault });
  }

  /** Ends all faults and releases stalled responses. */
  repair(): void {
    this.#faults.clear();
    for (const release of this.#stalled) release();
    this.#stalled.clear();
  }

  /** Body bytes sent for paths that start with `prefix`, since the last `reset`. */
  bytesSent(prefix = "/"): number {
    return this.exchanges
      .filter(({ path }) => path.startsWith(prefix))
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }

  reset(): void {
    this.exchanges.length = 0;
  }

  async close(): Promise<void> {
    this.repair();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(path: string): Fault | undefined {
    const fault = this.#faults.get(path);
    if (fault?.times !== undefined && --fault.times <= 0) this.#faults.delete(path);
    return fault;
  }
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const CONDITIONS = ["if-none-match", "if-modified-since"];

const PIECE = 64 << 10;

/** The same bytes; with a pause, in small pieces. */
async function* pieces(
  body: AsyncIterable<Buffer> | Iterable<Buffer>,
  pauseMs: number | undefined,
): AsyncGenerator<Buffer> {
  for await (const chunk of body) {
    if (pauseMs === undefined) yield chunk;
    else {
      for (let at = 0; at < chunk.length; at += PIECE) {
        yield chunk.subarray(at, at + PIECE);
        await setTimeout(pauseMs);
      }
    }
  }
}
