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

/** The real implementation; it only tells which devices it gave away. */
export function watched(gpu: GPU): { gpu: GPU; devices: GPUDevice[] } {
  const devices: GPUDevice[] = [];
  const requestAdapter = async () => {
    const adapter = (await gpu.requestAdapter()) as GPUAdapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      devices.push(device);
      return device;
    };
    return adapter;
  };
  return { gpu: { requestAdapter } as GPU, devices };
}

export function testHost(
  files: ReadonlyMap<string, Uint8Array>,
  gpu: GPU,
  store: Store = new MemoryStore(),
): Host {
  return { gpu, fetch: fetchFrom(files), openStore: async () => store };
}
