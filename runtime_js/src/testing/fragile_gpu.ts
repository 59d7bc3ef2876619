/** A GPU whose devices are lost at a given moment: the real implementation, which destroys one behind the engine's back. */

export interface FragileGpu {
  gpu: GPU;
  /** Losses so far, by the last call before each. */
  losses: Map<string, number>;
  /** Devices handed out. */
  devices: GPUDevice[];
}

/** Before these calls of a device, its queue and its buffers it may be lost. */
const DEVICE_CALLS = ["createBuffer", "createComputePipelineAsync", "createBindGroup"] as const;
const QUEUE_CALLS = ["writeBuffer", "submit", "onSubmittedWorkDone"] as const;

/**
 * @param calls after how many calls the next device is lost; Infinity: never
 * @param counts whether a call just now counts as one of these
 * @param lost is told when one is lost
 */
export function fragile(
  gpu: GPU,
  calls: () => number,
  { counts = (): boolean => true, lost = () => {} } = {},
): FragileGpu {
  const losses = new Map<string, number>();
  const devices: GPUDevice[] = [];
  const break_ = (device: GPUDevice) => {
    let left = calls();
    const count = (call: string) => {
      if (!counts() || left-- !== 0) return;
      losses.set(call, (losses.get(call) ?? 0) + 1);
      lost();
      device.destroy();
    };
    before(device, DEVICE_CALLS, count);
    before(device.queue, QUEUE_CALLS, count);
    const create = device.createBuffer;
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      before(buffer, ["mapAsync"] as const, count);
      return buffer;
    };
    devices.push(device);
  };
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      break_(device);
      return device;
    };
    return adapter;
  };
  return { gpu: { requestAdapter } as GPU, losses, devices };
}

/** Has `count` called before each of the methods. */
function before<T extends object>(
  target: T,
  methods: readonly (keyof T & string)[],
  count: (call: string) => void,
): void {
  for (const method of methods) {
    const original = (target[method] as (...args: unknown[]) => unknown).bind(target);
    const value = (...args: unknown[]) => {
      count(method);
      return original(...args);
    };
    Object.defineProperty(target, method, { value, configurable: true, writable: true });
  }
}
