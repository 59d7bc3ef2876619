/** The KV pages of a model: those of running requests, those that the prefix cache keeps, and those that are free. */
import { PagePool } from "../kv/page_pool.js";
import { RadixTree } from "../kv/radix_tree.js";
import { Sequence } from "../kv/sequence.js";

export class KvMemory {
  readonly pool: PagePool;
  readonly tree: RadixTree;
  readonly #seen: Uint8Array;

  constructor(
    pages: number,
    readonly pageSize: number,
  ) {
    this.pool = new PagePool(pages);
    this.tree = new RadixTree(this.pool, pageSize);
    this.#seen = new Uint8Array(pages);
  }

  /** A sequence with the cached beginning of `tokens`, all but the last: its logits are still wanted. */
  match(tokens: Int32Array): Sequence {
    const sequence = new Sequence(this.pool, this.pageSize, -1);
    sequence.adopt(this.tree.match(tokens.subarray(0, -1)));
    return sequence;
  }

  /** A sequence of `tokens` positions that hold whatever is found there; undefined when there is no room. */
  take(tokens: number): Sequence | undefined {
    const sequence = new Sequence(this.pool, this.pageSize, -1);
    if (!this.reserve(sequence, tokens)) return undefined;
    sequence.length = tokens;
    return sequence;
  }

  /** Makes room for `tokens` more, at the cost of what the cache keeps. @returns false when that does not suffice */
  reserve(sequence: Sequence, tokens: number): boolean {
    const lacking = sequence.needed(tokens) - this.pool.free;
    if (lacking > 0) this.tree.evict(lacking);
    return sequence.reserve(tokens);
  }

  /**
   * Forgets all that is cached, and so frees what eviction can't: pages that a sequence has a copy of, or would have to copy
   * because they are cached. @returns whether there was any
   */
  clear(): boolean {
    const { held } = this.tree;
    this.tree.clear();
    return held > 0;
  }

  /** Keeps the first of a sequence's tokens in the cache. */
  keep(sequence: Sequence, tokens: Int32Array): void {
    this.tree.insert(tokens, sequence.pages);
  }

  /** Pages that none of these sequences holds: free ones, and those that only the cache keeps. */
  available(sequences: readonly Sequence[]): number {
    this.#seen.fill(0);
    let held = 0;
    for (const { pages } of sequences) {
      for (const page of pages) {
        if (this.#seen[page]) continue;
        this.#seen[page] = 1;
        held++;
      }
    }
    return this.pool.pages - held;
  }

  /** Pages that `tokens` tokens take. */
  pagesOf(tokens: number): number {
    return Math.ceil(tokens / this.pageSize);
  }
}
