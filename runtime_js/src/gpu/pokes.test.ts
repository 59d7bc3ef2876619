import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { countCalls, newCounters } from "./counters.js";
import { poke } from "./pokes.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** A queue that counts. */
function counted() {
  const nothing = () => {};
  const queue = { submit: nothing, writeBuffer: nothing };
  const device = { createBuffer: nothing, createBindGroup: nothing, queue };
  const counters = newCounters();
  const whole = { ...device, createComputePipelineAsync: nothing } as unknown as GPUDevice;
  countCalls(whole, counters);
  return { queue: whole.queue, counters };
}

test.each(["arrives", "fails"])("every millisecond until the result %s", async (end) => {
  const { queue, counters } = counted();
  let settle = () => {};
  const result = new Promise<void>((resolve, reject) => {
    settle = end === "arrives" ? resolve : () => reject(new Error("lost"));
  });
  poke(queue, result);
  const after = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    return counters.pokes;
  };
  expect([await after(0), await after(1), await after(2)]).toEqual([0, 1, 3]);
  settle();
  expect(await after(50)).toBe(3);
  expect(counters).toMatchObject({ submits: 0, writeBuffers: 0 });
});
