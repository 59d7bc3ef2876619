/** Hosts for tests: files from a map, WebGPU from Dawn. */
import type { Host } from "../engine/host.js";
import { MemoryStore } from "../store/memory.js";
import type { Store } from "../store/store.js";

export const BASE = "https://packs.test/tiny/";

/** A fetch that serves `files` under {@link BASE}, with ranges. */
export function fetchFrom(files: ReadonlyMap<string, Uint8Array>): Host["fetch"] {
  return async (url, init) => {
    const body = files.get(url.slice(BASE.length));
    if (!url.startsWith(BASE) || !body) return new Response("not here", { status: 404 });
    const range = /^bytes=(\d+)-$/.exec(new Headers(init?.headers).get("range") ?? "");
    const from = Number(range?.[1] ?? 0);
    if (range && from >= body.length) return new Response(null, { status: 416 });
    return new Response(body.slice(from), { status: range ? 206 : 200 });
  };
}

let instance: GPU | undefined;

/**
 * Dawn with whatever Vulkan device VK_DRIVER_FILES names. One instance per process, kept for ever: Dawn ends the process
 * when an instance is collected while its devices are in use.
 */
export async function dawn(): Promise<GPU> {
  const { create } = (await import("webgpu")) as { create: (flags: string[]) => GPU };
  instance ??= create([]);
  return instance;
}

export interface WatchedGpu {
  gpu: GPU;
  /** Those it gave away. */
  devices: GPUDevice[];
  /** Bytes, and number, of the buffers on them that were made and not destroyed. */
  live: { bytes: number; buffers: number };
}

/** The real implementation; it only tells what it gave away. */
export function watched(gpu: GPU): WatchedGpu {
  const devices: GPUDevice[] = [];
  const live = { bytes: 0, buffers: 0 };
  const count = (buffer: GPUBuffer) => {
    const { size } = buffer;
    live.bytes += size;
    live.buffers++;
    const destroy = buffer.destroy.bind(buffer);
    let destroyed = false;
    buffer.destroy = () => {
      if (!destroyed) {
        live.bytes -= size;
        live.buffers--;
      }
      destroyed = true;
      return destroy();
    };
    return buffer;
  };
  const requestAdapter = async () => {
    const adapter = (await gpu.requestAdapter()) as GPUAdapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      devices.push(device);
      const create = device.createBuffer.bind(device);
      device.createBuffer = (descriptor) => count(create(descriptor));
      return device;
    };
    return adapter;
  };
  return { gpu: { requestAdapter } as GPU, devices, live };
}

export function testHost(
  files: ReadonlyMap<string, Uint8Array>,
  gpu: GPU,
  store: Store = new MemoryStore(),
): Host {
  return { gpu, fetch: fetchFrom(files), openStore: async () => store };
}
