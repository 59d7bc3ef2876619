/** What goes wrong in the middle of a transfer leaves both sides clean. The demo model, on Dawn: its keys and values take several pieces. */
import { getEventListeners } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { AbortError, Engine, PeerLost } from "../index.js";
import { dawn } from "../testing/host.js";

const folder = fileURLToPath(new URL("../../../demo_site/public/packs/demo", import.meta.url));

let a: Engine;
let b: Engine;
const load = async () =>
  Engine.load(folder, { worker: false, gpu: await dawn(), tier: "f32", contextLength: 900 });

/** Calls `then` when the second piece is about to be sent over a port, and says how many were sent. */
function whenSending(then: (port: MessagePort) => void) {
  const { postMessage } = MessagePort.prototype;
  const seen = { pieces: 0 };
  vi.spyOn(MessagePort.prototype, "postMessage").mockImplementation(function (
    this: MessagePort,
    message: { ask?: { method?: string } },
    transfer?: StructuredSerializeOptions,
  ) {
    if (message.ask?.method === "kvPut" && ++seen.pieces === 2) then(this);
    postMessage.call(this, message, transfer);
  });
  return seen;
}

let salt = 0;
const prompt = () => {
  salt++;
  return Array.from({ length: 700 }, (_, i) => 100 + ((i * 37 + salt * 411) % 1500));
};

async function send(from: Engine, to: Engine, tokens: number[], signal?: AbortSignal) {
  const { kvAddr } = await to.prepRecv(tokens, { timeoutMs: 600_000 }); // kernels compile meanwhile
  expect((await to.stats()).pages.running).toBeGreaterThan(0);
  return from.remoteSend(tokens, { kvAddr, to, signal });
}

const greedy = async (engine: Engine, tokens: number[]) => {
  const { choices, usage } = await engine.startGenerate(tokens, { temperature: 0, max_tokens: 4 });
  return { said: choices[0]?.message.content, cached: usage.prompt_tokens_details?.cached_tokens };
};

async function expectClean(...engines: Engine[]) {
  await vi.waitFor(async () => {
    for (const engine of engines) {
      const { pages, running, waiting } = await engine.stats();
      expect({ held: pages.running, running, waiting }).toEqual({
        held: 0,
        running: 0,
        waiting: 0,
      });
    }
  }, 10_000);
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe.skipIf(!existsSync(folder))("in the middle of a transfer", () => {
  beforeAll(async () => {
    [a, b] = [await load(), await load()];
  });
  afterAll(async () => {
    await a.unload();
    await b.unload();
  });

  test("nothing goes wrong: all but one token are there", async () => {
    const seen = whenSending(() => {});
    const tokens = prompt();
    await send(a, b, tokens);
    expect(seen.pieces).toBeGreaterThan(2);
    const there = await greedy(b, tokens);
    expect(there.cached).toBe(tokens.length - 1);
    expect(there.said).toBe((await greedy(a, tokens)).said);
    await expectClean(a, b);
  });

  test("parts, cut inside a page, at once or one after another, the last one first", async () => {
    for (const order of ["at once", "one after another"]) {
      const tokens = prompt();
      const { kvAddr } = await b.prepRecv(tokens, { timeoutMs: 600_000 });
      const first = () => a.remoteSend(tokens, { kvAddr, to: b, end: 333 });
      const last = () => a.remoteSend(tokens, { kvAddr, to: b, begin: 333 });
      if (order === "at once") await Promise.all([first(), last()]);
      else {
        await last();
        // Nothing is cached before all of it is there, and nothing comes twice.
        expect((await b.prepRecv(tokens, { reserve: false })).matched).toBe(0);
        await first();
      }
      await expect(first()).rejects.toMatchObject({ name: "KvRefused" });
      const there = await greedy(b, tokens);
      expect(there.cached).toBe(tokens.length - 1);
      expect(there.said).toBe((await greedy(a, tokens)).said);
      await expectClean(a, b);
    }
  });

  test("one of two parts fails: the pages are given back", async () => {
    const tokens = prompt();
    const { kvAddr } = await b.prepRecv(tokens, { timeoutMs: 600_000 });
    await a.remoteSend(tokens, { kvAddr, to: b, end: 333 });
    const aborted = { kvAddr, to: b, begin: 333, signal: AbortSignal.abort() };
    await expect(a.remoteSend(tokens, aborted)).rejects.toBeInstanceOf(AbortError);
    await expectClean(a, b);
  });

  test("an abort", async () => {
    const controller = new AbortController();
    const seen = whenSending(() => controller.abort());
    const tokens = prompt();
    await expect(send(a, b, tokens, controller.signal)).rejects.toBeInstanceOf(AbortError);
    expect(seen.pieces).toBe(2);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    await expectClean(a, b);
  });

  test("an abort before it begins, an error of the call, and whoever sends nothing", async () => {
    const tokens = prompt();
    const held = async () => (await b.stats()).pages.running;
    const seen = whenSending(() => {});
    const aborted = AbortSignal.abort();
    await expect(send(a, b, tokens, aborted)).rejects.toBeInstanceOf(AbortError);
    await expectClean(b);

    const { kvAddr } = await b.prepRecv(tokens, { timeoutMs: 600_000 });
    expect(await held()).toBeGreaterThan(0);
    const wrong = a.remoteSend(tokens, { kvAddr, to: b, end: kvAddr.end + 1 });
    await expect(wrong).rejects.toMatchObject({ name: "InvalidRequestError" });
    await expectClean(b);

    const unused = await b.prepRecv(tokens, { timeoutMs: 600_000 });
    expect(await held()).toBeGreaterThan(0);
    await b.cancelRecv(unused.kvAddr);
    await expectClean(b);
    const gone = a.remoteSend(tokens, { kvAddr: unused.kvAddr, to: b });
    await expect(gone).rejects.toMatchObject({
      name: "KvRefused",
      message: expect.stringContaining("it was cancelled"),
    });
    await b.cancelRecv(unused.kvAddr); // of no effect
    expect(seen.pieces).toBe(0);
  });

  test("the link breaks; the next transfer makes a new one", async () => {
    whenSending((port) => port.close());
    const tokens = prompt();
    await expect(send(a, b, tokens)).rejects.toBeInstanceOf(PeerLost);
    await expectClean(a, b);
    vi.restoreAllMocks();
    await send(a, b, tokens);
    const there = await greedy(b, tokens);
    expect(there.cached).toBe(tokens.length - 1);
    expect(there.said).toBe((await greedy(a, tokens)).said);
    await expectClean(a, b);
  });

  test("the receiver is unloaded, then the sender", async () => {
    const c = await load();
    whenSending(() => void c.unload());
    await expect(send(a, c, prompt())).rejects.toBeInstanceOf(PeerLost);
    await expectClean(a);
    vi.restoreAllMocks();
    const d = await load();
    whenSending(() => void d.unload());
    await expect(send(d, b, prompt())).rejects.toMatchObject({ name: "EngineUnloaded" });
    await expectClean(b);
    vi.restoreAllMocks();
    const tokens = prompt();
    await send(a, b, tokens);
    expect((await greedy(b, tokens)).cached).toBe(tokens.length - 1);
  });
});
