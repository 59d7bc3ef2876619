/** Features that kernels name: WebGPU's own, and two of ours that say more of an adapter. */

/** 8 × 8 matrices of f32, multiplied by subgroups of at most 32. */
export const F32_MATRICES = "subgroup-matrix-f32-8x8x8";
/** The smallest subgroups have 8 or 16 invocations, as on Intel's and Arm's GPUs, each of which has few registers. */
export const NARROW = "narrow-subgroups";
/** All that kernels may need: what builder/webbuild/schema/check.py lets packs name. */
export const KERNEL_FEATURES: readonly string[] = ["shader-f16", "subgroups", F32_MATRICES, NARROW];
const MATRICES = "chromium-experimental-subgroup-matrix";

/** Not in WebGPU's types yet, the last an experimental feature of Chromium's. */
interface SubgroupInfo {
  subgroupMinSize?: number;
  subgroupMaxSize?: number;
  subgroupMatrixConfigs?: Iterable<{
    componentType: string;
    resultComponentType: string;
    M: number;
    N: number;
    K: number;
  }>;
}

/** The features of an adapter, by the names that kernels use. */
export function kernelFeatures(adapter: Pick<GPUAdapter, "features" | "info">): Set<string> {
  const features = new Set<string>(adapter.features);
  const info = adapter.info as SubgroupInfo;
  const fits = [...(info.subgroupMatrixConfigs ?? [])].some(
    (c) =>
      c.componentType === "f32" &&
      c.resultComponentType === "f32" &&
      [c.M, c.N, c.K].every((size) => size === 8),
  );
  const able = features.has(MATRICES) && features.has("subgroups");
  if (able && fits && (info.subgroupMaxSize ?? Infinity) <= 32) features.add(F32_MATRICES);
  // 4 is what browsers say where they don't know: without subgroups, and on Metal.
  const least = info.subgroupMinSize ?? 0;
  if (features.has("subgroups") && least >= 8 && least <= 16) features.add(NARROW);
  return features;
}

const OURS: Record<string, string[]> = { [F32_MATRICES]: ["subgroups", MATRICES], [NARROW]: [] };

/** What to ask a device for, so that it has these features. */
export function webgpuFeatures(names: Iterable<string>): GPUFeatureName[] {
  const asked = [...names].flatMap((f) => OURS[f] ?? [f]);
  return [...new Set(asked)] as GPUFeatureName[];
}

/** Whether a device that was asked for `webgpuFeatures` can run what names this feature. */
export function hasFeature(device: Pick<GPUDevice, "features">, name: string): boolean {
  return webgpuFeatures([name]).every((f) => device.features.has(f));
}
