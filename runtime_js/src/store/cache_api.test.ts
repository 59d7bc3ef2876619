import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openCacheApi } from "./cache_api.js";
import type { Store } from "./store.js";
import { put } from "./store.js";

/** A cache in memory: what the specification says of match, put, delete and keys. */
class MemoryCache {
  readonly #responses = new Map<string, Response>();

  async match(url: string): Promise<Response | undefined> {
    return this.#responses.get(url)?.clone();
  }

  async put(url: string, response: Response): Promise<void> {
    this.#responses.set(url, response);
  }

  async delete(url: string): Promise<boolean> {
    return this.#responses.delete(url);
  }

  async keys(): Promise<Request[]> {
    return [...this.#responses.keys()].map((url) => new Request(url));
  }
}

const bytes = (...values: number[]) => Uint8Array.from(values);
let cache: MemoryCache;
let store: Store;

beforeEach(async () => {
  cache = new MemoryCache();
  vi.stubGlobal("caches", { open: async () => cache });
  store = (await openCacheApi()) as Store;
});
afterEach(() => vi.unstubAllGlobals());

test("a blob is its parts, whatever range is read", async () => {
  const a = await store.append("x");
  for (const part of [bytes(1, 2, 3), bytes(4), bytes(5, 6)]) await a?.append(part);
  await a?.close();
  expect(await store.size("x")).toBe(6);
  for (let at = 0; at < 6; at++) {
    for (let n = 0; at + n <= 6; n++) {
      expect([...(await store.read("x", at, n))]).toEqual([1, 2, 3, 4, 5, 6].slice(at, at + n));
    }
  }
});

test("an unfinished blob goes on; an empty one exists; removing leaves nothing", async () => {
  expect(await store.size("x")).toBeUndefined();
  await put(store, "x", bytes(1));
  const again = await store.append("x");
  expect(again?.size).toBe(1);
  await again?.append(bytes(2));
  await again?.close();
  expect(await store.get("x")).toEqual(bytes(1, 2));
  await put(store, "x.ok", bytes());
  expect(await store.size("x.ok")).toBe(0);
  expect((await store.keys()).sort()).toEqual(["x", "x.ok"]);
  await store.remove("x");
  await store.remove("x.ok");
  expect(await store.keys()).toEqual([]);
});

test("of a blob that another tab is removing, only what is there is read, never zeros for the rest", async () => {
  const a = await store.append("x");
  for (const part of [bytes(1, 2, 3), bytes(4), bytes(5, 6)]) await a?.append(part);
  await a?.close();
  const url = (await cache.keys()).map((r) => r.url).find((url) => url.endsWith("/1")) as string;
  const match = cache.match.bind(cache);
  cache.match = async (asked) => {
    if (asked === url) await cache.delete(url);
    return match(asked);
  };
  expect(await store.read("x", 1, 5)).toEqual(bytes(2, 3));
  expect(await store.read("x", 3, 3)).toEqual(bytes());
  await store.remove("x");
  expect(await store.read("x", 0, 6)).toEqual(bytes());
});

test("a small blob is replaced at once", async () => {
  await put(store, "x", bytes(1, 2));
  cache.delete = async () => {
    throw new Error("then it is missing for a while");
  };
  await put(store, "x", bytes(3));
  expect(await store.get("x")).toEqual(bytes(3));
  await put(store, "x", bytes());
  expect(await store.get("x")).toEqual(bytes());
});

test("of a blob that was removed while it was appended to, nothing is left behind", async () => {
  const a = await store.append("x");
  await a?.append(bytes(1));
  await store.remove("x"); // by another tab
  await a?.append(bytes(2));
  await a?.close();
  expect(await store.size("x")).toBeUndefined();
  await store.remove("x");
  expect(await store.keys()).toEqual([]);
});

test("one tab at a time appends to a blob, so that parts of two don't mix", async () => {
  const held = new Set<string>();
  const locks = {
    async request(name: string, _: unknown, hold: (lock: object | null) => Promise<void>) {
      await null; // as browsers do
      if (held.has(name)) return hold(null);
      held.add(name);
      await hold({});
      await new Promise((resolve) => setTimeout(resolve)); // a process knows it later
      held.delete(name);
    },
  };
  vi.stubGlobal("navigator", { locks });
  const a = await store.append("x");
  expect(await store.append("x")).toBeUndefined();
  expect(await put(store, "y", bytes(1))).toBe(true);
  await a?.append(bytes(1));
  await a?.close();
  expect(await put(store, "x", bytes(2))).toBe(true);
  const { match } = cache;
  cache.match = () => Promise.reject(new Error("no more"));
  await expect(store.append("x")).rejects.toThrow("no more");
  cache.match = match;
  await (await store.append("x"))?.close();
  expect([...held]).toEqual([]);
});
