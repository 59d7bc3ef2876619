/** Adapters and devices: choosing a tier, and a device that can run it. */
import {
  AdapterLimit,
  DeviceError,
  DeviceLostError,
  NoWebGPU,
  OutOfMemory,
  WebbuildError,
} from "../errors.js";
import type { Tier } from "../generated/program.js";
import type { Model } from "../program/check.js";
import { chooseKernels } from "./choose_kernels.js";
import { type Counters, countCalls, newCounters } from "./counters.js";
import { KERNEL_FEATURES, kernelFeatures, webgpuFeatures } from "./features.js";
import { adapterKind, adviceOf } from "./records.js";
import {
  type Available,
  type LimitName,
  type Requirements,
  requirements,
  shortcomings,
} from "./requirements.js";
import type { Symbols } from "./sizes.js";

/** What `Engine.info` and `Engine.canRun` say about the GPU. */
export interface AdapterReport {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  features: string[];
  limits: Record<LimitName, number>;
}

const LIMITS: LimitName[] = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
];

/** What WebGPU guarantees; a device has at least this without asking. */
const DEFAULT_LIMITS: Record<LimitName, number> = {
  maxBufferSize: 256 * 2 ** 20,
  maxStorageBufferBindingSize: 128 * 2 ** 20,
  maxUniformBufferBindingSize: 64 * 2 ** 10,
  maxStorageBuffersPerShaderStage: 8,
  maxBindingsPerBindGroup: 1000,
  maxComputeWorkgroupStorageSize: 16 * 2 ** 10,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
};

/** @throws NoWebGPU */
export async function requestAdapter(
  gpu: GPU | undefined,
  options: GPURequestAdapterOptions = { powerPreference: "high-performance" },
): Promise<GPUAdapter> {
  if (!gpu) {
    throw new NoWebGPU(
      "this browser has no WebGPU here: use a current Chrome, Edge, Safari or Firefox, over https or on localhost",
    );
  }
  const adapter = await gpu.requestAdapter(options);
  if (!adapter) {
    throw new NoWebGPU(
      "WebGPU found no usable GPU: see chrome://gpu, and turn hardware acceleration on",
    );
  }
  return adapter;
}

export function describeAdapter(adapter: GPUAdapter): AdapterReport {
  const { vendor, architecture, device, description } = adapter.info;
  const features = [...adapter.features].sort();
  return { vendor, architecture, device, description, features, limits: limitsOf(adapter.limits) };
}

function limitsOf(limits: GPUSupportedLimits): Record<LimitName, number> {
  return Object.fromEntries(LIMITS.map((l) => [l, Number(limits[l])])) as Record<LimitName, number>;
}

export function available(adapter: GPUAdapter): Available {
  const { isFallbackAdapter = false } = adapter.info as { isFallbackAdapter?: boolean };
  const all = kernelFeatures(adapter);
  const features = new Set(KERNEL_FEATURES.filter((f) => all.has(f)));
  const limits = limitsOf(adapter.limits);
  return { features, software: isFallbackAdapter, ...adapterKind(adapter.info), limits };
}

export interface TierChoice {
  name: string;
  /** With the kernels that suit the adapter. */
  tier: Tier;
  needs: Requirements;
  /** Empty when the tier can run. */
  problems: AdapterLimit[];
}

/**
 * The first tier that the adapter can run, or, with problems, the first.
 *
 * @param wanted a tier by name, instead of the first that fits
 */
export function chooseTier(
  model: Model,
  symbols: Symbols,
  has: Available,
  wanted?: string,
): TierChoice {
  const names = Object.keys(model.program.tiers).filter(
    (t) => wanted === undefined || t === wanted,
  );
  let least: TierChoice | undefined;
  for (const name of names) {
    const advice = adviceOf(model.records, has, name, model.kernels);
    const tier = chooseKernels(model.tier(name), model.kernels, has, advice);
    const needs = requirements(model, tier, symbols);
    const choice = { name, tier, needs, problems: shortcomings(needs, has) };
    if (choice.problems.length === 0) return choice;
    least ??= choice;
  }
  if (least) return least;
  throw new AdapterLimit(
    `the pack has no tier ${wanted}; it has ${Object.keys(model.program.tiers).join(", ")}`,
    { tier: wanted },
  );
}

/** A device with its failure modes turned into errors. */
export interface Device {
  device: GPUDevice;
  /** A software adapter's. */
  software: boolean;
  counters: Counters;
  /** Rejects, and never resolves, when the device is lost or refuses a command. */
  failed: Promise<never>;
  /** The failure, once there was one. */
  failure(): Error | undefined;
  /** What is behind an error: calls on a device that goes away may fail before its loss is told. */
  cause(error: unknown): Promise<unknown>;
  destroy(): void;
}

/** How much before its loss is told calls on a device fail, at most. */
const LOSS_MS = 250;

/**
 * A device with everything of the adapter that a kernel may need, so that it can be asked for before the pack is read.
 *
 * @param more other features, had if the adapter has them
 * @param counters its calls are added to these
 */
export async function requestDevice(
  adapter: GPUAdapter,
  more: readonly GPUFeatureName[] = [],
  counters: Counters = newCounters(),
): Promise<Device> {
  const { features, limits, software } = available(adapter);
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) {
    if (limits[name] > DEFAULT_LIMITS[name]) requiredLimits[name] = limits[name];
  }
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: [
        ...webgpuFeatures(features),
        ...more.filter((name) => adapter.features.has(name)),
      ],
      requiredLimits,
    });
  } catch (cause) {
    throw new DeviceError(
      `the GPU device could not be made: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
  countCalls(device, counters);

  let failure: Error | undefined;
  let destroyed = false;
  let reject: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, no) => {
    reject = no;
  });
  failed.catch(() => {}); // a failure between requests is reported by the next one
  const fail = (error: Error) => {
    if (destroyed || failure) return;
    failure = error;
    reject(error);
  };
  device.lost.then((info) => {
    fail(
      new DeviceLostError(
        `the GPU device was lost (${info.message || info.reason || "no reason given"})`,
      ),
    );
  });
  device.onuncapturederror = ({ error }) => fail(deviceError(error));
  return {
    device,
    software,
    counters,
    failed,
    failure: () => failure,
    async cause(error) {
      const named = error instanceof WebbuildError && !(error instanceof DeviceError);
      if (failure || named) return failure ?? error;
      const told = new Promise((resolve) => setTimeout(resolve, LOSS_MS));
      await Promise.race([failed.catch(() => {}), told]);
      return failure ?? error;
    },
    destroy() {
      destroyed = true;
      device.destroy();
    },
  };
}

function deviceError(error: GPUError): Error {
  const oom = error.constructor.name === "GPUOutOfMemoryError";
  return oom
    ? new OutOfMemory(`the GPU is out of memory: ${error.message}`)
    : new DeviceError(`the GPU refused a command: ${error.message}`);
}
