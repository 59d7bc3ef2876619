import { expect, test } from "vitest";
import { PagePool } from "./page_pool.js";
import { Sequence } from "./sequence.js";

test("takes a page when a token needs it, all or nothing, and gives all back", () => {
  const pool = new PagePool(4);
  const sequence = new Sequence(pool, 4, 0);
  expect(sequence.reserve(4)).toBe(true);
  expect(sequence.pages).toHaveLength(1);
  sequence.length = 4;
  expect(sequence.reserve(1)).toBe(true);
  expect(sequence.pages).toHaveLength(2);
  expect(sequence.reserve(13)).toBe(false);
  expect(pool.free).toBe(2);
  expect(sequence.reserve(12)).toBe(true);
  expect(new Set(sequence.pages).size).toBe(4);
  sequence.release();
  expect(pool.free).toBe(4);
});

test("a fork shares all pages until one of the two goes on", () => {
  const pool = new PagePool(4);
  const sequence = new Sequence(pool, 4, 0);
  sequence.reserve(6);
  sequence.length = 6;
  const fork = sequence.fork(1);
  expect(fork.pages).toEqual(sequence.pages);
  expect(pool.free).toBe(2);
  const [, shared] = sequence.pages as [number, number];
  expect(sequence.needed(1)).toBe(1);
  sequence.reserve(1);
  expect(pool.takeCopies()).toEqual([{ from: shared, to: sequence.pages[1] }]);
  expect(pool.takeCopies()).toEqual([]);
  // Now the fork has the page to itself.
  expect(fork.needed(2)).toBe(0);
  fork.reserve(2);
  expect([fork.pages[1], pool.takeCopies()]).toEqual([shared, []]);
});

test("pages that were reserved and have no tokens are not shared", () => {
  const pool = new PagePool(4);
  const sequence = new Sequence(pool, 4, 0);
  sequence.reserve(8);
  sequence.length = 4;
  const fork = sequence.fork(1);
  expect(fork.pages).toHaveLength(1);
  expect([fork.reserve(1), fork.pages[1] === sequence.pages[1]]).toEqual([true, false]);
  expect(pool.takeCopies()).toEqual([]);
});

test("cut short, it gives back pages and writes no page that others read", () => {
  const pool = new PagePool(4);
  const sequence = new Sequence(pool, 4, 0);
  sequence.reserve(8);
  sequence.length = 8;
  const fork = sequence.fork(1);
  sequence.truncate(5);
  expect(pool.free).toBe(2);
  sequence.reserve(1);
  expect(pool.takeCopies()).toHaveLength(1);
  sequence.truncate(0);
  expect([sequence.pages, pool.free]).toEqual([[], 2]);
  expect(() => fork.truncate(9)).toThrow(RangeError);
});
