import { describe, expect, test } from "vitest";
import { PIECE_TOKENS, planWorks, SOFTWARE_PIECE_TOKENS } from "./works.js";

const PAGE = 16;

/** Pieces of contexts, and the first of each row. */
function plan(lengths: readonly number[], limit: number, pieceTokens = PIECE_TOKENS) {
  const work = new Int32Array(4 * Math.max(limit, lengths.length));
  const workRows = new Int32Array(lengths.length + 1);
  const works = planWorks(lengths, PAGE, limit, work, workRows, pieceTokens);
  const pieces = Array.from({ length: works }, (_, i) => [...work.subarray(4 * i, 4 * i + 4)]);
  return { pieces: pieces as [number, number, number, number][], workRows: [...workRows] };
}

/** The same batches in every run. */
function batches(least: number, most: number): number[][] {
  let state = 12345;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: 500 }, () =>
    Array.from({ length: 1 + random(8) }, () =>
      Math.floor(least * (most / least) ** (random(1000) / 1000)),
    ),
  );
}

describe("pieces of contexts", () => {
  test("every position of every row once, in order, cut at pages", () => {
    for (const lengths of batches(1, 40000)) {
      const limit = 16 * 8;
      const { pieces, workRows } = plan(lengths, limit);
      expect(pieces.length).toBeLessThanOrEqual(limit);
      expect([workRows[0], workRows[lengths.length]]).toEqual([0, pieces.length]);
      lengths.forEach((length, row) => {
        const own = pieces.slice(workRows[row], workRows[row + 1]);
        let end = 0;
        for (const piece of own) {
          expect([piece[0], piece[1], piece[3]]).toEqual([row, end, 0]);
          expect(piece[2]).toBeGreaterThan(end);
          if (piece[2] !== length) expect(piece[2] % PAGE).toBe(0);
          end = piece[2];
        }
        expect(end).toBe(length);
      });
    }
  });

  test("no piece of long contexts is 1.25 times the mean", () => {
    for (const lengths of batches(1024, 131072)) {
      for (const tokens of [PIECE_TOKENS, SOFTWARE_PIECE_TOKENS]) {
        const sizes = plan(lengths, 16 * 8, tokens).pieces.map(([, begin, end]) => end - begin);
        const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
        expect(Math.max(...sizes) / mean).toBeLessThanOrEqual(1.25);
      }
    }
  });

  test("as builder/webbuild/native/works.py cuts", () => {
    // The same numbers are in builder/tests/test_works.py.
    const { pieces, workRows } = plan([1, 300, 2049], 64);
    expect(workRows).toEqual([0, 1, 4, 21]);
    expect(pieces.slice(0, 6).map(([, begin, end]) => [begin, end])).toEqual([
      [0, 1],
      [0, 96],
      [96, 192],
      [192, 300],
      [0, 112],
      [112, 240],
    ]);
  });

  test("longer pieces on software adapters", () => {
    expect(plan([1, 300, 2049], 64, SOFTWARE_PIECE_TOKENS).workRows).toEqual([0, 1, 3, 12]);
  });

  test("never fewer pieces than rows, however low the limit", () => {
    expect(plan([5000, 7, 5000], 2).workRows).toEqual([0, 1, 2, 3]);
  });
});
