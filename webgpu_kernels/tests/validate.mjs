// Compiles WGSL kernels with Dawn (Tint), on its null backend: no adapter needed.
// stdin: JSON array of {name, wgsl, bindings}; stdout: JSON array of {name, message} for those that Dawn refuses.
import { text } from "node:stream/consumers";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const kernels = JSON.parse(await text(process.stdin));
// Subgroup matrices are unsafe, says Dawn, as long as they are experimental.
const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({
  requiredFeatures: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
});
const refused = [];
for (const { name, wgsl, bindings } of kernels) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: wgsl });
  // The null adapter's own limit is 8.
  if (bindings <= device.limits.maxStorageBuffersPerShaderStage) {
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  }
  const error = await device.popErrorScope();
  if (error) refused.push({ name, message: error.message });
}
process.stdout.write(JSON.stringify(refused));
device.destroy();
