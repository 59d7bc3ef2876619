/** A local HTTP server with ranges and faults, for what a network can do to a download. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Fault {
  /** Close the connection after this many bytes of each answer. */
  dropAfter?: number;
  /** Serve this instead of the file. */
  replaceBy?: Uint8Array;
  /** Answer with this status. */
  status?: number;
  /** Ignore range requests. */
  noRanges?: boolean;
  /** Send nothing after this many bytes, and keep the connection open. */
  stallAfter?: number;
  /** The fault goes away after so many requests. */
  times?: number;
}

export class FileServer {
  /** `/name` or `/name@from` of every request. */
  readonly requests: string[] = [];
  readonly faults = new Map<string, Fault>();
  /** Whom it answers with more than status 403. */
  admits: (request: IncomingMessage) => boolean = () => true;
  #server: Server | undefined;

  constructor(readonly files: Map<string, Uint8Array>) {}

  /** @returns the base URL */
  async start(): Promise<string> {
    const server = createServer((request, response) => {
      const name = (request.url ?? "").replace(/\?.*/, "").slice(1);
      const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
      this.requests.push(range ? `${name}@${range[1]}` : name);
      const fault = this.#fault(name);
      const body = fault.replaceBy ?? this.files.get(name);
      const status = this.admits(request) ? fault.status : 403;
      if (status || !body) {
        response.writeHead(status ?? 404).end();
        return;
      }
      const from = range && !fault.noRanges ? Number(range[1]) : 0;
      if (from > 0 && from >= body.length) {
        response.writeHead(416).end();
        return;
      }
      const rest = body.subarray(from);
      response.writeHead(from > 0 ? 206 : 200, { "content-length": rest.length });
      const cut = fault.dropAfter ?? fault.stallAfter;
      if (cut === undefined || cut >= rest.length) response.end(rest);
      else
        response.write(
          rest.subarray(0, cut),
          () => fault.dropAfter !== undefined && response.destroy(),
        );
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  #fault(name: string): Fault {
    const fault = this.faults.get(name);
    if (!fault) return {};
    if (fault.times !== undefined && --fault.times < 0) {
      this.faults.delete(name);
      return {};
    }
    return fault;
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}
