import { describe, expect, test } from "vitest";
import { MemoryStore } from "./memory.js";
import { put } from "./store.js";

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("MemoryStore", () => {
  test("appends, reads any range, removes", async () => {
    const store = new MemoryStore();
    const a = await store.append("x");
    await a?.append(bytes(1, 2, 3));
    await a?.append(bytes(4, 5));
    expect(a?.size).toBe(5);
    await a?.close();
    expect(await store.size("x")).toBe(5);
    expect([...(await store.read("x", 1, 3))]).toEqual([2, 3, 4]);
    const again = await store.append("x");
    expect(again?.size).toBe(5);
    await again?.append(bytes(6));
    await again?.close();
    expect([...((await store.get("x")) as Uint8Array)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await store.keys()).toEqual(["x"]);
    expect([...(await store.read("x", 4, 9))]).toEqual([5, 6]);
    await store.remove("x");
    expect(await store.size("x")).toBeUndefined();
    expect([...(await store.read("x", 1, 3))]).toEqual([]);
  });

  test("opens a blob that nobody writes, reads what fits, and tells where it ends", async () => {
    const store = new MemoryStore();
    const appender = await store.append("x");
    await appender?.append(bytes(1, 2, 3, 4, 5));
    expect(await store.open("x")).toBeUndefined();
    await appender?.close();
    const reader = await store.open("x");
    expect(reader?.size).toBe(5);
    const into = bytes(9, 9, 9);
    expect([await reader?.read(into, 1), ...into]).toEqual([3, 2, 3, 4]);
    expect([await reader?.read(into, 4), ...into]).toEqual([1, 5, 3, 4]);
    reader?.close();
  });

  test("one writer at a time", async () => {
    const store = new MemoryStore();
    const first = await store.append("x");
    expect(await store.append("x")).toBeUndefined();
    expect(await put(store, "x", bytes(1))).toBe(false);
    await first?.close();
    expect(await put(store, "x", bytes(1))).toBe(true);
  });

  test("a full store says so as browsers do", async () => {
    const store = new MemoryStore(4);
    await expect(put(store, "x", bytes(1, 2, 3, 4, 5))).rejects.toMatchObject({
      name: "QuotaExceededError",
    });
    expect(await store.keys()).toEqual([]);
  });

  test("a small blob is replaced without being removed before", async () => {
    const store = new MemoryStore();
    await put(store, "x", bytes(1, 2));
    store.remove = async () => {
      throw new Error("then it is missing for a while");
    };
    await put(store, "x", bytes(3));
    expect(await store.get("x")).toEqual(bytes(3));
  });
});
