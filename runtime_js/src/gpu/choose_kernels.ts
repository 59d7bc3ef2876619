/** Which kernel each launch runs: packs hold alternatives, adapters differ. */
import type { Kernel, KernelFile } from "../generated/kernels.js";
import type { Alternative, Few, Launch, Tier } from "../generated/program.js";

/** What the choice depends on. */
export interface Chooser {
  features: ReadonlySet<string>;
  /** A software adapter: WebGPU's word for it is fallback adapter. */
  software: boolean;
}

/** Tunings by tuning key, the most trusted first. */
export type Advice = ReadonlyMap<string, readonly string[]>;

/**
 * The tier with one kernel per launch, and one for each number of few rows: the first tuning of the advice that the launch has and whose features the adapter
 * has. Without advice, on a software adapter the first alternative shaped for those, elsewhere the first that is not; the
 * launch's own kernel where no alternative will do.
 */
export function chooseKernels(
  tier: Tier,
  kernels: KernelFile["kernels"],
  has: Chooser,
  advice: Advice = new Map(),
): Tier {
  const suits = has.software ? "cpu" : "any";
  const chosen = (launch: Launch | Few): Alternative => {
    const able = launch.alternatives.filter((a) => runs(kernels[a.kernel], has));
    const own = { kernel: launch.kernel, grid: launch.grid };
    const all = [own, ...able];
    for (const tuning of advice.get(kernels[launch.kernel]?.tuning_key ?? "") ?? []) {
      const found = all.findLast((a) => kernels[a.kernel]?.tuning === tuning);
      if (found) return found;
    }
    return able.find((a) => kernels[a.kernel]?.suits === suits) ?? own;
  };
  const functions = Object.entries(tier.functions).map(([name, fn]) => {
    const settled = <T extends Launch | Few>(one: T): T => ({
      ...one,
      ...chosen(one),
      alternatives: [],
    });
    const few = fn.few.map((entry) => entry.map(settled));
    return [name, { ...fn, few, launches: fn.launches.map(settled) }];
  });
  return { ...tier, functions: Object.fromEntries(functions) };
}

function runs(kernel: Kernel | undefined, { features }: Chooser): boolean {
  return kernel?.features.every((f) => features.has(f)) ?? false;
}
