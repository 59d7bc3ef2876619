/** What connections leave behind, however they end. */
import { expect, test } from "vitest";
import type { PrepRecvResult } from "../engine/kv_exchange.js";
import { AbortError, WorkerFailed } from "../errors.js";
import type { Link } from "../peer/link.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { connectClient } from "./client.js";
import { connect, connectWorker } from "./connect.js";
import { dispatch, type Handlers } from "./dispatch.js";
import type { Port } from "./protocol.js";
import { serve } from "./server.js";

const turn = () => new Promise((resolve) => setTimeout(resolve));

/** A link to nobody, or to who greets. @returns how often it was closed, too */
function linkTo(greets: boolean) {
  const { port1, port2 } = new MessageChannel();
  if (greets) dispatch(port2 as Port, {} as Handlers);
  const closed = { times: 0 };
  const link: Link = {
    port: port1 as Port,
    lost: new Promise(() => {}),
    close() {
      closed.times++;
      port1.close();
    },
  };
  return { link, closed };
}

test.each(["before it is there", "before it greets", "after"])(
  "a link is closed once: aborted %s",
  async (when) => {
    const { link, closed } = linkTo(when === "after");
    const controller = new AbortController();
    let lead = (_: Link) => {};
    const leading = new Promise<Link>((resolve) => {
      lead = resolve;
    });
    const connecting = connect({ worker: () => leading }, controller.signal);
    if (when !== "before it is there") lead(link);
    if (when === "after") await connecting;
    else await turn();
    controller.abort();
    lead(link);
    if (when === "after") {
      const { close } = await connecting;
      await turn();
      expect(closed.times).toBe(0);
      close(new Error("the page's"));
    } else await expect(connecting).rejects.toBeInstanceOf(AbortError);
    await turn();
    expect(closed.times).toBe(1);
  },
);

test("an engine that ends leaves nothing that waits for room in it", async () => {
  const { port1, port2 } = new MessageChannel();
  const stop = serve(port2 as Port, testHost(tinyPack(64), await dawn()));
  const { call } = await connectClient(port1 as Port, new Promise<never>(() => {}));
  await call.load({ url: BASE, kvTokens: 64 });
  const reserve = (from: number, timeoutMs: number) => {
    const messages = Array.from({ length: 40 }, (_, i) => from + i);
    return call.prepRecv({ prompt: { messages }, end: -1, reserve: true, timeoutMs });
  };
  await reserve(0, 60_000);
  const waiting = reserve(100, 30_000);
  const refused = expect(waiting).rejects.toBeInstanceOf(AbortError);
  await call.stats(null);
  const began = performance.now();
  stop();
  await refused;
  expect(performance.now() - began).toBeLessThan(10_000);
  port1.close();
  port2.close();
});

test("room that another engine makes for a call that is given up is free at once", async () => {
  const ends: (() => void)[] = [];
  const engine = async () => {
    const { port1, port2 } = new MessageChannel();
    const stop = serve(port2 as Port, testHost(tinyPack(64), await dawn()));
    const { call } = await connectClient(port1 as Port, new Promise<never>(() => {}));
    await call.load({ url: BASE, kvTokens: 64 });
    ends.push(
      stop,
      () => port1.close(),
      () => port2.close(),
    );
    return { call }; // not the proxy itself, which has a `then` as it has everything
  };
  const [{ call: here }, { call: there }] = await Promise.all([engine(), engine()]);
  const { port1, port2 } = new MessageChannel();
  const [{ engine: id }] = await Promise.all([
    here.connectPeer({ port: port1 }, { transfer: [port1] }),
    there.connectPeer({ port: port2 }, { transfer: [port2] }),
  ]);
  const prompt = { messages: Array.from({ length: 9 }, (_, i) => i) };
  const args = { prompt, end: -1, reserve: true, timeoutMs: 60_000 };
  const given = { up: 0, taken: 0 };
  for (let turns = 0; turns < 24; turns++) {
    const controller = new AbortController();
    const { signal } = controller;
    const call = here.callPeer({ engine: id, method: "prepRecv", args }, { signal });
    const outcome = call.then(
      (result) => result as PrepRecvResult,
      (error) => {
        expect(error).toBeInstanceOf(AbortError);
        return undefined;
      },
    );
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    const result = await outcome;
    if (result?.kvAddr) await there.cancelRecv(result.kvAddr.transfer);
    given[result?.kvAddr ? "taken" : "up"]++;
    await expect.poll(async () => (await there.stats(null)).pages.running).toBe(0);
  }
  expect(given.up).toBeGreaterThan(0);
  for (const end of ends) end();
});

/** A worker that serves, until it fails. */
class FakeWorker extends EventTarget {
  terminated = 0;
  readonly #answers = new EventTarget();

  constructor() {
    super();
    const port: Port = {
      postMessage: (data) => this.dispatchEvent(new MessageEvent("message", { data })),
      addEventListener: (type, listener) =>
        this.#answers.addEventListener(type, listener as unknown as EventListener),
    };
    dispatch(port, { stats: () => new Promise(() => {}) } as unknown as Handlers);
  }

  postMessage(data: unknown): void {
    this.#answers.dispatchEvent(new MessageEvent("message", { data }));
  }

  terminate(): void {
    this.terminated++;
  }
}

test("a worker in which something fails is ended at once: it holds memory, and nobody reaches it any more", async () => {
  const worker = new FakeWorker();
  const about = { what: "the worker", hint: "is it there?" };
  const { call } = await connectWorker(worker as unknown as Worker, about);
  const asked = call.stats(null);
  worker.dispatchEvent(Object.assign(new Event("error"), { message: "a mistake" }));
  await expect(asked).rejects.toMatchObject({ name: "WorkerFailed", message: /a mistake/ });
  await expect(call.stats(null)).rejects.toBeInstanceOf(WorkerFailed);
  expect(worker.terminated).toBe(1);
});
