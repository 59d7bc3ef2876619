// The ground that everything else stands on: this browser has WebGPU, in the page and in a worker.

import { expect, test } from "../harness/fixtures.js";

interface Found {
  features: string[];
  storageBuffers: number;
  isolated: boolean;
}

/** Runs in the page or, as source text, in a worker. */
async function requestAdapter(): Promise<Found | null> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  return {
    features: [...adapter.features],
    storageBuffers: adapter.limits.maxStorageBuffersPerShaderStage,
    isolated: globalThis.crossOriginIsolated,
  };
}

function check(found: Found | null, adapter: string): void {
  expect(found, "navigator.gpu.requestAdapter()").not.toBeNull();
  expect(found?.storageBuffers).toBeGreaterThanOrEqual(8);
  expect(found?.isolated, "COOP and COEP headers").toBe(true);
  if (adapter === "lavapipe") {
    expect(found?.features).toContain("shader-f16");
    expect(found?.features).toContain("subgroups");
  }
  if (adapter === "swiftshader") expect(found?.features).not.toContain("shader-f16");
}

test("the page has a WebGPU adapter @tiers", async ({ page, adapter }) => {
  check(await page.evaluate(requestAdapter), adapter);
});

test("a dedicated worker has a WebGPU adapter @tiers", async ({ page, adapter }) => {
  const found = await page.evaluate((source) => {
    const url = URL.createObjectURL(
      new Blob([`(${source})().then((found) => postMessage(found))`], { type: "text/javascript" }),
    );
    const worker = new Worker(url, { type: "module" });
    return new Promise<Found | null>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    }).finally(() => worker.terminate());
  }, requestAdapter.toString());
  check(found, adapter);
});

test("a shader computes @tiers", async ({ page }) => {
  const doubled = await page.evaluate(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter!.requestDevice();
    const module = device.createShaderModule({
      code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
          x[id.x] = 2 * x[id.x];
        }`,
    });
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module },
    });
    const x = device.createBuffer({
      size: 256,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    const readback = device.createBuffer({
      size: 256,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(
      x,
      0,
      Float32Array.from({ length: 64 }, (_, i) => i),
    );
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer: x } }],
      }),
    );
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(x, 0, readback, 0, 256);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const result = [...new Float32Array(readback.getMappedRange())];
    device.destroy();
    return result;
  });
  expect(doubled).toEqual(Array.from({ length: 64 }, (_, i) => 2 * i));
});
