/** One sequence's place in the KV cache. */
import type { PagePool } from "./page_pool.js";

export class Sequence {
  /** Page of position p is `pages[floor(p / pageSize)]`. */
  readonly pages: number[] = [];
  /** Tokens whose keys and values are in the pages, or will be once the submitted steps have run. */
  length = 0;

  constructor(
    private readonly pool: PagePool,
    private readonly pageSize: number,
    /** Row of the persistent sampler buffers. */
    readonly slot: number,
  ) {}

  /** Makes room for `tokens` more. @returns false, and changes nothing, when the pool has too few pages */
  reserve(tokens: number): boolean {
    const needed = Math.ceil((this.length + tokens) / this.pageSize) - this.pages.length;
    if (needed > this.pool.free) return false;
    for (let i = 0; i < needed; i++) this.pages.push(this.pool.take() as number);
    return true;
  }

  /** Gives all pages back. */
  release(): void {
    for (const page of this.pages) this.pool.release(page);
    this.pages.length = 0;
    this.length = 0;
  }
}
