/** A link over WebSockets that is slow but lives. */
import { expect, test } from "vitest";
import type { Link } from "./link.js";
import { Peer } from "./peer.js";
import { type Socket, SocketPort } from "./socket.js";

type Methods = { bytes: (bytes: Uint8Array, event: never) => number };

/** One end of a way on which a message of a part's length takes `partMs`, one after another. */
class SlowSocket extends EventTarget {
  readonly readyState = 1;
  other: SlowSocket | undefined;
  sent = 0;
  #way = Promise.resolve();

  constructor(private readonly partMs: number) {
    super();
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.sent++;
    const ms = (this.partMs * data.length) / (256 << 10);
    this.#way = this.#way.then(async () => {
      await new Promise((done) => setTimeout(done, ms));
      this.other?.dispatchEvent(new MessageEvent("message", { data: data.slice().buffer }));
    });
  }

  close(): void {}
}

test("a message that takes longer than silence may last does not end the link", async () => {
  const [a, b] = [new SlowSocket(40), new SlowSocket(40)];
  [a.other, b.other] = [b, a];
  const link = (socket: SlowSocket): Link => ({
    port: new SocketPort(socket as unknown as Socket),
    lost: new Promise(() => {}),
    close() {},
  });
  const join = (socket: SlowSocket, engine: string) =>
    Peer.connect<Methods>(link(socket), {
      card: { engine, model: "m", kv: "kv" },
      handlers: { bytes: (bytes) => bytes.reduce((sum, one) => sum + one, 0) },
      beatMs: 30, // silence is an end after 150 ms; the message takes 16 parts of 40 ms
    });
  const [here] = await Promise.all([join(a, "a"), join(b, "b")]);
  const began = a.sent;
  expect(await here.call.bytes(new Uint8Array(4 << 20).fill(1))).toBe(4 << 20);
  expect(a.sent - began).toBeGreaterThan(16);
  here.close();
});
