/** One sequence's place in the KV cache. */
import type { PagePool } from "./page_pool.js";
import type { Match } from "./radix_tree.js";

export class Sequence {
  /** Page of position p is `pages[floor(p / pageSize)]`. */
  readonly pages: number[] = [];
  /** Tokens whose keys and values are in the pages, or will be once the submitted steps have run. */
  length = 0;

  constructor(
    readonly pool: PagePool,
    readonly pageSize: number,
    /** Row of the persistent sampler buffers. */
    public slot: number,
  ) {}

  /** Begins with what a {@link RadixTree} has, and takes over the references to its pages. */
  adopt({ pages, partial, length }: Match): void {
    if (this.pages.length > 0) throw new RangeError("the sequence has begun already");
    this.pages.push(...pages);
    if (partial) this.pages.push(partial.page);
    this.length = length;
  }

  /** Pages that {@link reserve} would take from the pool. */
  needed(tokens: number): number {
    if (tokens === 0) return 0;
    const more = Math.ceil((this.length + tokens) / this.pageSize) - this.pages.length;
    return Math.max(more, 0) + (this.#sharesTail() ? 1 : 0);
  }

  /**
   * Makes room for `tokens` more: new pages, and a page of its own in place of a partly filled one that others hold too. The
   * room is good until the sequence is forked or its last page is given to others.
   *
   * @returns false, and changes nothing, when the pool has too few pages
   */
  reserve(tokens: number): boolean {
    const needed = this.needed(tokens);
    if (needed > this.pool.free) return false;
    if (needed === 0) return true;
    if (this.#sharesTail()) {
      const tail = Math.floor(this.length / this.pageSize);
      this.pages[tail] = this.pool.replace(this.pages[tail] as number) as number;
    }
    while (this.pages.length * this.pageSize < this.length + tokens) {
      this.pages.push(this.pool.take() as number);
    }
    return true;
  }

  /** Whether the page that the next token goes to has tokens that others read as well. */
  #sharesTail(): boolean {
    if (this.length % this.pageSize === 0) return false;
    return this.pool.references(this.pages[Math.floor(this.length / this.pageSize)] as number) > 1;
  }

  /** Forgets all tokens from position `length` on, and gives back pages without any. */
  truncate(length: number): void {
    if (!(length >= 0 && length <= this.length)) {
      throw new RangeError(`a sequence of ${this.length} tokens can't be cut to ${length}`);
    }
    this.length = length;
    const kept = Math.ceil(length / this.pageSize);
    while (this.pages.length > kept) this.pool.release(this.pages.pop() as number);
  }

  /** Another sequence with the same tokens in the same pages; whichever goes on first gets a copy of the last one. */
  fork(slot: number): Sequence {
    const fork = new Sequence(this.pool, this.pageSize, slot);
    for (const page of this.pages.slice(0, Math.ceil(this.length / this.pageSize))) {
      this.pool.retain(page);
      fork.pages.push(page);
    }
    fork.length = this.length;
    return fork;
  }

  /** Gives all pages back. */
  release(): void {
    for (const page of this.pages) this.pool.release(page);
    this.pages.length = 0;
    this.length = 0;
  }
}
