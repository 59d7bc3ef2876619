/** Devices that are lost at seeded moments, on Dawn: streams go on as if nothing had happened, or end by name. */
import { getEventListeners } from "node:events";
import { writeFile } from "node:fs/promises";
import { afterEach, describe, expect, test } from "vitest";
import { DeviceLostError } from "../errors.js";
import { MemoryStore } from "../store/memory.js";
import { type FragileGpu, fragile } from "../testing/fragile_gpu.js";
import { BASE, dawn, fetchFrom, testHost } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import type { LanguageModel } from "./language_model.js";
import { type LoadOptions, load } from "./load.js";
import type { RecoveryOptions } from "./losses.js";
import type { DeviceState } from "./recovery.js";
import type { GenerateRequest, GenerateResult } from "./request.js";

const never = new AbortController().signal;
const LOSSES = 50;
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

/** Repeatable random numbers below `n`. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

function ask(content: string, changes: Partial<GenerateRequest["sampling"]> = {}, maxTokens = 24) {
  const sampling = {
    temperature: 0,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: [],
    logprobs: null,
    ...changes,
  };
  return { messages: [{ role: "user" as const, content }], maxTokens, stop: [], sampling };
}

function randomAsk(below: (n: number) => number): GenerateRequest {
  const content = "The same beginning".slice(0, below(19)) + "abcdefghij".slice(below(10));
  const request: GenerateRequest = ask(content, {}, 1 + below(30));
  const { sampling } = request;
  if (below(3) === 0) sampling.frequencyPenalty = 2;
  if (below(4) === 0) sampling.logitBias = [[65 + below(26), 60]];
  if (below(4) === 0) Object.assign(sampling, { temperature: 1, seed: below(100) });
  if (below(5) === 0) sampling.logprobs = 2;
  if (below(5) === 0) request.stop = [String.fromCharCode(32 + below(90))];
  return request;
}

interface Answer extends GenerateResult {
  text: string;
  tokens: number;
}

/** All that a stream tells; without `cachedTokens`, which depend on who came first. */
async function answer(
  model: LanguageModel,
  request: GenerateRequest,
  signal = new AbortController().signal,
): Promise<Omit<Answer, "cachedTokens">> {
  let text = "";
  let tokens = 0;
  const delta = (d: { text: string; tokens: number }) => {
    text += d.text;
    tokens += d.tokens;
  };
  const { cachedTokens: _, ...result } = await model.generate(request, { delta }, signal);
  return { ...result, text, tokens };
}

class Late extends Error {}

/** For `make figure-device-loss`: what was counted, in the file that it names. */
async function report(
  outcomes: Record<string, number>,
  losses: readonly number[],
  recoveries: ReadonlyMap<number, number>,
): Promise<void> {
  const file = process.env["WEBBUILD_DEVICE_LOSS_REPORT"];
  if (!file) return;
  const ms = [...recoveries.values()].sort((a, b) => a - b);
  const at = (share: number) => Math.round(ms[Math.floor(share * (ms.length - 1))] as number);
  const recovery_ms = { min: at(0), median: at(0.5), max: at(1) };
  const total = losses.reduce((sum, n) => sum + n, 0);
  await writeFile(file, JSON.stringify({ losses: total, ...outcomes, recovery_ms }));
}

/** Rejects when a promise takes so long that it hangs. */
async function intime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late(`${what} hangs`)), 60_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
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
  test(`${LOSSES} times at any moment: every answer is the undisturbed one, and prefixes are saved`, async () => {
    const below = random(11);
    const quiet = await open(await dawn());
    let left = LOSSES;
    const broken = fragile(await dawn(), () => {
      if (left === 0) return Number.POSITIVE_INFINITY;
      left--;
      return below(90);
    });
    const { model, store } = await intime(open(broken.gpu), "the load");
    const outcomes = { completed: 0, named: 0, hung: 0 };
    /** Counts how a request ends; what is neither of these is thrown. */
    const counted = async <T>(request: Promise<T>): Promise<T | undefined> => {
      try {
        const result = await intime(request, "a request");
        outcomes.completed++;
        return result;
      } catch (error) {
        if (error instanceof DeviceLostError) outcomes.named++;
        else if (error instanceof Late) outcomes.hung++;
        else throw error;
        return undefined;
      }
    };
    const recoveries = new Map<number, number>();
    const note = ({ losses, recoveryMs }: DeviceState) => {
      if (recoveryMs !== null) recoveries.set(losses, recoveryMs);
    };
    model.watchDevice(note, never).catch(() => {});
    const lost = () => [...broken.losses.values()].reduce((sum, n) => sum + n, 0);
    const document = [{ role: "user" as const, content: "A document, which is saved." }];
    let restored = 0;
    for (let round = 0; lost() < LOSSES; round++) {
      expect(round, "devices are lost").toBeLessThan(20 * LOSSES);
      const requests = Array.from({ length: 1 + below(6) }, () => randomAsk(below));
      const saving = below(3) === 0 ? model.savePrefix(store, "doc", document, never) : undefined;
      const restoring = below(3) === 0 ? model.restorePrefix(store, "doc") : undefined;
      const answers = requests.map((request) => answer(model, request));
      for (const [i, request] of requests.entries()) {
        const expected = await answer(quiet.model, request);
        const given = await counted(answers[i] as ReturnType<typeof answer>);
        if (given) expect(given).toEqual(expected);
      }
      if (saving) expect((await counted(saving))?.tokens).toBeGreaterThan(20);
      if (restoring && (await counted(restoring))) restored++;
    }
    await report(outcomes, [...broken.losses.values()], recoveries);
    expect(outcomes).toEqual({ completed: expect.any(Number), named: 0, hung: 0 });
    await intime(model.finish(), "idle work");
    // The prefix that was saved is the right one: whoever goes on from it gets the undisturbed answer.
    await model.savePrefix(store, "doc", document, never);
    model.scheduler.kv.tree.clear();
    expect(await model.restorePrefix(store, "doc")).toMatchObject({ name: "doc" });
    const next = ask(document[0]?.content as string);
    expect(await answer(model, next)).toEqual(await answer(quiet.model, next));

    expect(model.stats().device).toMatchObject({ state: "ready" });
    // Several of the moments, the load's and the rebuilding's among them; and saved prefixes came back.
    for (const call of ["createComputePipelineAsync", "writeBuffer", "submit", "mapAsync"]) {
      expect(broken.losses.get(call), call).toBeGreaterThan(0);
    }
    expect(restored).toBeGreaterThan(0);
    await expectClean(model);
  }, 300_000);

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
    const saving = model.savePrefix(store, "doc", [{ role: "user", content: "x" }], never);
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
    expect(() => reservations.finish(transfer)).toThrow(expect.objectContaining(refused));
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
      const live = answer(model, ask("abc"));
      live.catch(() => {});
      await loseNow(broken);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
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
