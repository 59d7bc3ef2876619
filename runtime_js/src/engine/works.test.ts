import { describe, expect, test } from "vitest";
import { PIECE_TOKENS, SOFTWARE_PIECE_TOKENS, WorkPlanner } from "./works.js";

type Item = [number, number, number, number];
interface Batch {
  lengths: number[];
  pages: number[][];
}
interface Plan {
  works: number;
  sharedWorks: number;
  parts: number;
  saved: number;
  pays: boolean;
  /** The table's rows, as many as the plan has. */
  items: Item[];
  workRows: number[];
}

const planners = new Map<string, { planner: WorkPlanner; work: Int32Array; rows: Int32Array }>();

function plan(
  { lengths, pages }: Batch,
  page = 16,
  limit = 256,
  tokens = PIECE_TOKENS,
  cores = 0,
): Plan {
  // One planner for many batches: what one leaves must not matter to the next.
  const key = `${page} ${limit} ${tokens} ${cores}`;
  let made = planners.get(key);
  if (!made) {
    const work = new Int32Array(8 * Math.max(limit, 16));
    const rows = new Int32Array(17);
    made = { planner: new WorkPlanner(work, rows, page, limit, tokens, cores), work, rows };
    planners.set(key, made);
  }
  const { planner, work, rows } = made;
  work.fill(-1);
  planner.clear();
  lengths.forEach((length, row) => {
    planner.add(length, pages[row] as number[]);
  });
  const pays = planner.cut();
  const { works, sharedWorks, parts, saved } = planner;
  const items: Item[] = [];
  for (let at = 0; at < work.length && work[at] !== -1; at += 4) {
    items.push([...work.subarray(at, at + 4)] as Item);
  }
  return {
    works,
    sharedWorks,
    parts,
    saved,
    pays,
    items,
    workRows: [...rows.subarray(0, lengths.length + 1)],
  };
}

/** The same numbers in every run, and in builder/tests/test_works.py. */
function lcg(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Number((BigInt(state) * BigInt(below)) >> 32n);
  };
}

/** Rows that often begin as one before them, which may have done so too: nested groups. */
function batch(random: (below: number) => number, page: number): Batch {
  const lengths: number[] = [];
  const pages: number[][] = [];
  for (let row = 0, rows = 1 + random(16); row < rows; row++) {
    const length = 1 + random(1 << (1 + random(13)));
    const count = Math.ceil(length / page);
    const other = row && random(4) ? (pages[random(row)] as number[]) : [];
    const kept = other.slice(0, Math.min(random(other.length + 1), count));
    lengths.push(length);
    pages.push([
      ...kept,
      ...Array.from({ length: count - kept.length }, (_, i) => 1000 * row + kept.length + i),
    ]);
  }
  return { lengths, pages };
}

const alone = (lengths: number[]): Batch => ({
  lengths,
  pages: lengths.map((length, row) =>
    Array.from({ length: Math.ceil(length / 16) }, (_, i) => 1000 * row + i),
  ),
});

/** The pieces of works first .. first + count. */
const worksOf = (items: Item[], first: number, count: number): Item[][] =>
  items.slice(first, first + count).map(([begin, end]) => items.slice(begin, end));

/** Each position of each row once, parts in order, and only what is truly shared is. */
function check({ lengths, pages }: Batch, got: Plan, page: number): void {
  const seen = lengths.map(() => new Map<number, [number, number]>());
  for (const [row, begin, end, part] of worksOf(got.items, 0, got.works).flat()) {
    seen[row]?.set(part, [begin, end]);
  }
  for (const [first, begin, end, count] of worksOf(got.items, got.works, got.sharedWorks).flat()) {
    const rows = got.items.slice(first, first + count);
    const lists = rows.map(([row]) => `${pages[row]?.slice(begin / page, end / page)}`);
    expect(count).toBeGreaterThan(1);
    expect(new Set(lists).size).toBe(1);
    for (const [row, part] of rows) {
      expect(end).toBeLessThan(lengths[row] as number);
      seen[row]?.set(part, [begin, end]);
    }
  }
  lengths.forEach((length, row) => {
    let at = 0;
    for (let part = got.workRows[row] as number; part < (got.workRows[row + 1] as number); part++) {
      const [begin, end] = seen[row]?.get(part) ?? [NaN, NaN];
      expect(begin).toBe(at);
      expect(end % page === 0 || end === length).toBe(true);
      at = end;
    }
    expect(at).toBe(length);
  });
}

describe("pieces of contexts", () => {
  test("random batches: every position of every row once, no work 1.25 times the mean", () => {
    const random = lcg();
    let shared = 0;
    for (let i = 0; i < 1000; i++) {
      const page = i % 2 ? 32 : 16;
      const rows = batch(random, page);
      const got = i % 3 ? plan(rows, page) : plan(rows, page, 256, SOFTWARE_PIECE_TOKENS, i % 7);
      check(rows, got, page);
      expect(got.parts).toBeLessThanOrEqual(256);
      if (got.sharedWorks > 0) shared++;
      for (const [first, count] of [
        [0, got.works],
        [got.works, got.sharedWorks],
      ] as const) {
        const sizes = worksOf(got.items, first, count).map((pieces) =>
          pieces.reduce((sum, [, begin, end]) => sum + end - begin, 0),
        );
        const total = sizes.reduce((sum, size) => sum + size, 0);
        if (count > 0) expect((Math.max(...sizes) * count) / total).toBeLessThanOrEqual(1.25);
      }
    }
    expect(shared).toBeGreaterThan(400);
  });

  test("as builder/webbuild/native/works.py cuts", () => {
    // builder/tests/test_works.py makes the same batches, and compares with the same sums.
    const random = lcg();
    const sums = [
      [16, 128, 0],
      [16, 256, 0],
      [32, 128, 0],
      [16, 512, 2],
      [16, 512, 8],
    ].map(([page, tokens, cores]) => {
      let sum = 0;
      for (let i = 0; i < 300; i++) {
        const rows = batch(random, page as number);
        const got = plan(rows, page, 64 + random(200), tokens, cores);
        const counts = [got.works, got.sharedWorks, got.saved, Number(got.pays)];
        for (const word of [...got.items.flat(), ...got.workRows, ...counts]) {
          sum = (Math.imul(31, sum) + word) >>> 0;
        }
      }
      return sum;
    });
    expect(sums).toEqual([3472379981, 1611744627, 887032720, 2899271493, 535144653]);
  });

  test("choices of one prompt read it once", () => {
    // The same numbers are in builder/tests/test_works.py.
    const prompt = Array.from({ length: 93 }, (_, i) => i);
    const pages = Array.from({ length: 8 }, (_, row) => [...prompt, 100 + row]);
    const got = plan({ lengths: pages.map(() => 1500), pages }, 16, 512);
    expect(got).toMatchObject({
      works: 8,
      sharedWorks: 11,
      parts: 96,
      saved: 7 * 1488,
      pays: true,
    });
    expect([0, 8, 18, 19, 27, 28, 38, 39].map((i) => got.items[i])).toEqual([
      [19, 20, 0, 0],
      [27, 28, 0, 0],
      [37, 38, 0, 0],
      [0, 1488, 1500, 11],
      [38, 0, 128, 8],
      [46, 128, 272, 8],
      [0, 0, 0, 0],
      [1, 12, 0, 0],
    ]);
  });

  test("what is short is read again, and contexts of different lengths are cut evenly", () => {
    const pair = (length: number, pages: number[][]) => plan({ lengths: [length, length], pages });
    expect(
      pair(20, [
        [1, 2],
        [1, 3],
      ]).sharedWorks,
    ).toBe(0);
    expect(
      pair(40, [
        [1, 2, 3],
        [1, 2, 4],
      ]),
    ).toMatchObject({ sharedWorks: 1, pays: false });
    // The same numbers are in builder/tests/test_works.py.
    const got = plan(alone([1, 300, 2049]), 16, 64);
    expect(got.workRows).toEqual([0, 1, 4, 20]);
    expect([0, 1, 18, 19, 22].map((i) => got.items[i])).toEqual([
      [18, 20, 0, 0],
      [20, 21, 0, 0],
      [0, 0, 1, 0],
      [1, 0, 128, 1],
      [2, 0, 96, 4],
    ]);
  });

  test("never fewer parts than rows, however low the limit", () => {
    expect(plan(alone([5000, 7, 5000]), 16, 2).parts).toBe(3);
  });
});
