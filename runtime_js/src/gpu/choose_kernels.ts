/** Which kernel each launch runs: packs hold alternatives, adapters differ. */
import type { KernelFile } from "../generated/kernels.js";
import type { Tier } from "../generated/program.js";

/** What the choice depends on. */
export interface Chooser {
  features: ReadonlySet<string>;
  /** A software adapter: WebGPU's word for it is fallback adapter. */
  software: boolean;
}

/**
 * The tier with one kernel per launch: on a software adapter the first alternative shaped for those, elsewhere the first
 * that is not; the launch's own kernel where no alternative will do.
 */
export function chooseKernels(tier: Tier, kernels: KernelFile["kernels"], has: Chooser): Tier {
  const suits = has.software ? "cpu" : "any";
  const functions = Object.entries(tier.functions).map(([name, fn]) => {
    const launches = fn.launches.map((launch) => {
      const chosen = launch.alternatives.find((a) => {
        const kernel = kernels[a.kernel];
        return kernel?.suits === suits && kernel.features.every((f) => has.features.has(f));
      });
      return { ...launch, ...chosen, alternatives: [] };
    });
    return [name, { ...fn, launches }];
  });
  return { ...tier, functions: Object.fromEntries(functions) };
}
