/** What a tier needs of a device, found before one is asked for. */
import { AdapterLimit } from "../errors.js";
import type { Tier } from "../generated/program.js";
import type { Model } from "../program/check.js";
import { layoutArenas } from "./arena.js";
import { RING_DEPTH } from "./readback.js";
import { bufferBytes, residentBytes, type Symbols, storageBytes } from "./sizes.js";
import { layoutStepBlock } from "./step_block.js";

/** The WebGPU limits that a pack can exceed. */
export type LimitName =
  | "maxBufferSize"
  | "maxStorageBufferBindingSize"
  | "maxUniformBufferBindingSize"
  | "maxStorageBuffersPerShaderStage"
  | "maxBindingsPerBindGroup"
  | "maxComputeWorkgroupStorageSize"
  | "maxComputeInvocationsPerWorkgroup"
  | "maxComputeWorkgroupSizeX"
  | "maxComputeWorkgroupSizeY"
  | "maxComputeWorkgroupSizeZ";

export interface Requirements {
  features: readonly string[];
  limits: Record<LimitName, number>;
  /** GPU bytes that will be allocated. */
  bytes: { weights: number; activations: number; kv: number; total: number };
}

export interface Available {
  features: ReadonlySet<string>;
  /** A software adapter: WebGPU's word for it is fallback adapter. */
  software: boolean;
  vendor: string;
  architecture: string;
  limits: Readonly<Record<LimitName, number>>;
}

/** Kernels a tier launches, without alternatives. */
export function tierKernels(tier: Tier): Set<string> {
  return new Set(
    Object.values(tier.functions).flatMap((f) =>
      [...f.launches, ...f.few.flat()].map((l) => l.kernel),
    ),
  );
}

/** @param tier after `chooseKernels` */
export function requirements(model: Model, tier: Tier, symbols: Symbols): Requirements {
  const { program } = model;
  const kernels = [...tierKernels(tier)].map(
    (k) => model.kernels[k] as NonNullable<(typeof model.kernels)[string]>,
  );
  const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0);
  const segments = program.segments.map(residentBytes);
  const storages = tier.storages.map((_, i) => storageBytes(tier, i, symbols));
  const buffers = tier.buffers.map((b) => ({ name: b.name, bytes: bufferBytes(b, symbols) }));
  const block = layoutStepBlock(program, tier.functions, symbols);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const isKv = (name: string) => name.startsWith("kv_");
  const kv = sum(buffers.filter((b) => isKv(b.name)).map((b) => b.bytes));
  const isResult = ({ name }: { name: string }) => name === "sampled" || name === "embeddings";
  const results = RING_DEPTH * (buffers.find(isResult)?.bytes ?? 0);
  // Pages are copied through one of their size.
  const pages = symbols.maxima[symbols.index.get("pages") as number] as number;
  const page = kv / Math.max(1, pages);
  const others = sum(buffers.filter((b) => !isKv(b.name)).map((b) => b.bytes));
  const activations = sum(storages) + others + results + page + block.bytes;
  const weights = sum(layoutArenas(program.segments, Number.POSITIVE_INFINITY).arenas);
  const binding = most([...segments, ...storages, ...buffers.map((b) => b.bytes)]);
  return {
    features: [...new Set([...tier.requires, ...kernels.flatMap((k) => k.features)])],
    limits: {
      maxBufferSize: Math.max(binding, block.bytes),
      maxStorageBufferBindingSize: binding,
      maxUniformBufferBindingSize: most(kernels.map((k) => k.params.length * 4)),
      maxStorageBuffersPerShaderStage: most(kernels.map((k) => k.bindings.length)),
      maxBindingsPerBindGroup: most(kernels.map((k) => k.bindings.length + 1)),
      maxComputeWorkgroupStorageSize: most(kernels.map((k) => k.workgroup_bytes)),
      maxComputeInvocationsPerWorkgroup: most(
        kernels.map((k) => k.workgroup_size.reduce((a, b) => a * b, 1)),
      ),
      maxComputeWorkgroupSizeX: most(kernels.map((k) => k.workgroup_size[0])),
      maxComputeWorkgroupSizeY: most(kernels.map((k) => k.workgroup_size[1])),
      maxComputeWorkgroupSizeZ: most(kernels.map((k) => k.workgroup_size[2])),
    },
    bytes: { weights, activations, kv, total: weights + activations + kv },
  };
}

/** Why a device can't run this, one sentence each; empty when it can. */
export function shortcomings(needs: Requirements, has: Available): AdapterLimit[] {
  const missing = needs.features
    .filter((f) => !has.features.has(f))
    .map((f) => new AdapterLimit(`this GPU lacks the WebGPU feature ${f}`, { feature: f }));
  const short = Object.entries(needs.limits)
    .filter(([name, needed]) => needed > has.limits[name as LimitName])
    .map(([name, needed]) => {
      const available = has.limits[name as LimitName];
      const advice =
        name === "maxStorageBufferBindingSize"
          ? "; a smaller contextLength or kvTokens may fit"
          : "";
      return new AdapterLimit(
        `this GPU's ${name} is ${available}, the pack needs ${needed}${advice}`,
        {
          limit: name,
          needed,
          available,
        },
      );
    });
  return [...missing, ...short];
}
