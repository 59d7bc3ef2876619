/** Measures kernels for `webbuild tune`: candidates for one launch on the same arrays. */
import type { Kernel } from "../generated/kernels.js";
import { available, describeAdapter, requestAdapter } from "../gpu/device.js";
import { F32_MATRICES, webgpuFeatures } from "../gpu/features.js";
import { COPY_DST, COPY_SRC, STORAGE, UNIFORM } from "../gpu/flags.js";
import { Pipelines } from "../gpu/pipelines.js";
import { copyFloats } from "../gpu/readback.js";
import { difference, type Run, TOLERANCE, takeTurns } from "../gpu/timer.js";
import { contents, type FilledArray } from "./fill.js";

/** A candidate. */
export interface KernelCase {
  name: string;
  wgsl: string;
  entryPoint: string;
  /** By binding. */
  access: Kernel["bindings"];
  /** Words of the uniform block, which is the last binding; none, no binding. */
  params: number[];
  grid: [number, number, number];
}

export interface KernelProblem {
  /** By binding. */
  arrays: FilledArray[];
  /** Bindings whose f32 contents must be those of the first case. */
  outputs: number[];
  cases: KernelCase[];
  samples: number;
  leastMs: number;
}

/** Seconds of one launch; `failure` says why a case must not be used. */
export interface KernelResult {
  seconds: number | null;
  median: number | null;
  difference: number;
  failure: string | null;
}

/** What the command line wants to know of the adapter. */
export interface KernelAdapter {
  vendor: string;
  architecture: string;
  description: string;
  features: string[];
  software: boolean;
}

const FEATURES = ["shader-f16", "subgroups", F32_MATRICES, "timestamp-query"];

export class KernelBench {
  private constructor(
    private readonly device: GPUDevice,
    readonly adapter: KernelAdapter,
  ) {}

  /** @throws NoWebGPU */
  static async open(gpu: GPU | undefined): Promise<KernelBench> {
    const adapter = await requestAdapter(gpu);
    const { device, description } = describeAdapter(adapter);
    const { vendor, architecture, features, software, limits } = available(adapter);
    const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = limits;
    const open = await adapter.requestDevice({
      requiredFeatures: webgpuFeatures(FEATURES.filter((f) => features.has(f))),
      requiredLimits: {
        maxBufferSize,
        maxStorageBufferBindingSize,
        maxStorageBuffersPerShaderStage,
      },
    });
    return new KernelBench(open, {
      vendor,
      architecture,
      description: description || device || `${vendor} ${architecture}`,
      features: [...features],
      software,
    });
  }

  /** Times of all cases, taken in turns; what differs from the first case's results is refused. */
  async measure(problem: KernelProblem): Promise<KernelResult[]> {
    const { device } = this;
    const words = problem.arrays.map(contents);
    const buffers = words.map((array) => this.#buffer(array, STORAGE | COPY_SRC | COPY_DST));
    try {
      const results: KernelResult[] = [];
      const runs: { run: Run; result: KernelResult }[] = [];
      let want: Float32Array[] | undefined;
      for (const one of problem.cases) {
        const result: KernelResult = { seconds: null, median: null, difference: 0, failure: null };
        results.push(result);
        try {
          const run = await this.#prepare(one, buffers);
          for (const [i, access] of one.access.entries()) {
            const array = words[i] as Uint32Array<ArrayBuffer>;
            if (access === "read_write")
              device.queue.writeBuffer(buffers[i] as GPUBuffer, 0, array);
          }
          const got = await this.#outputs(one.name, run, problem.outputs, buffers);
          want ??= got;
          const correct = want;
          result.difference = Math.max(
            ...got.map((g, i) => difference(g, correct[i] as Float32Array)),
          );
          if (result.difference <= TOLERANCE) runs.push({ run, result });
          else result.failure = `${one.name} computes something else: off by ${result.difference}`;
        } catch (error) {
          result.failure = (error as Error).message;
        }
        result.difference = Math.min(result.difference, Number.MAX_VALUE); // JSON has no Infinity
      }
      const { samples, leastMs } = problem;
      const turns = takeTurns(
        device,
        runs.map(({ run }) => run),
        { samples, leastMs },
      );
      const times = await Promise.race([turns, this.#lost()]);
      for (const [i, { result }] of runs.entries()) {
        result.seconds = (times[i]?.least as number) / 1e3;
        result.median = (times[i]?.median as number) / 1e3;
      }
      return results;
    } finally {
      for (const buffer of buffers) buffer.destroy();
    }
  }

  close(): void {
    this.device.destroy();
  }

  async #lost(): Promise<never> {
    const { message, reason } = await this.device.lost;
    throw new Error(`the GPU device was lost (${message || reason})`);
  }

  #buffer(data: Uint32Array<ArrayBuffer>, usage: number): GPUBuffer {
    const buffer = this.device.createBuffer({ size: data.byteLength, usage });
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  async #prepare(one: KernelCase, buffers: readonly GPUBuffer[]): Promise<Run> {
    const { device } = this;
    const kernel: Kernel = {
      name: one.name,
      origin: "library",
      wgsl: one.wgsl,
      entry_point: one.entryPoint,
      workgroup_size: [1, 1, 1],
      workgroup_bytes: 0,
      bindings: one.access,
      params: one.params.map(() => "u32"),
      features: [],
      suits: "measured",
      tuning: one.name,
      tuning_key: "",
    };
    const compiled = await new Pipelines(device, { kernel }).compile(["kernel"]);
    const { pipeline, layout } = compiled.get("kernel") as NonNullable<
      ReturnType<typeof compiled.get>
    >;
    const resources = [...buffers];
    if (one.params.length > 0) {
      const block = new Uint32Array(Math.ceil(one.params.length / 4) * 4);
      block.set(one.params);
      resources.push(this.#buffer(block, UNIFORM | COPY_DST));
    }
    const entries = resources.map((buffer, binding) => ({ binding, resource: { buffer } }));
    return { pipeline, bindGroup: device.createBindGroup({ layout, entries }), grid: one.grid };
  }

  /** What a kernel writes. @throws Error if WebGPU refuses it */
  async #outputs(
    name: string,
    { pipeline, bindGroup, grid }: Run,
    outputs: readonly number[],
    buffers: readonly GPUBuffer[],
  ): Promise<Float32Array[]> {
    const { device } = this;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...grid);
    pass.end();
    const written = outputs.map((i) => buffers[i] as GPUBuffer);
    const read = copyFloats(device, encoder, written);
    device.queue.submit([encoder.finish()]);
    const refused = await device.popErrorScope();
    if (refused) throw new Error(`${name} is refused: ${refused.message}`);
    return read();
  }
}
