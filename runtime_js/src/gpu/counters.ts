/** What the engine asked of the GPU, counted at the device itself, so that no call can escape the count. */
export interface Counters {
  /** `queue.submit` calls with at least one command buffer. */
  submits: number;
  /** Those without: see `pokes.ts`. */
  pokes: number;
  /** `queue.writeBuffer` calls. */
  writeBuffers: number;
  createdBuffers: number;
  createdBindGroups: number;
  createdPipelines: number;
  /** Steps the player was asked for, the run-ahead's surplus among them. */
  steps: number;
  /** Dispatches encoded by the player. */
  launches: number;
}

export function newCounters(): Counters {
  return {
    submits: 0,
    pokes: 0,
    writeBuffers: 0,
    createdBuffers: 0,
    createdBindGroups: 0,
    createdPipelines: 0,
    steps: 0,
    launches: 0,
  };
}

/** Makes `device` count its calls into `counters`. */
export function countCalls(device: GPUDevice, counters: Counters): void {
  wrap(device, "createBuffer", () => counters.createdBuffers++);
  wrap(device, "createBindGroup", () => counters.createdBindGroups++);
  wrap(device, "createComputePipelineAsync", () => counters.createdPipelines++);
  wrap(device.queue, "writeBuffer", () => counters.writeBuffers++);
  wrap(device.queue, "submit", (buffers) => {
    counters[(buffers as unknown[]).length > 0 ? "submits" : "pokes"]++;
  });
}

function wrap<T extends object>(target: T, method: keyof T, count: (first: unknown) => void): void {
  const original = (target[method] as (...args: unknown[]) => unknown).bind(target);
  const counted = (...args: unknown[]) => {
    count(args[0]);
    return original(...args);
  };
  Object.defineProperty(target, method, { value: counted, configurable: true });
}
