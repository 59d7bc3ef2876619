import { expect, test } from "vitest";
import { leastFrequentlyUsed } from "./eviction.js";
import { PagePool } from "./page_pool.js";
import { RadixTree } from "./radix_tree.js";
import { Sequence } from "./sequence.js";

const SIZE = 4;

/** Tokens from a word: one per letter. */
const ids = (word: string) => [...word].map((c) => c.charCodeAt(0));

/** Computes a word as a request does, caches it, and lets go of it. @returns its pages */
function cache(tree: RadixTree, pool: PagePool, word: string): number[] {
  const sequence = new Sequence(pool, SIZE, 0);
  sequence.adopt(tree.match(ids(word)));
  const rest = word.length - sequence.length;
  const missing = sequence.needed(rest) - pool.free;
  if (missing > 0) tree.evict(missing);
  expect(sequence.reserve(rest)).toBe(true);
  sequence.length += rest;
  const pages = [...sequence.pages];
  tree.insert(ids(word), pages);
  sequence.release();
  return pages;
}

/** How much of a word is cached. */
function cached(tree: RadixTree, pool: PagePool, word: string): number {
  const sequence = new Sequence(pool, SIZE, 0);
  sequence.adopt(tree.match(ids(word)));
  const { length } = sequence;
  sequence.release();
  return length;
}

test("a match goes on into a page whose tokens part there", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE);
  const [a, b] = cache(tree, pool, "abcdefgh") as [number, number];
  expect(tree.match(ids("abcdefXY"))).toEqual({
    length: 6,
    pages: [a],
    partial: { page: b, length: 2 },
  });
  expect([pool.references(a), pool.references(b)]).toEqual([2, 2]);
});

test("the other side of a parting computes its own page, and both are found", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE);
  const left = cache(tree, pool, "abcdefgh");
  const right = cache(tree, pool, "abcdefXYZ");
  expect(pool.takeCopies()).toEqual([{ from: left[1], to: right[1] }]);
  expect(right[0]).toBe(left[0]);
  expect(tree.held).toBe(4);
  expect(cached(tree, pool, "abcdefgh")).toBe(8);
  expect(cached(tree, pool, "abcdefXYZ!")).toBe(9);
});

test("a conversation that goes on keeps one page for each part of it", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE);
  cache(tree, pool, "abcdef");
  expect(tree.held).toBe(2);
  cache(tree, pool, "abcdefghij");
  expect(tree.held).toBe(3);
  expect(pool.free).toBe(5);
  cache(tree, pool, "abcde");
  expect(tree.held).toBe(3);
});

test("what was used longest ago goes first, its end before its beginning", () => {
  const pool = new PagePool(9);
  const tree = new RadixTree(pool, SIZE);
  for (const word of ["aaaaAAAA", "bbbbBBBB", "ccccCCCC"]) cache(tree, pool, word);
  expect(cached(tree, pool, "aaaaAAAA")).toBe(8);
  expect(tree.evict(3)).toBe(3);
  const left = ["aaaaAAAA", "bbbbBBBB", "ccccCCCC"].map((w) => cached(tree, pool, w));
  expect(left).toEqual([8, 0, 4]);
});

test("what is only looked at goes as early as before", () => {
  const pool = new PagePool(9);
  const tree = new RadixTree(pool, SIZE);
  for (const word of ["aaaa", "bbbb"]) cache(tree, pool, word);
  const before = { ...tree.counters };
  const { length, pages } = tree.match(ids("aaaa"), false);
  expect(length).toBe(4);
  for (const page of pages) pool.release(page);
  expect(tree.counters).toEqual(before);
  tree.evict(1);
  expect(["aaaa", "bbbb"].map((w) => cached(tree, pool, w))).toEqual([0, 4]);
});

test("another policy keeps what was matched most often", () => {
  const pool = new PagePool(9);
  const tree = new RadixTree(pool, SIZE, 9, leastFrequentlyUsed);
  cache(tree, pool, "aaaa");
  expect(cached(tree, pool, "aaaa")).toBe(4);
  for (const word of ["bbbb", "cccc"]) cache(tree, pool, word);
  expect(tree.evict(2)).toBe(2);
  expect(["aaaa", "bbbb", "cccc"].map((w) => cached(tree, pool, w))).toEqual([4, 0, 0]);
});

test("pages of a running sequence stay", () => {
  const pool = new PagePool(4);
  const tree = new RadixTree(pool, SIZE);
  cache(tree, pool, "aaaaAAAA");
  const running = new Sequence(pool, SIZE, 0);
  running.adopt(tree.match(ids("aaaa")));
  expect(tree.evict(4)).toBe(1);
  expect(cached(tree, pool, "aaaaAAAA")).toBe(4);
  running.release();
  expect(tree.evict(4)).toBe(1);
  expect(pool.free).toBe(4);
});

test("within its budget it keeps the beginning of what does not fit", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE, 2);
  cache(tree, pool, "aaaaAAAAaaaa");
  expect(tree.held).toBe(2);
  expect(cached(tree, pool, "aaaaAAAAaaaa")).toBe(8);
  cache(tree, pool, "bbbbBBB");
  expect(cached(tree, pool, "aaaaAAAAaaaa")).toBe(0);
  expect(cached(tree, pool, "bbbbBBB")).toBe(7);
  expect(pool.free).toBe(6);
});

test("counts what was asked for, found, kept and evicted", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE);
  cache(tree, pool, "abcdefgh");
  expect(cached(tree, pool, "abcdeX")).toBe(5);
  tree.evict(1);
  expect(tree.counters).toEqual({
    lookups: 2,
    askedTokens: 14,
    matchedTokens: 5,
    insertedPages: 2,
    evictedPages: 1,
  });
});

test("cleared, it holds nothing", () => {
  const pool = new PagePool(8);
  const tree = new RadixTree(pool, SIZE);
  cache(tree, pool, "abcdefgh");
  cache(tree, pool, "abXY");
  tree.clear();
  expect([tree.held, pool.free, cached(tree, pool, "abcdefgh")]).toEqual([0, 8, 0]);
});

test("refuses tokens that are in no page", () => {
  const pool = new PagePool(8);
  expect(() => new RadixTree(pool, SIZE).insert(ids("abcde"), [0])).toThrow(RangeError);
});
