/** Kernels to compute pipelines, compiled asynchronously and beside each other. */
import { DeviceError } from "../errors.js";
import type { Kernel, KernelFile } from "../generated/kernels.js";
import { STAGE_COMPUTE } from "./flags.js";

export interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

/** The pipelines of one device's kernels, each compiled once, when it is first asked for. */
export class Pipelines {
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #compiled = new Map<string, Promise<Pipeline>>();

  constructor(
    private readonly device: GPUDevice,
    private readonly kernels: KernelFile["kernels"],
  ) {}

  /**
   * Compiles kernels beside each other, the longest first: what begins last should not be what all others wait for.
   *
   * @throws DeviceError naming the kernel and the first compiler message
   */
  async compile(names: Iterable<string>): Promise<Map<string, Pipeline>> {
    const length = (name: string) => this.kernels[name]?.wgsl.length ?? 0;
    const ordered = [...names].sort((a, b) => length(b) - length(a));
    const compile = async (name: string): Promise<[string, Pipeline]> => {
      let pipeline = this.#compiled.get(name);
      if (!pipeline) {
        pipeline = this.#compile(this.kernels[name] as Kernel);
        this.#compiled.set(name, pipeline);
      }
      return [name, await pipeline];
    };
    return new Map(await Promise.all(ordered.map(compile)));
  }

  async #compile(kernel: Kernel): Promise<Pipeline> {
    const { device } = this;
    const layout = bindGroupLayout(device, kernel, this.#layouts);
    // The scope keeps a compile error from counting as a device failure: it is reported below, with the kernel's name.
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: kernel.name, code: kernel.wgsl });
    const scope = device.popErrorScope();
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: kernel.entry_point },
      });
      await scope;
      return { pipeline, layout };
    } catch (cause) {
      await scope;
      const info = await module.getCompilationInfo();
      const first = info.messages.find((m) => m.type === "error");
      const why = first ? `line ${first.lineNum}: ${first.message}` : (cause as Error).message;
      throw new DeviceError(
        `kernel ${kernel.name} does not compile: ${why}`,
        { kernel: kernel.name },
        { cause },
      );
    }
  }
}

/** Layouts are shared between kernels with the same bindings, so that their bind groups could be too. */
function bindGroupLayout(
  device: GPUDevice,
  kernel: Kernel,
  layouts: Map<string, GPUBindGroupLayout>,
): GPUBindGroupLayout {
  const types: GPUBufferBindingType[] = kernel.bindings.map((access) =>
    access === "read" ? "read-only-storage" : "storage",
  );
  if (kernel.params.length > 0) types.push("uniform");
  const key = types.join();
  let layout = layouts.get(key);
  if (!layout) {
    layout = device.createBindGroupLayout({
      entries: types.map((type, binding) => ({
        binding,
        visibility: STAGE_COMPUTE,
        buffer: { type },
      })),
    });
    layouts.set(key, layout);
  }
  return layout;
}
