/** Which tunings records of measurements advise; the rule of builder/webbuild/schema/tuning.py. */
import type { KernelFile, KernelRecord } from "../generated/kernels.js";

/** What records are kept by: WebGPU's adapter info. An unknown vendor ("") has no records. */
export interface AdapterKind {
  vendor: string;
  architecture: string;
}

/**
 * Software adapters by a part of their names: whoever runs them, and whichever ids they claim (browsers take Mesa's only
 * under SwiftShader's).
 */
const SOFTWARE: readonly [string, AdapterKind][] = [
  ["llvmpipe", { vendor: "mesa", architecture: "llvmpipe" }],
  ["swiftshader", { vendor: "google", architecture: "swiftshader" }],
];

/** What records of an adapter are kept by, of what its adapter info says. */
export function adapterKind(
  info: Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">,
): AdapterKind {
  const names = `${info.device} ${info.description}`.toLowerCase();
  const known = SOFTWARE.find(([name]) => names.includes(name));
  return known?.[1] ?? { vendor: info.vendor, architecture: info.architecture };
}

/**
 * Tunings for a tuning key, the most trusted first: the adapter's own record of the key; then those of other architectures
 * of its vendor; then its own records of the same op variant at other shapes, the nearest first.
 */
export function advised(
  records: readonly KernelRecord[],
  { vendor, architecture }: AdapterKind,
  tier: string,
  key: string,
): string[] {
  if (vendor === "") return [];
  const found: { rank: number; name: string; tuning: string }[] = [];
  for (const record of records) {
    if (record.tier !== tier || record.vendor !== vendor) continue;
    const same = record.architecture === architecture;
    const { tuning } = record;
    if (record.key === key) {
      found.push({ rank: same ? -1 : 0, name: record.architecture, tuning });
    } else if (same) {
      const distance = shapeDistance(record.key, key);
      if (distance !== undefined) found.push({ rank: distance, name: record.key, tuning });
    }
  }
  found.sort((a, b) => a.rank - b.rank || order(a.name, b.name));
  return [...new Set(found.map(({ tuning }) => tuning))];
}

/** What records advise for every tuning key of these kernels. */
export function adviceOf(
  records: readonly KernelRecord[],
  adapter: AdapterKind,
  tier: string,
  kernels: KernelFile["kernels"],
): Map<string, string[]> {
  const keys = new Set(Object.values(kernels).map((kernel) => kernel.tuning_key));
  return new Map([...keys].map((key) => [key, advised(records, adapter, tier, key)]));
}

/**
 * How far two keys of one op variant are apart: the product of the ratios of their sizes (1: equal); undefined for
 * different variants. A key is `variant NAME=size NAME=size …`.
 */
export function shapeDistance(one: string, other: string): number | undefined {
  const [variant, ...sizes] = one.split(" ");
  const [variant2, ...sizes2] = other.split(" ");
  if (variant !== variant2 || sizes.length !== sizes2.length) return undefined;
  let distance = 1;
  for (const [i, size] of sizes.entries()) {
    const [name, x] = size.split("=");
    const [name2, y] = (sizes2[i] as string).split("=");
    if (name !== name2) return undefined;
    distance *= Math.max(Number(x), Number(y)) / Math.min(Number(x), Number(y));
  }
  return distance;
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
