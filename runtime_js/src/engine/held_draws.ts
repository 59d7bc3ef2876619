/** Draws of a step whose forward pass is submitted: they wait for masks, which depend on tokens that are still to be read. */
import type { Generation } from "./generation.js";
import type { Chosen } from "./guesses.js";
import type { MaskBuffer } from "./mask_table.js";
import type { StepRunner } from "./step_runner.js";

export class HeldDraws {
  /** @param draw submits them, by these rows of masks */
  constructor(
    private readonly draws: readonly Chosen[],
    private readonly draw: ReturnType<StepRunner["forward"]>,
  ) {}

  /** Whether all that their masks depend on has been read. */
  get ready(): boolean {
    return !this.#masked.some(({ generation }) => generation.awaits);
  }

  /** Those that have neither ended meanwhile nor gone on without drawing, and need a mask. */
  get #masked(): Chosen[] {
    return this.draws.filter((of) => isWanted(of) && of.generation.spec.constraint);
  }

  /**
   * Makes the masks that are not known.
   *
   * @param refuse ends one whose mask can't be made
   * @returns the rows of `masks`, by draws
   */
  mask(
    masks: MaskBuffer,
    refuse: (generation: Generation, error: Error) => void,
  ): Map<number, number> {
    const rows = new Map<number, number>();
    for (const of of this.#masked) {
      try {
        const row = of.generation.spec.constraint?.row(masks) as number;
        rows.set(this.draws.indexOf(of), row);
      } catch (error) {
        refuse(of.generation, error as Error);
      }
    }
    return rows;
  }

  /**
   * Submits the draws, beside those that nobody wants any more: they are marked as dropped.
   *
   * @param rows of `masks`, by draws
   * @param hurries whether the next step waits for what they draw
   * @returns what they draw; undefined when nobody wants any
   */
  submit(rows: ReadonlyMap<number, number>, hurries: boolean): Promise<Uint32Array> | undefined {
    for (const of of this.draws) of.dropped = !isWanted(of);
    return this.draws.every(({ dropped }) => dropped) ? undefined : this.draw(rows, hurries);
  }
}

const isWanted = ({ generation, draws, strays }: Chosen): boolean =>
  !generation.ended && generation.draws === draws && generation.strays === strays;
