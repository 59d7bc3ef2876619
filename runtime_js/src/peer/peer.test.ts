import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import {
  AbortError,
  InvalidRequestError,
  PeerLost,
  PeerTimeout,
  ProtocolMismatch,
} from "../errors.js";
import type { Handlers } from "../worker/dispatch.js";
import type { Card } from "./address.js";
import { broadcastLink } from "./broadcast.js";
import { announce, findEngines, joinEngine } from "./directory.js";
import { type Link, portLink } from "./link.js";
import { PEER_VERSION, Peer } from "./peer.js";

type Methods = {
  add: (numbers: [number, number], event: string) => number;
  bytes: (bytes: Uint8Array, event: never) => Uint8Array;
  hang: (args: null, event: never) => null;
  slow: (ms: number, event: never) => number;
};

const card = (engine: string): Card => ({ engine, model: "m", kv: "kv" });

const handlers: Handlers<Methods> = {
  add([a, b], { emit }) {
    emit("first");
    emit("second");
    if (b === 0) throw new InvalidRequestError("zero", { param: "b" });
    return a + b;
  },
  bytes: (bytes) => bytes.map((b) => b + 1),
  slow: (ms) => new Promise((resolve) => setTimeout(() => resolve(ms), ms)),
  hang: (_, { signal }) =>
    new Promise((_resolve, reject) => {
      hanging++;
      signal.addEventListener("abort", () => {
        hanging--;
        reject(signal.reason);
      });
    }),
};
/** Calls of `hang` whose signal has not aborted. */
let hanging = 0;

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
  expect(hanging).toBe(0);
});

async function joined(a: Link, b: Link, timing: { beatMs?: number } = {}) {
  const peers = await Promise.all([
    Peer.connect<Methods>(a, { card: card("a"), handlers, ...timing }),
    Peer.connect<Methods>(b, { card: card("b"), handlers, ...timing }),
  ]);
  open.push(() => peers[0].close());
  return peers;
}

function ports(): [Link, Link] {
  const { port1, port2 } = new MessageChannel();
  return [portLink(port1), portLink(port2)];
}

async function tabs(): Promise<[Link, Link]> {
  const pair = crypto.randomUUID();
  return [await broadcastLink(pair, "a"), await broadcastLink(pair, "b")];
}

describe.each([
  ["a MessagePort", async () => ports()],
  ["a BroadcastChannel", tabs],
])("two peers over %s", (_, links) => {
  test("call each other at once, with events, and errors keep their class", async () => {
    const [a, b] = await joined(...(await links()));
    expect([a.card.engine, b.card.engine]).toEqual(["b", "a"]);
    const events: string[] = [];
    const sums = await Promise.all([
      a.call.add([1, 2], { onEvent: (e) => events.push(e) }),
      b.call.add([3, 4]),
    ]);
    expect(sums).toEqual([3, 7]);
    expect(events).toEqual(["first", "second"]);
    const refused = await a.call.add([1, 0]).catch((e: unknown) => e);
    expect(refused).toBeInstanceOf(InvalidRequestError);
    expect(refused).toMatchObject({ message: "zero", param: "b" });
  });

  test("bytes cross", async () => {
    const [a] = await joined(...(await links()));
    const sent = new Uint8Array([1, 2, 3]);
    expect(await a.call.bytes(sent, { transfer: [sent.buffer] })).toEqual(
      new Uint8Array([2, 3, 4]),
    );
  });

  test("an abort and a deadline reject at once and reach the other side", async () => {
    const [a] = await joined(...(await links()));
    const controller = new AbortController();
    const aborted = a.call.hang(null, { signal: controller.signal });
    const late = a.call.hang(null, { timeoutMs: 30 });
    await expect(late).rejects.toBeInstanceOf(PeerTimeout);
    controller.abort();
    await expect(aborted).rejects.toBeInstanceOf(AbortError);
    expect(await a.call.add([1, 1])).toBe(2);
    expect(hanging).toBe(0);
    await expect(a.call.hang(null, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(
      AbortError,
    );
  });

  test("an answer that comes after its call was given up is handed over", async () => {
    const [a] = await joined(...(await links()));
    const controller = new AbortController();
    const came: number[] = [];
    const late = (ms: number) => came.push(ms);
    const call = a.call.slow(20, { signal: controller.signal, late });
    controller.abort();
    await expect(call).rejects.toBeInstanceOf(AbortError);
    expect(came).toEqual([]);
    await expect.poll(() => came).toEqual([20]);
    await a.call.slow(1, { late });
    expect(came).toEqual([20]);
  });

  test("closing one side ends both: calls reject, what is answered aborts", async () => {
    const [a, b] = await joined(...(await links()));
    const ends = Promise.allSettled([a.call.hang(null), b.call.hang(null)]) as Promise<
      PromiseRejectedResult[]
    >;
    await a.call.add([1, 1]); // both are there
    await b.call.add([1, 1]);
    expect(hanging).toBe(2);
    b.close(new Error("enough"));
    for (const { reason } of await ends) expect(reason).toBeInstanceOf(PeerLost);
    expect((await a.closed).message).toBe("the link has ended: enough");
    expect((await b.closed).message).toBe("enough");
    expect(hanging).toBe(0);
    await expect(a.call.add([1, 1])).rejects.toBeInstanceOf(PeerLost);
    await expect(b.call.add([1, 1])).rejects.toBeInstanceOf(PeerLost);
  });

  test("a side that says nothing any more is lost", async () => {
    const [one, other] = await links();
    const mute = { on: false };
    const port = {
      ...other.port,
      postMessage: (message: unknown) => mute.on || other.port.postMessage(message),
      addEventListener: other.port.addEventListener.bind(other.port),
      start: () => other.port.start?.(),
    };
    const [a, b] = await joined(one, { ...other, port, close() {} }, { beatMs: 20 });
    const call = a.call.hang(null);
    mute.on = true;
    await expect(call).rejects.toBeInstanceOf(PeerLost);
    b.close(); // it has heard nothing of it
    other.close();
  });
});

describe("greeting", () => {
  test("another version is refused by name", async () => {
    const [a, b] = ports();
    b.port.addEventListener("message", () =>
      b.port.postMessage({ hello: PEER_VERSION + 1, card: card("b") }),
    );
    b.port.start?.();
    await expect(Peer.connect(a, { card: card("a"), handlers: {} })).rejects.toBeInstanceOf(
      ProtocolMismatch,
    );
  });

  test("nobody greets, or the one who waits gives up", async () => {
    const connect = (greetMs: number, signal?: AbortSignal) =>
      Peer.connect(ports()[0], { card: card("a"), handlers: {}, greetMs }, signal);
    await expect(connect(20)).rejects.toBeInstanceOf(PeerTimeout);
    const controller = new AbortController();
    const waiting = connect(60_000, controller.signal);
    controller.abort();
    await expect(waiting).rejects.toBeInstanceOf(AbortError);
  });

  test("a port that closes before", async () => {
    const [a, b] = ports();
    const waiting = Peer.connect(a, { card: card("a"), handlers: {} });
    b.close();
    await expect(waiting).rejects.toBeInstanceOf(PeerLost);
  });
});

test("a thread that ends in the middle of a call is noticed", async () => {
  const { port1, port2 } = new MessageChannel();
  // A thread with no more than the greeting: it never answers.
  const worker = new Worker(
    `const { workerData: port } = require("node:worker_threads");
     port.on("message", (m) => {
       if (m.hello) port.postMessage({ hello: ${PEER_VERSION}, card: { engine: "w", model: "m", kv: "kv" } });
       if (m.ask?.hello) port.postMessage({ answer: m.ask });
     });`,
    { eval: true, workerData: port2, transferList: [port2 as never] },
  );
  const peer = await Peer.connect<Methods>(portLink(port1), { card: card("a"), handlers });
  const call = expect(peer.call.hang(null)).rejects.toBeInstanceOf(PeerLost);
  await worker.terminate();
  await call;
});

describe("the directory", () => {
  test("finds what is offered, joins it, and forgets it", async () => {
    const accepted: Promise<Peer<Methods>>[] = [];
    const stop = announce(card("offered"), (link) =>
      accepted.push(Peer.connect<Methods>(link, { card: card("offered"), handlers })),
    );
    expect(await findEngines(100)).toEqual([card("offered")]);
    const link = await joinEngine("offered");
    const peer = await Peer.connect<Methods>(link, { card: card("a"), handlers });
    open.push(() => peer.close());
    expect(peer.card).toEqual(card("offered"));
    expect(await peer.call.add([2, 2])).toBe(4);
    stop();
    expect(await findEngines(50)).toEqual([]);
    expect(await peer.call.add([2, 3])).toBe(5);
    expect(accepted).toHaveLength(1);
  });

  test("joining what is gone times out", async () => {
    const link = await joinEngine("gone");
    await expect(
      Peer.connect(link, { card: card("a"), handlers: {}, greetMs: 50 }),
    ).rejects.toBeInstanceOf(PeerTimeout);
  });
});
