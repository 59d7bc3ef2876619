import { describe, expect, test, vi } from "vitest";
import { KvRefused } from "../errors.js";
import type { Sequence } from "../kv/sequence.js";
import { KvMemory } from "./kv_memory.js";
import { type PageKeeper, Reservations } from "./reservations.js";

const PAGES = 16;
const never = new AbortController().signal;
const tokens = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

function open(spares: () => boolean) {
  const looks = vi.fn(spares);
  const kv = new KvMemory(PAGES, 4);
  const keeper: PageKeeper = {
    kv,
    spares: looks,
    keep: () => {},
    letGo: (sequence) => sequence.release(),
  };
  const writer = { page: { bytes: 4 }, writePages: () => {} };
  const reservations = new Reservations("e", keeper, writer);
  const reserve = (count: number, times: { timeoutMs: number; roomMs?: number }) =>
    reservations.reserve(tokens(count), { ...times, owner: {}, signal: never });
  return { reservations, reserve, looks, kv };
}

describe("room that there never will be", () => {
  // A request that goes on from them needs a page of its own, and one more.
  test.each([4 * (PAGES - 1), 4 * PAGES, 4 * PAGES + 1])(
    "%i tokens: refused at once",
    async (n) => {
      const { reserve, looks, kv } = open(() => false);
      await expect(reserve(n, { timeoutMs: 600_000 })).rejects.toBeInstanceOf(KvRefused);
      expect(looks).toHaveBeenCalledTimes(1);
      expect(kv.pool.free).toBe(PAGES);
    },
  );

  test("what may fit later is waited for", async () => {
    let room = false;
    const { reservations, reserve, looks } = open(() => room);
    const waiting = reserve(4 * (PAGES - 2), { timeoutMs: 600_000 });
    await vi.waitFor(() => expect(looks.mock.calls.length).toBeGreaterThan(2));
    room = true;
    expect((await waiting).matched).toBe(0);
    reservations.clear("the test is over");
  });
});

test("asking for room, and what is cached, has nothing of others evicted sooner", async () => {
  const { reservations, reserve, kv } = open(() => false);
  const sequence = kv.take(8) as Sequence;
  kv.keep(sequence, tokens(8));
  sequence.release();
  expect(reservations.matched(tokens(12))).toBe(8);
  await expect(reserve(12, { timeoutMs: 600_000, roomMs: 30 })).rejects.toBeInstanceOf(KvRefused);
  expect(kv.tree.counters.lookups).toBe(0);
});

test("waiting for room may end before the pages would be given back", async () => {
  const { reserve } = open(() => false);
  await expect(reserve(8, { timeoutMs: 600_000, roomMs: 20 })).rejects.toMatchObject({
    name: "KvRefused",
    message: expect.stringContaining("in 20 ms"),
  });
});
