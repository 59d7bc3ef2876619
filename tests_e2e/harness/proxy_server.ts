// A man in the middle: forwards to `webbuild serve`, counts what went over the wire, and breaks
// responses on purpose.

import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

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
  /** How many responses are affected; all by default. */
  times?: number;
}

export interface Exchange {
  method: string;
  path: string;
  status: number;
  /** The request's Range header. */
  range: string | undefined;
  /** Body bytes sent to the browser. */
  bytes: number;
}

export class ProxyServer {
  /** What the browser asked for, oldest first. */
  readonly exchanges: Exchange[] = [];
  readonly #faults = new Map<string, Fault>();
  readonly #stalled = new Set<() => void>();
  readonly #server: Server;

  constructor(readonly upstream: string) {
    this.#server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://proxy").pathname;
      const fault = this.#take(path);
      const exchange: Exchange = {
        method: request.method ?? "GET",
        path,
        status: 0,
        range: request.headers.range,
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
      const forwarded = httpRequest(
        new URL(request.url ?? "/", this.upstream),
        { method: request.method, headers },
        async (answer) => {
          exchange.status = answer.statusCode ?? 0;
          const body = fault?.rewrite ? fault.rewrite(await readAll(answer)) : answer;
          const answerHeaders = { ...answer.headers };
          if (Buffer.isBuffer(body)) answerHeaders["content-length"] = String(body.length);
          response.writeHead(exchange.status, answerHeaders);
          const limit = fault?.cutAfter ?? fault?.stallAfter ?? Number.POSITIVE_INFINITY;
          const closed = new Promise<void>((resolve) => response.once("close", resolve));
          for await (const chunk of Buffer.isBuffer(body) ? [body] : body) {
            const part = (chunk as Buffer).subarray(0, limit - exchange.bytes);
            exchange.bytes += part.length;
            // Until the bytes are on their way: what is cut off must not take them along.
            await Promise.race([new Promise((sent) => response.write(part, sent)), closed]);
            if (response.destroyed) return;
            if (exchange.bytes < limit) continue;
            if (fault?.cutAfter !== undefined) {
              response.destroy();
              return;
            }
            await Promise.race([
              new Promise<void>((release) => this.#stalled.add(release)),
              closed,
            ]);
            response.destroy();
            return;
          }
          response.end();
        },
      );
      forwarded.on("error", () => response.destroy());
      response.on("close", () => forwarded.destroy());
      request.pipe(forwarded);
    });
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
