import { expect, test } from "vitest";
import { DeviceLostError } from "../errors.js";
import { FAKE_VOCAB, FakeRunner } from "../testing/fake_runner.js";
import {
  drain,
  expectClean,
  expectTwin,
  PAGE,
  playRandomly,
  random,
  randomAsk,
  submit,
  type World,
  world,
} from "../testing/fake_serving.js";
import { checkPrefixCache, type PrefixCacheOptions } from "./kv_memory.js";
import type { GenerationResult } from "./scheduler.js";

const system = Array.from({ length: 16 }, () => 1);

/** @returns how much of a prompt was cached */
async function ask(w: World, prompt: number[]): Promise<number> {
  const asked = submit(w, { prompt, maxTokens: 1 });
  await drain(w);
  expectTwin(asked);
  return (asked.settled as GenerationResult).cachedTokens;
}

/** Three chats share a system prompt; then come others, which share nothing. @returns how much of it is cached then */
async function afterOneOffs(w: World): Promise<number> {
  for (const own of [2, 3, 4]) await ask(w, [...system, own]);
  for (let own = 5; own < 15; own++) {
    expect(
      await ask(
        w,
        Array.from({ length: 20 }, () => own),
      ),
    ).toBe(0);
  }
  return ask(w, [...system, 2]);
}

test("with lfu a shared system prompt outlives chats that come once, with lru it does not", async () => {
  expect(FAKE_VOCAB).toBeGreaterThan(15);
  for (const [evict, cached] of [
    ["lfu", system.length],
    ["lru", 0],
    [undefined, 0],
  ] as const) {
    const w = world({ pages: 16, cache: evict ? { evict } : {} });
    expect(await afterOneOffs(w), evict).toBe(cached);
    expectClean(w, []);
  }
});

test("the cache never keeps more than it may, and answers are the same", async () => {
  for (const tokens of [0, PAGE - 1, 3 * PAGE + 1, 1e9]) {
    const w = world({ pages: 40, cache: { tokens } });
    let most = 0;
    w.scheduler.onStep = () => {
      most = Math.max(most, w.kv.tree.held);
    };
    const below = random(7);
    const all = await playRandomly(w, below, () => randomAsk(below), { deltas: 2, oneIn: 4 });
    for (const asked of all) if (!(asked.settled instanceof Error)) expectTwin(asked);
    expect(Math.max(most, w.kv.tree.held) * PAGE).toBeLessThanOrEqual(tokens);
    expect(most > 0).toBe(tokens >= PAGE);
    expectClean(w, all);
  }
});

test("the next device's cache is like the lost one's", async () => {
  const w = world({ pages: 16, cache: { tokens: 10 * PAGE, evict: "lfu" } });
  w.scheduler.suspend(new DeviceLostError("lost"));
  expect(w.scheduler.kv).not.toBe(w.kv);
  expect(w.scheduler.kv.tree.budget).toBe(10);
  w.kv = w.scheduler.kv;
  w.runner = new FakeRunner(w.kv.pool, PAGE, w.runner.maxBatch, w.runner.chunk);
  w.scheduler.resume(w.runner);
  expect(await afterOneOffs(w)).toBe(system.length);
});

test("senseless options are refused by name", () => {
  const senseless = [
    { tokens: -1 },
    { tokens: 1.5 },
    { tokens: "9" },
    { evict: "fifo" },
    { evict: "toString" },
    { evict: null },
    { evicts: "lru" },
    4096,
    "lfu",
  ];
  const refused = { name: "InvalidRequestError", param: "prefixCache" };
  for (const options of senseless) {
    const check = () => checkPrefixCache(options as PrefixCacheOptions);
    expect(check, JSON.stringify(options)).toThrow(expect.objectContaining(refused));
  }
  for (const options of [undefined, {}, { tokens: 0, evict: "lfu" } as const]) {
    checkPrefixCache(options);
  }
});
