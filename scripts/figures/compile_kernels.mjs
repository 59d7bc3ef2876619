// Compiles kernels one after another in Dawn and runs each once, which is when some drivers compile.
//
//   node scripts/figures/compile_kernels.mjs <KERNELS.json     a list of {id, wgsl, entry_point, bindings, params}
//
// Prints one JSON object: per id the processor time, in seconds, of the pipeline and of the first run. Set
// MESA_SHADER_CACHE_DIR to an empty folder to see what a first visit pays. With --announce it runs nothing, and
// writes "=== id" to stderr before each, where drivers tell of their code.

import { readFileSync } from "node:fs";
import { create } from "webgpu";

const BYTES = 1 << 20;
const announce = process.argv.includes("--announce");
const kernels = JSON.parse(readFileSync(0, "utf8"));
const gpu = create([]);
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) throw new Error("Dawn finds no adapter: run `make setup`");
/** @type {GPUFeatureName[]} */
const features = ["shader-f16", "subgroups"];
const device = await adapter.requestDevice({
  requiredFeatures: features.filter((f) => adapter.features.has(f)),
  requiredLimits: { maxStorageBuffersPerShaderStage: 10 },
});
device.onuncapturederror = (/** @type {any} */ { error }) => {
  console.error(error.message);
  process.exitCode = 1;
};
const COMPUTE = 4;
const [UNIFORM, STORAGE] = [0x40, 0x80];
/** Processor seconds of all threads but this one, which asks Dawn without a pause whether it is done. */
const others = () => {
  const { user, system } = process.cpuUsage();
  const own = Number(
    readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0],
  );
  return (user + system) / 1e6 - own / 1e9;
};

/** @type {(layout: GPUBindGroupLayout, code: string, entryPoint: string) => GPUComputePipelineDescriptor} */
const described = (layout, code, entryPoint) => ({
  layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
  compute: { module: device.createShaderModule({ code }), entryPoint },
});

/** @type {Record<string, {pipeline: number, first_run: number}>} */
const seconds = {};
for (const { id, wgsl, entry_point, bindings, params } of kernels) {
  /** @type {GPUBufferBindingType[]} */
  const types = bindings.map((/** @type {string} */ access) =>
    access === "read" ? "read-only-storage" : "storage",
  );
  if (params.length > 0) types.push("uniform");
  const layout = device.createBindGroupLayout({
    entries: types.map((type, binding) => ({ binding, visibility: COMPUTE, buffer: { type } })),
  });
  if (announce) {
    process.stderr.write(`\n=== ${id}\n`);
    await device.createComputePipelineAsync(described(layout, wgsl, entry_point));
    continue;
  }
  const buffers = types.map((type) =>
    device.createBuffer({ size: BYTES, usage: type === "uniform" ? UNIFORM : STORAGE }),
  );
  const began = others();
  const pipeline = await device.createComputePipelineAsync(described(layout, wgsl, entry_point));
  const compiled = others();
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  const submitted = others();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  seconds[id] = { pipeline: compiled - began, first_run: others() - submitted };
  for (const buffer of buffers) buffer.destroy();
}
if (announce) process.exit(); // the device may have neither memory nor commands
const { description } = adapter.info;
console.log(JSON.stringify({ adapter: description, seconds }));
device.destroy();
process.exit();
