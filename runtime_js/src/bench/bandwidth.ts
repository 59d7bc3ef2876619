/** What memory gives on this adapter: a kernel that copies and one that only reads. */
import { DeviceLostError } from "../errors.js";
import { BANDWIDTH_WGSL } from "../generated/bandwidth.js";
import { requestAdapter } from "../gpu/device.js";
import { STORAGE } from "../gpu/flags.js";
import type { Bandwidth } from "./types.js";

/** As the kernels have it. */
const WORKGROUPS = 1024;
/** Buffers taken in turn, so that no cache holds them all. */
const BUFFERS = 4;
/** A measurement is at least this long; shorter ones measure the way to the GPU and back. */
const LEAST_MS = 60;
const REPEATS = 4;
const MOST_PASSES = 8192;

/** @param nbytes of one buffer; a multiple of 16 MiB, at most 128 MiB. @throws NoWebGPU, DeviceLostError */
export async function measureBandwidth(gpu: GPU | undefined, nbytes: number): Promise<Bandwidth> {
  const adapter = await requestAdapter(gpu);
  const device = await adapter.requestDevice();
  let lost: GPUDeviceLostInfo | undefined;
  void device.lost.then((info) => {
    lost = info;
  });
  try {
    const buffers = Array.from({ length: BUFFERS }, (_, i) =>
      device.createBuffer({ label: `bandwidth.${i}`, size: nbytes, usage: STORAGE }),
    );
    const copy = 2 * nbytes * (await passesPerMs(device, "copy_all", buffers)) * 1000;
    const read = nbytes * (await passesPerMs(device, "read_all", buffers)) * 1000;
    // A lost device is done with everything at once.
    if (lost) throw new DeviceLostError(`the GPU device was lost: ${lost.message || lost.reason}`);
    return { nbytes, copy, read };
  } finally {
    device.destroy();
  }
}

async function passesPerMs(
  device: GPUDevice,
  entryPoint: "copy_all" | "read_all",
  buffers: GPUBuffer[],
): Promise<number> {
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: BANDWIDTH_WGSL }), entryPoint },
  });
  const groups = buffers.map((source, i) =>
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [source, buffers[(i + 1) % BUFFERS] as GPUBuffer].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    }),
  );
  const run = async (passes: number): Promise<number> => {
    const began = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    for (let i = 0; i < passes; i++) {
      pass.setBindGroup(0, groups[i % BUFFERS] as GPUBindGroup);
      pass.dispatchWorkgroups(WORKGROUPS);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - began;
  };
  let passes = BUFFERS;
  await run(passes); // drivers compile late
  while ((await run(passes)) < LEAST_MS && passes < MOST_PASSES) passes *= 2;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) best = Math.min(best, await run(passes));
  return passes / best;
}
