/** Pages, tree and sequences together against a model that only remembers what was said. */
import { describe, expect, test } from "vitest";
import { leastFrequentlyUsed, leastRecentlyUsed } from "./eviction.js";
import { PagePool } from "./page_pool.js";
import { RadixTree } from "./radix_tree.js";
import { Sequence } from "./sequence.js";

/** mulberry32 */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

interface Live {
  sequence: Sequence;
  tokens: number[];
}

/** A page that the tree should hold, named by all tokens up to its last one. */
interface Cell {
  tokens: number[];
  page: number;
}

const startsWith = (long: readonly number[], short: readonly number[]) =>
  short.length <= long.length && short.every((t, i) => long[i] === t);

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** `expect(actual).toBe(expected)` for what is asked millions of times. */
function same(actual: number | undefined, expected: number | undefined, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, expected ${expected}`);
}

/** One world: the things under test, a stand-in for the GPU, and the model. */
class World {
  readonly pool: PagePool;
  readonly tree: RadixTree;
  readonly live: Live[] = [];
  /** What is in each page: a stand-in for the GPU, written and copied as steps would. */
  readonly memory: number[][];
  cells: Cell[] = [];

  constructor(
    readonly below: (n: number) => number,
    readonly size: number,
    pages: number,
    readonly budget: number,
    readonly vocabulary: number,
    frequency: boolean,
  ) {
    this.pool = new PagePool(pages);
    const policy = frequency ? leastFrequentlyUsed : leastRecentlyUsed;
    this.tree = new RadixTree(this.pool, size, budget, policy);
    this.memory = Array.from({ length: pages }, () => Array(size).fill(-1));
  }

  tokens(most: number): number[] {
    return Array.from({ length: 1 + this.below(most) }, () => this.below(this.vocabulary));
  }

  /** Runs a step that computes `tokens` of a sequence; other sequences' copies come first, as on the GPU. */
  compute(live: Live, tokens: readonly number[]): void {
    const { pages, length } = live.sequence;
    this.copy();
    tokens.forEach((token, i) => {
      const page = this.memory[pages[Math.floor((length + i) / this.size)] as number] as number[];
      page[(length + i) % this.size] = token;
    });
    live.sequence.length += tokens.length;
    live.tokens.push(...tokens);
  }

  copy(): void {
    for (const { from, to } of this.pool.takeCopies()) {
      this.memory[to] = [...(this.memory[from] as number[])];
    }
  }

  start(): void {
    const known = this.live[this.below(this.live.length)]?.tokens ?? [];
    const prompt = [...known.slice(0, this.below(known.length + 1)), ...this.tokens(3 * this.size)];
    const longest = Math.max(0, ...this.cells.map((c) => commonPrefix(c.tokens, prompt)));
    const before = this.pool.free;
    const found = this.tree.match(prompt);
    expect(found.length).toBe(longest);
    expect(found.pages.length * this.size + (found.partial?.length ?? 0)).toBe(longest);
    expect(this.pool.free).toBe(before);
    const sequence = new Sequence(this.pool, this.size, 0);
    sequence.adopt(found);
    const live = { sequence, tokens: prompt.slice(0, longest) };
    this.live.push(live);
    this.go(live, prompt.slice(longest));
  }

  go(live: Live, tokens: readonly number[]): void {
    const { sequence } = live;
    const free = this.pool.free;
    const held = [...sequence.pages];
    const needed = sequence.needed(tokens.length);
    if (sequence.reserve(tokens.length)) {
      expect(free - this.pool.free).toBeLessThanOrEqual(needed);
      this.compute(live, tokens);
    } else {
      expect(needed).toBeGreaterThan(free);
      expect([this.pool.free, ...sequence.pages]).toEqual([free, ...held]);
      this.evict(needed - free);
    }
  }

  insert(live: Live): void {
    const tokens = live.tokens.slice(0, this.below(live.tokens.length + 1));
    const { evictedPages } = this.tree.counters;
    this.tree.insert(tokens, live.sequence.pages);
    if (this.tree.counters.evictedPages > evictedPages || this.tree.held >= this.budget) {
      this.#adoptBudget(tokens, live.sequence.pages);
    } else {
      this.#share(tokens, live.sequence.pages);
    }
  }

  /** What the tree should hold after an insertion. */
  #share(tokens: readonly number[], pages: readonly number[]): void {
    for (let i = 0; i * this.size < tokens.length; i++) {
      const key = tokens.slice(0, (i + 1) * this.size);
      const inPage = (c: Cell) => Math.ceil(c.tokens.length / this.size) === i + 1;
      if (this.cells.some((c) => inPage(c) && startsWith(c.tokens, key))) continue;
      this.cells = this.cells.filter((c) => !(inPage(c) && startsWith(key, c.tokens)));
      this.cells.push({ tokens: key, page: pages[i] as number });
    }
  }

  /** After an insertion that the budget limits: a beginning was kept, and what went is what {@link gone} allows. */
  #adoptBudget(tokens: readonly number[], pages: readonly number[]): void {
    const before = this.cells;
    const kept = this.longest(tokens);
    this.#share(tokens.slice(0, kept), pages);
    this.gone(this.cells);
    if (kept < tokens.length) expect(this.tree.held).toBeGreaterThanOrEqual(this.budget - 1);
    // Nothing that was there before and is shared by the new tokens has gone.
    const shared = Math.max(0, ...before.map((c) => commonPrefix(c.tokens, tokens)));
    expect(kept).toBeGreaterThanOrEqual(shared);
  }

  /** The longest match, without a trace. */
  longest(tokens: readonly number[]): number {
    const { length, pages, partial } = this.tree.match(tokens);
    for (const page of pages) this.pool.release(page);
    if (partial) this.pool.release(partial.page);
    return length;
  }

  /** Pages that may be evicted: nobody but the tree has them or any that continues them. */
  evictable(): Cell[] {
    const used = new Set(this.live.flatMap(({ sequence }) => sequence.pages));
    const inUse = this.cells.filter(({ page }) => used.has(page));
    return this.cells.filter((cell) => !inUse.some((c) => startsWith(c.tokens, cell.tokens)));
  }

  evict(wanted: number): void {
    const evictable = this.evictable();
    const before = this.cells;
    const free = this.pool.free;
    const freed = this.tree.evict(wanted);
    expect(freed).toBe(Math.min(Math.max(wanted, 0), evictable.length));
    expect(this.pool.free).toBe(free + freed);
    this.gone(before);
    expect(before.length - this.cells.length).toBe(freed);
    for (const cell of before) {
      if (!this.cells.includes(cell)) expect(evictable).toContain(cell);
    }
  }

  /** Forgets those of `before` that the tree no longer has; one that it has must have all that it continues. */
  gone(before: readonly Cell[]): void {
    this.cells = before.filter((c) => this.longest(c.tokens) === c.tokens.length);
    for (const cell of this.cells) {
      for (let end = this.size; end < cell.tokens.length; end += this.size) {
        const above = this.cells.filter((c) => c.tokens.length === end);
        same(above.filter((c) => startsWith(cell.tokens, c.tokens)).length, 1, "pages above");
      }
    }
  }

  step(): void {
    const live = this.live[this.below(this.live.length)];
    const what = this.below(100);
    if (!live || what < 12) this.start();
    else if (what < 50) this.go(live, this.tokens(this.size + 1));
    else if (what < 62) this.insert(live);
    else if (what < 70) {
      const length = this.below(live.tokens.length + 1);
      live.sequence.truncate(length);
      live.tokens.length = length;
    } else if (what < 78) {
      this.live.push({ sequence: live.sequence.fork(1), tokens: [...live.tokens] });
    } else if (what < 93) {
      if (this.below(2)) this.insert(live);
      live.sequence.release();
      this.live.splice(this.live.indexOf(live), 1);
    } else if (what < 99) this.evict(this.below(5));
    else if (this.below(8) === 0) {
      this.tree.clear();
      this.cells = [];
    }
  }

  check(): void {
    const held = new Array<number>(this.pool.pages).fill(0);
    const hold = (page: number) => {
      held[page] = (held[page] as number) + 1;
    };
    for (const { sequence } of this.live) sequence.pages.forEach(hold);
    for (const { page } of this.cells) hold(page);
    let free = 0;
    held.forEach((count, page) => {
      if (count === 0) free++;
      same(this.pool.references(page), count, `references of page ${page}`);
    });
    same(this.pool.free, free, "free pages");
    same(this.tree.held, this.cells.length, "pages of the tree");
    expect(this.tree.held).toBeLessThanOrEqual(this.budget);
  }

  /** Every position of every sequence, and every page of the tree, has the tokens that it should have. */
  checkMemory(): void {
    this.copy();
    const checkPage = (page: number, tokens: readonly number[], what: string) => {
      tokens.forEach((token, i) => {
        same(this.memory[page]?.[i], token, `token ${i} of page ${page} of ${what}`);
      });
    };
    for (const { sequence, tokens } of this.live) {
      same(sequence.length, tokens.length, "length");
      sequence.pages.forEach((page, i) => {
        checkPage(page, tokens.slice(i * this.size, (i + 1) * this.size), "a sequence");
      });
    }
    for (const { tokens, page } of this.cells) {
      const from = Math.floor((tokens.length - 1) / this.size) * this.size;
      checkPage(page, tokens.slice(from), "the tree");
    }
  }
}

describe("the prefix cache", () => {
  test("agrees with a model over 100,000 random steps", () => {
    const STEPS = 500;
    for (let seed = 0; seed < 200; seed++) {
      const below = random(seed);
      const size = 1 + below(4);
      const pages = 4 + below(28);
      const budget = below(3) === 0 ? below(pages + 1) : pages;
      const world = new World(below, size, pages, budget, 2 + below(2), seed % 2 === 1);
      try {
        for (let i = 0; i < STEPS; i++) {
          world.step();
          world.check();
          if (i % 10 === 0) world.checkMemory();
        }
        for (const { sequence } of world.live.splice(0)) sequence.release();
        world.check();
        world.evict(pages);
        world.check();
        expect(world.pool.free).toBe(pages);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});
