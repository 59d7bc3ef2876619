/**
 * The prefix cache: a radix tree over token ids that knows in which KV pages the tokens' keys and values are.
 *
 * Edges part where token sequences part, in the middle of a page too: then both sides have a page of their own for it, whose
 * first tokens are the same. A full page belongs to the edge that its last token is on. A leaf may end within a page, which
 * is partly filled then; an edge that others continue needs no such page, because theirs holds its tokens too. So every
 * token in the tree is in a page, and a match is as long as the longest common prefix with anything ever inserted and not
 * evicted, to the token.
 */
import { type EvictionPolicy, leastRecentlyUsed, type Usage } from "./eviction.js";
import type { PagePool } from "./page_pool.js";

/** Cached tokens at the beginning of a sequence; each page is retained for the caller. */
export interface Match {
  /** Tokens, those in `partial` included. */
  length: number;
  /** Pages that are full of them. */
  pages: number[];
  /** A page that begins with the last `length` of them. What follows in it is not to be read, nor to be written. */
  partial?: { page: number; length: number };
}

/** Counts since the tree was made. */
export interface CacheCounters {
  /** Calls of `match` that use what they find, the tokens they asked for, and those that were found. */
  lookups: number;
  askedTokens: number;
  matchedTokens: number;
  insertedPages: number;
  evictedPages: number;
}

class Node implements Usage {
  /** By the first token of their edges. */
  readonly children = new Map<number, Node>();
  /** The partly filled page that a leaf ends in. */
  partial: number | undefined;
  lastUse = 0;
  uses = 0;

  constructor(
    public parent: Node | undefined,
    /** Position of the first of `edge`. */
    public start: number,
    public edge: Int32Array,
    /** Pages whose last token is on the edge. */
    public pages: number[],
  ) {}

  /** Position after the last of `edge`. */
  get tokens(): number {
    return this.start + this.edge.length;
  }
}

export class RadixTree {
  readonly #root = new Node(undefined, 0, new Int32Array(0), []);
  readonly #leaves = new Set<Node>();
  #time = 0;
  #held = 0;
  readonly counters: CacheCounters = {
    lookups: 0,
    askedTokens: 0,
    matchedTokens: 0,
    insertedPages: 0,
    evictedPages: 0,
  };

  /**
   * @param budget the most pages that it holds
   * @param policy what is evicted first
   */
  constructor(
    private readonly pool: PagePool,
    private readonly pageSize: number,
    readonly budget: number = pool.pages,
    private readonly policy: EvictionPolicy = leastRecentlyUsed,
  ) {}

  /** Pages it holds. */
  get held(): number {
    return this.#held;
  }

  /**
   * The longest cached beginning of `tokens`, in time proportional to them. Whoever wants logits asks for all tokens but the
   * last: one must be computed.
   *
   * @param uses false: it is only looked at, and evicted no later for that
   */
  match(tokens: ArrayLike<number>, uses = true): Match {
    const now = uses ? ++this.#time : 0;
    const { pool, pageSize } = this;
    const pages: number[] = [];
    let node = this.#root;
    let at = 0;
    while (at < tokens.length) {
      const child = node.children.get(tokens[at] as number);
      if (!child) break;
      const common = commonLength(child.edge, tokens, at);
      const whole = Math.floor((at + common) / pageSize) - Math.floor(at / pageSize);
      for (let i = 0; i < whole; i++) pages.push(child.pages[i] as number);
      at += common;
      if (uses) {
        child.lastUse = now;
        child.uses++;
      }
      node = child;
      if (common < child.edge.length) break;
    }
    for (const page of pages) pool.retain(page);
    if (uses) {
      this.counters.lookups++;
      this.counters.askedTokens += tokens.length;
      this.counters.matchedTokens += at;
    }
    const rest = at % pageSize;
    if (rest === 0) return { length: at, pages };
    const page = this.#pageAt(node, Math.floor(at / pageSize));
    pool.retain(page);
    return { length: at, pages, partial: { page, length: rest } };
  }

  /** A page number `index` of a sequence, at this node or below it. */
  #pageAt(from: Node, index: number): number {
    let node = from;
    while (true) {
      const page = node.pages[index - Math.floor(node.start / this.pageSize)] ?? node.partial;
      if (page !== undefined) return page;
      node = node.children.values().next().value as Node; // not a leaf: leaves end with a page
    }
  }

  /**
   * Keeps the pages of `tokens`, which go on belonging to the caller too. Of tokens that are cached already the tree keeps
   * the pages it has. When the budget does not suffice, it evicts, and then keeps the beginning that fits.
   *
   * @param pages at least ceil(tokens / page size); the last may be partly filled
   */
  insert(tokens: ArrayLike<number>, pages: readonly number[]): void {
    const { pageSize } = this;
    if (pages.length * pageSize < tokens.length) {
      throw new RangeError(`${tokens.length} tokens are not in ${pages.length} pages`);
    }
    const now = ++this.#time;
    let node = this.#root;
    let at = 0;
    while (at < tokens.length) {
      const child = node.children.get(tokens[at] as number);
      if (!child) break;
      const common = commonLength(child.edge, tokens, at);
      at += common;
      node = common < child.edge.length && at < tokens.length ? this.#split(child, at) : child;
      node.lastUse = now;
      if (node !== child) break;
    }
    if (at === tokens.length) return;
    // Whatever is evicted, not this node, which is about to be continued.
    const first = Math.floor(at / pageSize);
    const replaced = node.partial === undefined ? 0 : 1;
    const wanted = Math.ceil(tokens.length / pageSize) - first - replaced;
    this.#evict(this.#held + wanted - this.budget, node);
    const room = this.budget - this.#held + replaced;
    const end = Math.min(tokens.length, (first + room) * pageSize);
    if (end <= at) return; // nothing was evicted either
    const edge = Int32Array.from({ length: end - at }, (_, i) => tokens[at + i] as number);
    this.#append(node, edge, pages.slice(first), now);
  }

  /** @param pages the first is the one that position `node.tokens` is in */
  #append(node: Node, edge: Int32Array, pages: number[], now: number): void {
    const { pool, pageSize } = this;
    const start = node.tokens;
    const end = start + edge.length;
    const added = pages.slice(0, Math.ceil(end / pageSize) - Math.floor(start / pageSize));
    for (const page of added) pool.retain(page);
    this.#held += added.length;
    this.counters.insertedPages += added.length;
    const partial = end % pageSize === 0 ? undefined : added.pop();
    let leaf = node;
    if (node.parent && node.children.size === 0) {
      // It grows, and its partly filled page is in the first of the new ones.
      if (node.partial !== undefined) this.#drop(node.partial);
      node.edge = joined(node.edge, edge);
      node.pages.push(...added);
    } else {
      leaf = new Node(node, start, edge, added);
      node.children.set(edge[0] as number, leaf);
    }
    this.#leaves.add(leaf);
    leaf.partial = partial;
    leaf.lastUse = now;
  }

  /** Cuts an edge in two at a position within it. @returns the upper one */
  #split(lower: Node, at: number): Node {
    const { parent, start, edge, pages } = lower;
    const above = Math.floor(at / this.pageSize) - Math.floor(start / this.pageSize);
    const upper = new Node(parent, start, edge.subarray(0, at - start), pages.slice(0, above));
    upper.lastUse = lower.lastUse;
    upper.uses = lower.uses;
    parent?.children.set(edge[0] as number, upper);
    lower.parent = upper;
    lower.start = at;
    lower.edge = edge.subarray(at - start);
    lower.pages = pages.slice(above);
    upper.children.set(lower.edge[0] as number, lower);
    return upper;
  }

  /**
   * Frees pages that only the tree holds, from the ends of its leaves on, in the policy's order.
   *
   * @returns how many: fewer than asked for when sequences hold the rest
   */
  evict(pages: number): number {
    return this.#evict(pages, undefined);
  }

  #evict(wanted: number, kept: Node | undefined): number {
    let freed = 0;
    while (freed < wanted) {
      const leaf = this.#next(kept);
      if (!leaf) break;
      do {
        this.#drop(leaf.partial ?? (leaf.pages.pop() as number));
        leaf.partial = undefined;
        freed++;
      } while (freed < wanted && leaf.pages.length > 0 && this.#isIdle(leaf));
      this.#tidy(leaf, kept);
    }
    this.counters.evictedPages += freed;
    return freed;
  }

  /** The leaf to take a page from. */
  #next(kept: Node | undefined): Node | undefined {
    let best: Node | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const leaf of this.#leaves) {
      if (leaf === kept || !this.#isIdle(leaf)) continue;
      const value = this.policy.value(leaf);
      if (value < least || best === undefined) {
        least = value;
        best = leaf;
      }
    }
    return best;
  }

  /** Whether nobody else holds a leaf's last page. */
  #isIdle(leaf: Node): boolean {
    return this.pool.references(leaf.partial ?? (leaf.pages.at(-1) as number)) === 1;
  }

  /** How much of an edge is in its own full pages. */
  #lastPageEnd({ start, pages }: Node): number {
    if (pages.length === 0) return 0;
    return (Math.floor(start / this.pageSize) + pages.length) * this.pageSize - start;
  }

  /** A node without children ends with its last page, or is gone, and then its parent may be one. */
  #tidy(from: Node, kept?: Node): void {
    let node = from;
    while (node.parent && node !== kept && node.children.size === 0) {
      const end = node.partial === undefined ? this.#lastPageEnd(node) : node.edge.length;
      if (end > 0) {
        node.edge = node.edge.subarray(0, end);
        this.#leaves.add(node);
        return;
      }
      this.#leaves.delete(node);
      node.parent.children.delete(node.edge[0] as number);
      node = node.parent;
    }
  }

  #drop(page: number): void {
    this.#held--;
    this.pool.release(page);
  }

  /** Forgets everything. */
  clear(): void {
    const release = ({ pages, partial, children }: Node) => {
      for (const page of pages) this.#drop(page);
      if (partial !== undefined) this.#drop(partial);
      for (const child of children.values()) release(child);
    };
    release(this.#root);
    this.#root.children.clear();
    this.#leaves.clear();
  }
}

/** How many tokens of `edge` are those of `tokens` from `at` on. */
function commonLength(edge: ArrayLike<number>, tokens: ArrayLike<number>, at: number): number {
  const most = Math.min(edge.length, tokens.length - at);
  let n = 0;
  while (n < most && edge[n] === tokens[at + n]) n++;
  return n;
}

function joined(a: Int32Array, b: Int32Array): Int32Array {
  const all = new Int32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
