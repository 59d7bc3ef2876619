/** What memory gives on this adapter: a kernel that copies and one that only reads. */
import { requestAdapter } from "../gpu/device.js";
import { STORAGE } from "../gpu/flags.js";
import type { Bandwidth } from "./types.js";

const WORKGROUPS = 1024;
const THREADS = 256;
/** Buffers taken in turn, so that no cache holds them all. */
const BUFFERS = 4;
/** A measurement is at least this long; shorter ones measure the way to the GPU and back. */
const LEAST_MS = 60;
const REPEATS = 4;
const MOST_PASSES = 8192;

/** What a thread does with items i0 to i3 of its stretch. */
const COPY = [0, 1, 2, 3].map((i) => `destination[i${i}] = source[i${i}];`).join(" ");
const READ = "sum += source[i0] + source[i1] + source[i2] + source[i3];";

/**
 * A workgroup goes through a stretch of its own, its threads side by side, four loads of each under way. The sum is
 * written only if it is what it never is, so that no compiler drops the reads.
 */
const kernel = (body: string) => /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let stretch = arrayLength(&source) / ${WORKGROUPS}u;
  let end = (group.x + 1u) * stretch;
  var sum = vec4<u32>(0u);
  for (var i0 = group.x * stretch + thread; i0 < end; i0 += ${4 * THREADS}u) {
    let i1 = i0 + ${THREADS}u;
    let i2 = i1 + ${THREADS}u;
    let i3 = i2 + ${THREADS}u;
    ${body}
  }
  if (all(sum == vec4<u32>(0x5eed5eedu))) { destination[group.x] = sum; }
}`;

/** @param nbytes of one buffer; a multiple of 16 MiB, at most 128 MiB. @throws NoWebGPU */
export async function measureBandwidth(gpu: GPU | undefined, nbytes: number): Promise<Bandwidth> {
  const adapter = await requestAdapter(gpu);
  const device = await adapter.requestDevice();
  try {
    const buffers = Array.from({ length: BUFFERS }, (_, i) =>
      device.createBuffer({ label: `bandwidth.${i}`, size: nbytes, usage: STORAGE }),
    );
    return {
      nbytes,
      copy: 2 * nbytes * (await passesPerMs(device, kernel(COPY), buffers)) * 1000,
      read: nbytes * (await passesPerMs(device, kernel(READ), buffers)) * 1000,
    };
  } finally {
    device.destroy();
  }
}

async function passesPerMs(device: GPUDevice, code: string, buffers: GPUBuffer[]): Promise<number> {
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
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
