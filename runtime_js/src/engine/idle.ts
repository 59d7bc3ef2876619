/** What no request has needed yet is made ready once none has come for a while, piece by piece. */

/** Time without a request after which a piece is done. */
const IDLE_MS = 500;

/** Finds the next piece of its kind, if one is left. */
export type Unready = () => (() => void | Promise<void>) | undefined;

export class IdleMoments {
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Kinds of which a piece failed: the request that needs it is told. */
  readonly #gaveUp = new Set<Unready>();
  #closed = false;

  /** @param kinds in order of their use */
  constructor(private readonly kinds: readonly Unready[]) {}

  /** Nothing is to be done, for now. Pieces of which the end is another such moment follow each other. */
  begin(): void {
    this.end();
    if (this.#closed) return;
    for (const kind of this.kinds) {
      const piece = this.#gaveUp.has(kind) ? undefined : kind();
      if (!piece) continue;
      this.#timer = setTimeout(async () => {
        try {
          await piece();
        } catch {
          this.#gaveUp.add(kind);
        }
      }, IDLE_MS);
      // A program that has nothing else to do may end.
      (this.#timer as { unref?: () => void }).unref?.();
      return;
    }
  }

  /** A request has come. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /** What failed may be tried again. */
  forgive(): void {
    this.#gaveUp.clear();
  }

  close(): void {
    this.#closed = true;
    this.end();
  }
}
