/**
 * Which piece of a context each workgroup of a split decode attention takes. The same rule as
 * builder/webbuild/native/works.py.
 */

/** Tokens of the longest context from which decoding in pieces pays. */
export const SPLIT_CONTEXT = 1024;
/** A piece holds at least so many, if its context does: each costs a query's rotation and a merge. */
export const PIECE_TOKENS = 128;
/** The same for software adapters, which have few cores to keep busy. */
export const SOFTWARE_PIECE_TOKENS = 256;
/** Pieces aimed at: so many per row, and in all. */
const ROW_PIECES = 16;
const LEAST_PIECES = 32;

/**
 * Cuts contexts of `lengths` ≥ 1 positions into at most max(limit, rows) pieces of whole pages. Every piece has at most as
 * many pages as the smallest number allows that keeps them few enough; the pieces of a context differ by at most one page.
 *
 * @param work gets (row, first position, end position, 0) for each piece, in order
 * @param pieceTokens of a piece, at least
 * @param workRows gets the first piece of each row, and their number at the end
 * @returns the number of pieces
 */
export function planWorks(
  lengths: readonly number[],
  pageSize: number,
  limit: number,
  work: Int32Array,
  workRows: Int32Array,
  pieceTokens = PIECE_TOKENS,
): number {
  const rows = lengths.length;
  const target = Math.max(rows, Math.min(limit, Math.max(LEAST_PIECES, ROW_PIECES * rows)));
  const pages = (length: number) => Math.ceil(length / pageSize);
  const total = lengths.reduce((sum, length) => sum + pages(length), 0);
  let most = Math.max(Math.ceil(pieceTokens / pageSize), Math.ceil(total / target));
  const cut = (length: number) => Math.ceil(pages(length) / most);
  while (lengths.reduce((sum, length) => sum + cut(length), 0) > target) most++;
  let works = 0;
  lengths.forEach((length, row) => {
    workRows[row] = works;
    const pieces = cut(length);
    const edge = (piece: number) =>
      piece === pieces ? length : Math.floor((piece * pages(length)) / pieces) * pageSize;
    for (let piece = 0; piece < pieces; piece++, works++) {
      work.set([row, edge(piece), edge(piece + 1), 0], 4 * works);
    }
  });
  workRows[rows] = works;
  return works;
}
