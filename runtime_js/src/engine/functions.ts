/** A tier's functions: what a first token takes is ready at load, the others once they are needed or nobody waits. */
import type { Few, Tier } from "../generated/program.js";
import { type Pipeline, Pipelines } from "../gpu/pipelines.js";
import type { Planned, Player, Prepared } from "../gpu/player.js";
import type { Model } from "../program/check.js";
import { isPlain, PLAIN, type SamplingDefaults } from "./sampling.js";

/** What a first token takes, if its request asks for what the model's defaults are. */
export function firstOf(tier: Tier, defaults: SamplingDefaults): readonly string[] {
  const plain = Object.hasOwn(tier.functions, PLAIN) && isPlain(defaults);
  return ["prefill", plain ? PLAIN : "sample"];
}

/** What every further token takes. */
export const SECOND: readonly string[] = ["decode"];

/** How many of each a step has. */
export type Rows = Readonly<Record<Few["rows"], number>>;

export class Functions {
  readonly #planned: ReadonlyMap<string, Planned>;
  readonly #prepared = new Map<string, Prepared>();
  /** Kernels for few rows that are ready; functions share them. */
  readonly #few = new Map<string, GPUComputePipeline>();
  #missing: readonly string[];

  /**
   * @param pipelines from {@link compileFirst}
   * @param first of {@link firstOf}
   * @throws InvalidPack where a grid can be too large
   */
  constructor(
    private readonly pipelines: Pipelines,
    private readonly tier: Tier,
    private readonly first: readonly string[],
    private readonly player: Player,
  ) {
    const functions = Object.entries(tier.functions);
    this.#planned = new Map(functions.map(([name, fn]) => [name, player.plan(name, fn)]));
    this.#missing = [...this.#planned.keys()];
  }

  /** Starts to compile what a first token takes, while nothing else is there; `prepareFirst` tells of failures. */
  static compileFirst(
    device: GPUDevice,
    { kernels }: Model,
    tier: Tier,
    first: readonly string[],
  ): Pipelines {
    const pipelines = new Pipelines(device, kernels);
    pipelines.compile(kernelsOf(tier, first)).catch(() => {});
    return pipelines;
  }

  has(name: string): boolean {
    return this.#planned.has(name);
  }

  /** Launches of each function. */
  launches(): Record<string, number> {
    const functions = Object.entries(this.tier.functions);
    return Object.fromEntries(functions.map(([name, fn]) => [name, fn.launches.length]));
  }

  /** Those that are ready. */
  get prepared(): readonly Prepared[] {
    return [...this.#prepared.values()];
  }

  /** Functions that are not ready yet; their kernels for few rows do not count. */
  get missing(): readonly string[] {
    return this.#missing;
  }

  /**
   * What is not ready of these functions for a step of so many rows: names for `prepare`. Kernels for few rows are made ready
   * when a step is for them, and have names of their own, such as `decode:seqs4`; until then the launches' own run.
   */
  missingFor(names: readonly string[], rows: Rows): readonly string[] {
    const missing: string[] = [];
    for (const name of names) {
      if (this.#missing.includes(name)) missing.push(name);
      for (const entry of this.#planned.get(name)?.few ?? []) {
        for (const few of entry) {
          const count = rows[few.rows];
          if (few.least > count || count > few.most || this.#few.has(few.kernel)) continue;
          missing.push(fewName(name, few));
        }
      }
    }
    return missing.length > 1 ? [...new Set(missing)] : missing;
  }

  /** A function that is ready. */
  get(name: string): Prepared {
    return this.#prepared.get(name) as Prepared;
  }

  /** Makes ready what a first token takes. @throws DeviceError */
  async prepareFirst(): Promise<void> {
    await this.prepare(this.first);
  }

  /** Starts to compile functions; `prepare` tells of failures. */
  begin(names: readonly string[]): void {
    this.pipelines.compile(kernelsOf(this.tier, names)).catch(() => {});
  }

  /** Makes ready what is not, of functions and what else `missingFor` names. @throws DeviceError */
  async prepare(names: readonly string[]): Promise<void> {
    const missing = this.#missing.filter((name) => names.includes(name));
    const few = names.flatMap((name) => this.#fewKernels(name));
    const own = kernelsOf(this.tier, missing);
    const pipelines = await this.pipelines.compile(new Set([...own, ...few]));
    for (const kernel of few) {
      this.#few.set(kernel, (pipelines.get(kernel) as Pipeline).pipeline);
    }
    if (few.length > 0) for (const fn of this.#prepared.values()) fn.computedFor.length = 0;
    for (const name of missing) {
      if (this.#prepared.has(name)) continue;
      const planned = this.#planned.get(name) as Planned;
      const fn = this.tier.functions[name] as Tier["functions"][string];
      this.#prepared.set(name, this.player.bind(planned, fn, pipelines, this.#few));
    }
    this.#missing = this.#missing.filter((name) => !this.#prepared.has(name));
  }

  /** Kernels for few rows, by the name that `missingFor` gives them. */
  #fewKernels(name: string): string[] {
    const owner = name.split(":")[0] as string;
    const few = (this.#planned.get(owner)?.few ?? []).flat();
    return few.filter((one) => fewName(owner, one) === name).map(({ kernel }) => kernel);
  }
}

/** The kernels of these functions. */
function kernelsOf(tier: Tier, names: readonly string[]): Set<string> {
  const launches = names.flatMap((name) => tier.functions[name]?.launches ?? []);
  return new Set(launches.map(({ kernel }) => kernel));
}

const fewName = (name: string, few: Pick<Few, "rows" | "most">): string =>
  `${name}:${few.rows}${few.most}`;

/** Whether a name is one of kernels for few rows: steps can do without, by the launches' own. */
export const isFew = (name: string): boolean => name.includes(":");
