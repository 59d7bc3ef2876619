/**
 * GPU time by timestamp queries. It stands between the player and the device: a compute pass that the player opens becomes
 * one pass per launch, or (`pass`) stays one, with a timestamp at both ends. The device must have `timestamp-query`.
 *
 * Splitting a pass costs time between launches, never in them; end-to-end figures come from runs without a profiler.
 */
import { DeviceError } from "../errors.js";
import { COPY_DST, COPY_SRC, MAP_READ, MODE_READ, QUERY_RESOLVE } from "./flags.js";

export interface TimedLaunch {
  /** Of the bind group: the launch's place in the program; empty for a whole pass. */
  label: string;
  /** Of the pipeline: the kernel's name. */
  kernel: string;
  /** ns since the first launch of its command buffer. */
  begin: number;
  end: number;
}

/** Queries of one set; WebGPU allows 4096. */
const QUERIES = 2048;

interface Recording {
  launches: { label: string; kernel: string }[];
  sets: GPUQuerySet[];
  buffer: GPUBuffer | undefined;
}

export class Profiler {
  readonly #recordings: Recording[] = [];
  #restore: (() => void) | undefined;

  /** Starts to record every command buffer. @throws DeviceError without timestamps */
  constructor(
    private readonly device: GPUDevice,
    private readonly mode: "launch" | "pass",
  ) {
    if (!device.features.has("timestamp-query")) {
      throw new DeviceError(
        "this device was made without timestamp-query: launches can't be timed",
      );
    }
    const own = Object.getOwnPropertyDescriptor(device, "createCommandEncoder");
    const original = device.createCommandEncoder.bind(device);
    const value = (descriptor?: GPUCommandEncoderDescriptor) => this.#record(original(descriptor));
    Object.defineProperty(device, "createCommandEncoder", { value, configurable: true });
    this.#restore = () => {
      Reflect.deleteProperty(device, "createCommandEncoder");
      if (own) Object.defineProperty(device, "createCommandEncoder", own);
    };
  }

  /** Records no more. */
  stop(): void {
    this.#restore?.();
    this.#restore = undefined;
  }

  /** Launches by command buffer, in the order of their encoding; those without a launch are left out. */
  async results(): Promise<TimedLaunch[][]> {
    this.stop();
    const all = [];
    for (const { launches, buffer, sets } of this.#recordings.splice(0)) {
      if (!buffer) continue;
      await buffer.mapAsync(MODE_READ);
      const times = new BigUint64Array(buffer.getMappedRange().slice(0));
      buffer.destroy();
      for (const set of sets) set.destroy();
      const first = times[0] as bigint;
      all.push(
        launches.map((launch, i) => ({
          ...launch,
          begin: Number((times[2 * i] as bigint) - first),
          end: Number((times[2 * i + 1] as bigint) - first),
        })),
      );
    }
    return all;
  }

  #record(encoder: GPUCommandEncoder): GPUCommandEncoder {
    const recording: Recording = { launches: [], sets: [], buffer: undefined };
    this.#recordings.push(recording);
    const begin = encoder.beginComputePass.bind(encoder);
    const finish = encoder.finish.bind(encoder);
    const timed = (label: string, kernel: string, descriptor: GPUComputePassDescriptor = {}) =>
      begin({ ...descriptor, timestampWrites: this.#stamp(recording, label, kernel) });
    const open = (descriptor?: GPUComputePassDescriptor) =>
      this.mode === "pass" ? timed("", "", descriptor) : splitPass(timed);
    Object.defineProperty(encoder, "beginComputePass", { value: open });
    Object.defineProperty(encoder, "finish", {
      value: (descriptor?: GPUCommandBufferDescriptor) => {
        this.#resolve(recording, encoder);
        return finish(descriptor);
      },
    });
    return encoder;
  }

  /** The next two queries. */
  #stamp(
    { launches, sets }: Recording,
    label: string,
    kernel: string,
  ): GPUComputePassTimestampWrites {
    const at = (2 * launches.length) % QUERIES;
    if (at === 0) sets.push(this.device.createQuerySet({ type: "timestamp", count: QUERIES }));
    launches.push({ label, kernel });
    return {
      querySet: sets.at(-1) as GPUQuerySet,
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    };
  }

  #resolve(recording: Recording, encoder: GPUCommandEncoder): void {
    const { launches, sets } = recording;
    if (launches.length === 0) return;
    const size = 16 * launches.length;
    const usage = QUERY_RESOLVE | COPY_SRC;
    const resolved = this.device.createBuffer({ size: sets.length * QUERIES * 8, usage });
    recording.buffer = this.device.createBuffer({ size, usage: MAP_READ | COPY_DST });
    sets.forEach((set, i) => {
      const count = Math.min(QUERIES, 2 * launches.length - i * QUERIES);
      encoder.resolveQuerySet(set, 0, count, resolved, i * QUERIES * 8);
    });
    encoder.copyBufferToBuffer(resolved, 0, recording.buffer, 0, size);
  }
}

/** What the player takes for a pass: it keeps the state that is set, and opens a real pass for each dispatch. */
function splitPass(open: (label: string, kernel: string) => GPUComputePassEncoder): unknown {
  /** The calls that set state, by method and slot. */
  const state = new Map<string, [method: string, args: unknown[]]>();
  let kernel = "";
  let label = "";
  const dispatch = (method: string, args: unknown[]) => {
    const pass = open(label, kernel) as unknown as Record<string, (...args: unknown[]) => void>;
    for (const [name, values] of state.values()) pass[name]?.(...values);
    pass[method]?.(...args);
    pass["end"]?.();
  };
  return new Proxy(
    {},
    {
      get: (_, key) => {
        const method = String(key);
        return (...args: unknown[]) => {
          if (method.startsWith("dispatch")) return dispatch(method, args);
          if (method === "end") return undefined;
          if (method === "setPipeline") kernel = (args[0] as GPUComputePipeline).label;
          if (method === "setBindGroup") label = (args[1] as GPUBindGroup).label;
          state.set(method === "setPipeline" ? method : `${method} ${args[0]}`, [method, args]);
          return undefined;
        };
      },
    },
  );
}
