import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { Watchers } from "./watchers.js";

test("tells at once, then at its rate, and what came last when all rests; an end leaves nothing", async () => {
  let now = 0;
  let state = 0;
  const watchers = new Watchers(
    () => state,
    () => now,
  );
  const [slow, fast]: number[][] = [[], []];
  const controller = new AbortController();
  const watching = watchers.watch(100, (s) => slow?.push(s), controller.signal);
  const other = new AbortController();
  const also = watchers.watch(0, (s) => fast?.push(s), other.signal);
  for (; state < 25; now += 10) {
    state++;
    watchers.changed(false);
  }
  watchers.changed(true);
  watchers.changed(true);
  expect(slow).toEqual([0, 11, 21, 25]);
  expect(fast).toEqual([0, ...Array.from({ length: 25 }, (_, i) => i + 1)]);
  controller.abort();
  other.abort();
  await expect(watching).rejects.toMatchObject({ name: "AbortError" });
  await expect(also).rejects.toMatchObject({ name: "AbortError" });
  watchers.changed(false);
  expect(slow).toHaveLength(4);
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  await expect(watchers.watch(1, () => {}, controller.signal)).rejects.toThrow();
});
