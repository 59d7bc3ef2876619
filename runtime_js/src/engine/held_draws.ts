/** Draws of a step whose forward pass is submitted: they wait for masks, which depend on tokens that are still to be read. */
import type { Generation } from "./generation.js";
import type { Chosen } from "./guesses.js";
import type { StepRunner } from "./step_runner.js";

export class HeldDraws {
  /** @param draw submits them, with the masks of these slots */
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
   * Makes the masks.
   *
   * @param refuse ends one whose mask can't be made
   * @returns the slots they are of
   */
  mask(
    masks: StepRunner["masks"],
    refuse: (generation: Generation, error: Error) => void,
  ): number[] {
    const slots: number[] = [];
    for (const { generation } of this.#masked) {
      const { constraint } = generation.spec;
      const slot = generation.sequence?.slot as number;
      try {
        constraint?.mask(masks.row(slot));
        slots.push(slot);
      } catch (error) {
        refuse(generation, error as Error);
      }
    }
    return slots;
  }

  /**
   * Submits the draws, beside those that nobody wants any more: they are marked as dropped.
   *
   * @param slots whose masks were made
   * @param hurries whether the next step waits for what they draw
   * @returns what they draw; undefined when nobody wants any
   */
  submit(slots: readonly number[], hurries: boolean): Promise<Uint32Array> | undefined {
    for (const of of this.draws) of.dropped = !isWanted(of);
    return this.draws.every(({ dropped }) => dropped) ? undefined : this.draw(slots, hurries);
  }
}

const isWanted = ({ generation, draws }: Chosen): boolean =>
  !generation.ended && generation.draws === draws;
