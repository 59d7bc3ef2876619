/** The KV pages of a model: those of running requests, those that the prefix cache keeps, and those that are free. */
import { InvalidRequestError } from "../errors.js";
import { leastFrequentlyUsed, leastRecentlyUsed } from "../kv/eviction.js";
import { PagePool } from "../kv/page_pool.js";
import { RadixTree } from "../kv/radix_tree.js";
import { Sequence } from "../kv/sequence.js";

/** How the prefix cache uses the KV pages that no running request holds. */
export interface PrefixCacheOptions {
  /**
   * Most tokens that it keeps, in whole pages; default: as many as there is room for, 0: none. No more are of use of what
   * `engine.kv.restore` brings back and other engines send, and `engine.kv.save` refuses longer prompts.
   */
  tokens?: number;
  /**
   * Of the prefixes that nobody uses, the first to go when pages are wanted: the one used longest ago (`"lru"`, default), or the
   * one that the fewest requests began with (`"lfu"`), so that a shared system prompt outlives chats that come once.
   */
  evict?: "lru" | "lfu";
}

const POLICIES = { lru: leastRecentlyUsed, lfu: leastFrequentlyUsed };

/** @throws InvalidRequestError */
export function checkPrefixCache(options: PrefixCacheOptions | undefined): void {
  const { tokens = 0, evict = "lru", ...rest } = options ?? {};
  const known = typeof (options ?? {}) === "object" && Object.keys(rest).length === 0;
  if (known && Number.isInteger(tokens) && tokens >= 0 && Object.hasOwn(POLICIES, evict)) return;
  throw new InvalidRequestError(
    'prefixCache: tokens must be an integer of at least 0, evict "lru" or "lfu"; there is nothing else',
    { param: "prefixCache" },
  );
}

export class KvMemory {
  readonly pool: PagePool;
  readonly tree: RadixTree;
  readonly #seen: Uint8Array;

  constructor(
    pages: number,
    readonly pageSize: number,
    private readonly cache: PrefixCacheOptions = {},
  ) {
    this.pool = new PagePool(pages);
    const { tokens = pages * pageSize, evict = "lru" } = cache;
    const budget = Math.min(pages, Math.floor(tokens / pageSize));
    this.tree = new RadixTree(this.pool, pageSize, budget, POLICIES[evict]);
    this.#seen = new Uint8Array(pages);
  }

  /** As many pages, with nothing in them: those of another device. */
  renewed(): KvMemory {
    return new KvMemory(this.pool.pages, this.pageSize, this.cache);
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
