/** Time during which at least one of several overlapping things was under way. */
export class Busy {
  #depth = 0;
  #since = 0;
  #total = 0;

  /** Milliseconds so far. */
  get total(): number {
    return this.#total;
  }

  async during<T>(work: Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await work;
    } finally {
      this.#end();
    }
  }

  sync<T>(work: () => T): T {
    this.#begin();
    try {
      return work();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    if (this.#depth++ === 0) this.#since = performance.now();
  }

  #end(): void {
    if (--this.#depth === 0) this.#total += performance.now() - this.#since;
  }
}
