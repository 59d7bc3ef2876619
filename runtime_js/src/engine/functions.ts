/** A tier's functions: what a first token takes is ready at load, the others once they are needed or nobody waits. */
import type { Tier } from "../generated/program.js";
import { Pipelines } from "../gpu/pipelines.js";
import type { Planned, Player, Prepared } from "../gpu/player.js";
import type { Model } from "../program/check.js";

/** What a first token takes. */
const FIRST = ["prefill", "sample"];

export class Functions {
  readonly #planned: ReadonlyMap<string, Planned>;
  readonly #prepared = new Map<string, Prepared>();
  #missing: readonly string[];

  /**
   * @param pipelines from {@link compileFirst}
   * @throws InvalidPack where a grid can be too large
   */
  constructor(
    private readonly pipelines: Pipelines,
    private readonly tier: Tier,
    private readonly player: Player,
  ) {
    const functions = Object.entries(tier.functions);
    this.#planned = new Map(functions.map(([name, fn]) => [name, player.plan(name, fn)]));
    this.#missing = [...this.#planned.keys()];
  }

  /** Starts to compile what a first token takes, while nothing else is there; `prepareFirst` tells of failures. */
  static compileFirst(device: GPUDevice, { kernels }: Model, tier: Tier): Pipelines {
    const pipelines = new Pipelines(device, kernels);
    pipelines.compile(kernelsOf(tier, FIRST)).catch(() => {});
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

  /** Functions that are not ready yet. */
  get missing(): readonly string[] {
    return this.#missing;
  }

  /** A function that is ready. */
  get(name: string): Prepared {
    return this.#prepared.get(name) as Prepared;
  }

  /** Makes ready what a first token takes. @throws DeviceError */
  async prepareFirst(): Promise<void> {
    await this.prepare(FIRST);
  }

  /** Starts to compile what is left; `prepare` tells of failures. */
  compileRest(): void {
    this.pipelines.compile(kernelsOf(this.tier, this.#missing)).catch(() => {});
  }

  /** Makes functions ready that are not. @throws DeviceError */
  async prepare(names: readonly string[]): Promise<void> {
    const missing = names.filter((name) => this.#missing.includes(name));
    const pipelines = await this.pipelines.compile(kernelsOf(this.tier, missing));
    for (const name of missing) {
      if (this.#prepared.has(name)) continue;
      const planned = this.#planned.get(name) as Planned;
      const fn = this.tier.functions[name] as Tier["functions"][string];
      this.#prepared.set(name, this.player.bind(planned, fn, pipelines));
    }
    this.#missing = this.#missing.filter((name) => !this.#prepared.has(name));
  }
}

/** The kernels of these functions. */
function kernelsOf(tier: Tier, names: readonly string[]): Set<string> {
  const launches = names.flatMap((name) => tier.functions[name]?.launches ?? []);
  return new Set(launches.map(({ kernel }) => kernel));
}
