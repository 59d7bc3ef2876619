/** Draws of a step whose forward pass is submitted: they wait for masks, which depend on tokens that are still to be read. */
import type { MaskBuffer } from "./mask_table.js";

/** A request, as far as its draw is concerned. */
export interface Drawing {
  readonly ended: boolean;
  /** Whether tokens before the draw are still to be read. */
  readonly awaits: boolean;
  readonly draws: number;
  readonly strays: number;
  readonly spec: { readonly constraint?: { row(masks: MaskBuffer): number } };
}

/** A draw, with what was said of its request when it was chosen. */
interface Draw<Request> {
  readonly generation: Request;
  readonly draws: number;
  readonly strays: number;
  dropped: boolean;
}

export class HeldDraws<Request extends Drawing> {
  /** @param draw submits them, by these rows of masks */
  constructor(
    private readonly draws: readonly Draw<Request>[],
    private readonly draw: (
      rows: ReadonlyMap<number, number>,
      hurries: boolean,
    ) => Promise<Uint32Array>,
  ) {}

  /** Whether all that their masks depend on has been read. */
  get ready(): boolean {
    return !this.#masked.some(({ generation }) => generation.awaits);
  }

  /** Those that have neither ended meanwhile nor gone on without drawing, and need a mask. */
  get #masked(): Draw<Request>[] {
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
    refuse: (generation: Request, error: Error) => void,
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

const isWanted = ({ generation, draws, strays }: Draw<Drawing>): boolean =>
  !generation.ended && generation.draws === draws && generation.strays === strays;
