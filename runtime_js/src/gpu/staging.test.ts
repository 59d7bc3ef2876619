import { afterEach, expect, test } from "vitest";
import { dawn } from "../testing/host.js";
import { type Device, requestDevice } from "./device.js";
import { COPY_DST, COPY_SRC, MAP_READ, MODE_READ } from "./flags.js";
import { StagingRing } from "./staging.js";

const devices: Device[] = [];
afterEach(() => {
  for (const gpu of devices.splice(0)) gpu.destroy();
});

async function make() {
  const adapter = (await (await dawn()).requestAdapter()) as GPUAdapter;
  const gpu = await requestDevice(adapter);
  devices.push(gpu);
  return gpu;
}

async function read({ device }: Device, source: GPUBuffer): Promise<Uint8Array> {
  const copy = device.createBuffer({ size: source.size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, copy, 0, source.size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(MODE_READ);
  return new Uint8Array(copy.getMappedRange());
}

test("what is written arrives, through as many buffers as may be taken at once and no more", async () => {
  const gpu = await make();
  const size = 4096;
  const expected = new Uint8Array(30 * size).map((_, i) => (i * 31 + (i >> 8)) & 0xff);
  const target = gpu.device.createBuffer({ size: expected.length, usage: COPY_DST | COPY_SRC });
  const before = gpu.counters.createdBuffers;
  const ring = new StagingRing(gpu, 3);
  // Three writers, who take turns and hold one buffer each.
  let next = 0;
  const writer = async () => {
    for (let i = next++; i < 30; i = next++) {
      const staging = await ring.take();
      const at = i * size;
      staging.bytes.set(expected.subarray(at, at + size));
      await Promise.resolve();
      // In two parts, the second one first.
      expect(staging.copy(staging.bytes.subarray(1024, size), target, at + 1024)).toBe(true);
      expect(staging.copy(staging.bytes.subarray(0, 1024), target, at)).toBe(true);
      staging.submit();
    }
  };
  await Promise.all([writer(), writer(), writer()]);
  ring.destroy(); // what was submitted is copied all the same
  expect(gpu.counters.createdBuffers - before).toBe(3);
  expect(await read(gpu, target)).toEqual(expected);
});

test("bytes from elsewhere, and parts that are no whole words, are refused", async () => {
  const gpu = await make();
  const target = gpu.device.createBuffer({ size: 64, usage: COPY_DST | COPY_SRC });
  const staging = await new StagingRing(gpu, 1).take();
  staging.bytes.fill(7, 0, 64);
  expect(staging.copy(new Uint8Array(8), target, 0)).toBe(false);
  expect(staging.copy(staging.bytes.subarray(2, 6), target, 0)).toBe(false);
  expect(staging.copy(staging.bytes.subarray(0, 6), target, 0)).toBe(false);
  expect(staging.copy(staging.bytes.subarray(4, 8), target, 8)).toBe(true);
  staging.submit();
  const expected = new Uint8Array(64).fill(7, 8, 12);
  expect(await read(gpu, target)).toEqual(expected);
});

test("whoever waits for a device that goes away is told", async () => {
  const gpu = await make();
  const ring = new StagingRing(gpu, 1);
  (await ring.take()).submit();
  gpu.destroy();
  await expect(ring.take()).rejects.toThrow();
});
