/** Devices that are lost, on Dawn: streams go on as if nothing had happened, or end by name. At random moments: worker/random_losses.test.ts. */
import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { DeviceLostError } from "../errors.js";
import type { Sequence } from "../kv/sequence.js";
import { MemoryStore } from "../store/memory.js";
import { type FragileGpu, fragile } from "../testing/fragile_gpu.js";
import { BASE, dawn, fetchFrom, testHost } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { answer, ask, intime } from "../testing/tiny_requests.js";
import type { LanguageModel } from "./language_model.js";
import { type LoadOptions, load } from "./load.js";
import type { RecoveryOptions } from "./losses.js";
import type { DeviceState } from "./recovery.js";

const never = new AbortController().signal;
/** Beyond any count of losses here. */
const ALWAYS: RecoveryOptions = { losses: 1e6, withinMs: 1e9 };

const models: LanguageModel[] = [];
afterEach(() => {
  for (const model of models.splice(0)) model.unload();
});

async function open(gpu: GPU, options: Partial<LoadOptions> = {}, store = new MemoryStore()) {
  const host = testHost(tinyPack(256), gpu, store);
  const model = await load(host, { url: BASE, recovery: ALWAYS, ...options }, () => {}, never);
  models.push(model);
  return { model, store };
}

/** No page, slot, step or result buffer is in use. */
async function expectClean({ scheduler, executor }: LanguageModel): Promise<void> {
  await executor.idle(); // surplus steps
  await expect.poll(() => scheduler.used).toEqual({ slots: 0, steps: 0 });
  expect(executor.unread).toBe(0);
  const { pool, tree } = scheduler.kv;
  expect(pool.free + tree.held).toBe(pool.pages);
}

/** The moment at which the next device is lost: never, until a test says so. */
function onDemand() {
  const lose = { after: Number.POSITIVE_INFINITY };
  return { lose, calls: () => lose.after };
}

async function loseNow({ devices }: FragileGpu): Promise<void> {
  const device = devices.at(-1) as GPUDevice;
  device.destroy();
  await device.lost;
}

describe("a lost device", () => {
  test("weights come from the store, and all that is counted goes on", async () => {
    const { calls } = onDemand();
    const broken = fragile(await dawn(), calls);
    const { model } = await open(broken.gpu);
    const first = await answer(model, ask("hi"));
    const before = model.stats();
    await loseNow(broken);
    expect(await intime(answer(model, ask("hi")), "a stream")).toEqual(first);
    const after = model.stats();
    expect(after.networkBytes).toBe(before.networkBytes);
    expect(after.cacheBytes).toBeGreaterThan(before.cacheBytes);
    expect(after.submits).toBeGreaterThan(before.submits);
    expect(after.device).toMatchObject({ state: "ready", losses: 1 });
    expect(after.device.recoveryMs).toBeGreaterThan(0);
    await expectClean(model);
  });

  test("what still reads from it takes no copies that the next device has to make", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    const { model } = await open(broken.gpu);
    const before = model.executor;
    await loseNow(broken);
    await expect.poll(() => model.executor !== before).toBe(true);
    const { kv } = model.scheduler;
    const partly = kv.take(2) as Sequence;
    const fork = partly.fork(-1);
    expect(fork.reserve(1)).toBe(true); // a page of its own: to be copied before the next step
    await expect(before.readPages(kv.pool, partly.pages)).rejects.toBeInstanceOf(DeviceLostError);
    expect(kv.pool.takeCopies()).toHaveLength(1);
    for (const sequence of [partly, fork]) sequence.release();
    await expectClean(model);
  });

  test("pages that were evicted go on being counted", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    const { model } = await open(broken.gpu, { contextLength: 64, kvTokens: 96 });
    for (let i = 0; i < 12; i++) await answer(model, ask(`${i} abcdefghijk`, {}, 20));
    const before = model.stats().cache.evictedPages;
    expect(before).toBeGreaterThan(0);
    await loseNow(broken);
    await answer(model, ask("hi"));
    expect(model.stats().cache.evictedPages).toBeGreaterThanOrEqual(before);
  });

  test("the page is told of the loss, of loading again and of the new device", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    const { model } = await open(broken.gpu);
    const states: DeviceState[] = [];
    const watcher = new AbortController();
    const ended = model.watchDevice((state) => states.push(state), watcher.signal).catch(() => {});
    await loseNow(broken);
    await intime(answer(model, ask("hi")), "a stream");
    watcher.abort();
    await ended;
    expect(states[0]).toMatchObject({ state: "ready", losses: 0, problem: null });
    expect(states.slice(1, -1).every(({ state }) => state === "recovering")).toBe(true);
    expect(states[1]).toMatchObject({ losses: 1, problem: expect.stringMatching(/lost/) });
    const { progress } = states.at(-2) as DeviceState;
    expect(progress).toMatchObject({ phase: "warmup" });
    expect(progress?.loadedBytes).toBe(progress?.totalBytes);
    expect(states.at(-1)).toMatchObject({ state: "ready", losses: 1, problem: null });
  });

  test("where there is no adapter for a moment, it is asked for again", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    let refusals = 0;
    const gpu = {
      requestAdapter: async () => (refusals-- > 0 ? null : broken.gpu.requestAdapter()),
    } as GPU;
    const { model } = await open(gpu);
    refusals = 2;
    await loseNow(broken);
    await intime(answer(model, ask("hi")), "a stream");
    expect(model.stats().device).toMatchObject({ state: "ready", losses: 1 });
  });

  test("once too often: all live and later requests are told how often it was tried", async () => {
    const { lose, calls } = onDemand();
    const broken = fragile(await dawn(), calls);
    const { model, store } = await open(broken.gpu, { recovery: { losses: 3 } });
    lose.after = 20; // from now on no device lives to see an answer
    const saving = model.savePrefix(
      store,
      "doc",
      { messages: [{ role: "user", content: "x" }] },
      never,
    );
    saving.catch(() => {});
    const live = [answer(model, ask("a")), answer(model, ask("b"))];
    void loseNow(broken);
    const error = { name: "DeviceLostError", data: { tries: 3 } };
    for (const one of [...live, saving]) {
      await expect(intime(one as Promise<unknown>, "a request")).rejects.toMatchObject(error);
    }
    await expect(answer(model, ask("c"))).rejects.toMatchObject(error);
    await expect(model.restorePrefix(store, "doc")).rejects.toMatchObject(error);
    expect(model.deviceState()).toMatchObject({ state: "lost", losses: 4 });
    expect(model.deviceState().problem).toMatch(/3 times in 60 s.*load the engine again/);
    expect(broken.devices).toHaveLength(4);
  });

  test("a store that has lost the pack, and no network: the loss is final, and says why", async () => {
    const store = new MemoryStore();
    const broken = fragile(await dawn(), onDemand().calls);
    let online = true;
    const fetch = (url: string, init?: RequestInit) =>
      online
        ? fetchFrom(tinyPack(256))(url, init)
        : Promise.resolve(new Response(null, { status: 404 }));
    const host = { ...testHost(new Map(), broken.gpu, store), fetch };
    const model = await load(host, { url: BASE, recovery: ALWAYS }, () => {}, never);
    models.push(model);
    for (const key of await store.keys()) await store.remove(key);
    online = false;
    const live = answer(model, ask("a"));
    void loseNow(broken);
    await expect(intime(live, "a request")).rejects.toMatchObject({
      name: "DeviceLostError",
      message: expect.stringContaining("params_shard_0.bin"),
    });
  });

  test("abort works while it recovers, and touches nobody else", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    const { model } = await open(broken.gpu);
    const controller = new AbortController();
    const aborted = answer(model, ask("abc"), controller.signal);
    const other = answer(model, ask("abc"));
    await loseNow(broken);
    expect(model.deviceState().state).toBe("recovering");
    const late = answer(model, ask("abc"));
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    expect(model.deviceState().state).toBe("recovering");
    expect(await intime(other, "a stream")).toEqual(await intime(late, "a stream"));
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
    await expectClean(model);
  });

  test("keys and values for another engine are refused by name, and their pages come back", async () => {
    const broken = fragile(await dawn(), onDemand().calls);
    const { model } = await open(broken.gpu);
    const prompt = Int32Array.from(model.tokenize("a prompt of several pages, which is computed"));
    const { signal } = new AbortController();
    const reserve = () =>
      model.exchange.prepRecv(
        prompt,
        { end: prompt.length, reserve: true, timeoutMs: 60_000 },
        { owner: {}, signal },
      );
    const pageBytes = model.executor.page.bytes;
    const { kvAddr } = await reserve();
    const { transfer } = kvAddr as { transfer: string };
    const piece = (page: number) => ({ transfer, page, bytes: new Uint8Array(pageBytes) });
    const { reservations } = model.exchange;
    reservations.put(piece(0));
    const sent = model.exchange.pieces(prompt, { begin: 0, end: prompt.length }, signal);
    const first = sent.next(); // has the prompt computed
    await loseNow(broken);
    const refused = { name: "KvRefused", message: expect.stringMatching(/device was lost/) };
    expect(() => reservations.put(piece(1))).toThrow(expect.objectContaining(refused));
    expect(() => reservations.finish(transfer, {})).toThrow(expect.objectContaining(refused));
    await expect(intime(first, "what is sent")).rejects.toMatchObject({ name: "DeviceLostError" });
    // On the next device all is as ever.
    const again = await intime(reserve(), "a reservation");
    expect(again.kvAddr).not.toBeNull();
    reservations.clear("the test is over");
    await intime(answer(model, ask("hi")), "a stream");
    await expectClean(model);
  });

  test("unload while it recovers ends everything, and frees what was being made", async () => {
    for (const turns of [0, 1, 3, 10, 30]) {
      const broken = fragile(await dawn(), onDemand().calls);
      const { model } = await open(broken.gpu);
      const live = answer(model, ask("abc", {}, 200));
      live.catch(() => {});
      await loseNow(broken);
      const recovering = () => model.deviceState().state === "recovering";
      for (let i = 0; i < turns && recovering(); i++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      model.unload();
      await expect(live).rejects.toMatchObject({ name: "EngineUnloaded" });
      await expect.poll(() => broken.devices.length).toBeGreaterThan(0);
      for (const device of broken.devices) await intime(device.lost, "a device");
      expect(model.deviceState().state).not.toBe("lost");
    }
  });
});

describe("a device lost during the load", () => {
  test("at every moment: it is loaded again", async () => {
    for (let after = 0; after < 60; after += 7) {
      let first = true;
      const broken = fragile(await dawn(), () => {
        const calls = first ? after : Number.POSITIVE_INFINITY;
        first = false;
        return calls;
      });
      const { model } = await intime(open(broken.gpu), `the load with call ${after}`);
      expect((await intime(answer(model, ask("hi")), "a stream")).completionTokens).toBe(24);
      expect(model.stats().device.losses).toBe([...broken.losses].length);
    }
  });

  test("once too often: it rejects by name", async () => {
    const broken = fragile(await dawn(), () => 10);
    await expect(
      intime(open(broken.gpu, { recovery: { losses: 2 } }), "the load"),
    ).rejects.toMatchObject({ name: "DeviceLostError", data: { tries: 2 } });
    expect(broken.devices).toHaveLength(3);
    const senseless = { recovery: { losses: -1 } };
    await expect(open(broken.gpu, senseless)).rejects.toMatchObject({ param: "recovery" });
  });
});
