/** KV pages: fixed at load, handed out by id, shared by reference count. */

/** The keys and values of page `from`, in all layers, are to be in page `to` as well. */
export interface PageCopy {
  readonly from: number;
  readonly to: number;
}

const NONE: readonly PageCopy[] = [];

export class PagePool {
  readonly #references: Uint32Array;
  readonly #free: number[];
  #copies: PageCopy[] = [];

  constructor(readonly pages: number) {
    this.#references = new Uint32Array(pages);
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  /** Pages nobody holds. */
  get free(): number {
    return this.#free.length;
  }

  /** A page with one reference, or undefined when all are taken. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) this.#references[page] = 1;
    return page;
  }

  /** Adds a reference to a page that somebody holds. */
  retain(page: number): void {
    if (!this.references(page)) throw new RangeError(`page ${page} is free`);
    this.#references[page] = this.references(page) + 1;
  }

  /**
   * Drops a reference; the last one frees the page. It may be given away while submitted steps still write it: whoever gets
   * it writes in a later step, and the GPU runs steps in order.
   */
  release(page: number): void {
    const held = this.references(page);
    if (!held) throw new RangeError(`page ${page} is free`);
    this.#references[page] = held - 1;
    if (held === 1) this.#free.push(page);
  }

  references(page: number): number {
    return this.#references[page] ?? 0;
  }

  /**
   * Gives the caller a page of its own in exchange for a reference to a shared one, whose content it will have.
   *
   * @returns undefined, and changes nothing, when all pages are taken
   */
  replace(from: number): number | undefined {
    if (!this.references(from)) throw new RangeError(`page ${from} is free`);
    const to = this.take();
    if (to === undefined) return undefined;
    this.#copies.push({ from, to });
    this.release(from);
    return to;
  }

  /**
   * The copies that are still to be made, which the caller makes, in this order and before anything else touches a page. A
   * page that has been given away in between is no exception: who got it has not written it yet.
   */
  takeCopies(): readonly PageCopy[] {
    if (this.#copies.length === 0) return NONE;
    const copies = this.#copies;
    this.#copies = [];
    return copies;
  }
}
