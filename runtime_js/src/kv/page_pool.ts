/** KV pages: fixed at load, handed out by id, shared by reference count. */

export class PagePool {
  readonly #references: Uint32Array;
  readonly #free: number[];

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

  /** Drops a reference; the last one frees the page. */
  release(page: number): void {
    const held = this.references(page);
    if (!held) throw new RangeError(`page ${page} is free`);
    this.#references[page] = held - 1;
    if (held === 1) this.#free.push(page);
  }

  references(page: number): number {
    return this.#references[page] ?? 0;
  }
}
