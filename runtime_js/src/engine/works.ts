/**
 * Which pieces of contexts each workgroup of a split decode attention takes, and for which rows. The rule, and what the
 * numbers in the table mean, are those of builder/webbuild/native/works.py.
 */

/** Tokens of the longest context from which decoding in pieces pays: a workgroup for each KV head leaves most of a GPU idle. */
export const SPLIT_CONTEXT = 384;
/** The same for software adapters. */
export const SOFTWARE_SPLIT_CONTEXT = 1024;
/** A work has at least so many positions, if there are: each piece costs a rotation and a merge. */
export const PIECE_TOKENS = 128;
/**
 * The same for software adapters, which have few cores to keep busy: as many works as cores, or as rows if they are more, give
 * each the same share.
 */
export const SOFTWARE_PIECE_TOKENS = 512;
/** Where nothing says how many cores there are. */
const SOME_CORES = 4;
/** Works aimed at: so many per row, and in all. */
const ROW_WORKS = 16;
const LEAST_WORKS = 32;
/** A work has at least so many pages on average: one more or less is not a quarter of it. */
const EVEN_PAGES = 5;
/** What a part costs, as positions that could be read instead. */
const PART_TOKENS = 16;
/** So many positions, read once instead of once more, make pieces pay in short contexts too. */
const SHARED_CONTEXT = 512;

/** Of the machine, which a software adapter computes on. */
export const coresHere = (): number => globalThis.navigator?.hardwareConcurrency || SOME_CORES;

/** Segments of a line, the pieces it is cut into, and the first piece of each work. */
class Line {
  /** Rows low .. high of the order read positions begin .. end. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly begin: Int32Array;
  readonly end: Int32Array;
  segments = 0;
  total = 0;
  readonly segment: Int32Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  pieces = 0;
  readonly first: Int32Array;
  works = 0;

  constructor(rows: number, parts: number) {
    this.low = new Int32Array(rows);
    this.high = new Int32Array(rows);
    this.begin = new Int32Array(rows);
    this.end = new Int32Array(rows);
    this.segment = new Int32Array(parts);
    this.from = new Int32Array(parts);
    this.to = new Int32Array(parts);
    this.first = new Int32Array(parts + 1);
  }

  clear(): void {
    this.segments = 0;
    this.total = 0;
    this.pieces = 0;
    this.works = 0;
  }

  add(low: number, high: number, begin: number, end: number): void {
    const at = this.segments++;
    this.low[at] = low;
    this.high[at] = high;
    this.begin[at] = begin;
    this.end[at] = end;
    this.total += end - begin;
  }

  /** A work for each segment. */
  whole(): void {
    for (let at = 0; at < this.segments; at++) {
      this.first[this.works++] = this.pieces;
      this.#piece(at, this.begin[at] as number, this.end[at] as number);
    }
    this.first[this.works] = this.pieces;
  }

  /** At most `most` works, cut at pages: `wanted` if they can be, more if they have pieceTokens each. */
  cut(pageSize: number, most: number, pieceTokens: number, wanted: number): void {
    const { total } = this;
    if (total === 0) return;
    const even = Math.floor(total / (EVEN_PAGES * pageSize));
    const count = Math.max(
      1,
      Math.min(most, even, Math.max(Math.floor(total / pieceTokens), wanted)),
    );
    let at = 0;
    let begin = this.begin[0] as number;
    let passed = 0; // positions before segment `at`
    for (let edge = 1; edge <= count; edge++) {
      const goal = Math.floor((edge * total) / count);
      this.first[this.works++] = this.pieces;
      while (at < this.segments) {
        const start = this.begin[at] as number;
        const last = this.end[at] as number;
        const size = last - start;
        const inside = goal - passed;
        let end = last;
        if (inside < size) {
          const low = Math.floor(inside / pageSize) * pageSize;
          const high = Math.min(low + pageSize, size);
          end = start + (inside - low <= high - inside ? low : high);
        }
        if (end > begin) {
          this.#piece(at, begin, end);
          begin = end;
        }
        if (end < last) break;
        at++;
        passed += size;
        begin = this.begin[at] as number;
        if (inside <= size) break;
      }
    }
    this.first[this.works] = this.pieces;
  }

  /** Rows that a piece serves. */
  rows(piece: number): number {
    const segment = this.segment[piece] as number;
    return (this.high[segment] as number) - (this.low[segment] as number);
  }

  #piece(segment: number, begin: number, end: number): void {
    this.segment[this.pieces] = segment;
    this.from[this.pieces] = begin;
    this.to[this.pieces] = end;
    this.pieces++;
  }
}

/** Plans a step: `clear`, `add` each row, `cut`. Allocates nothing after its construction. */
export class WorkPlanner {
  /** Works, works with shared pieces, and parts of the last plan. */
  works = 0;
  sharedWorks = 0;
  parts = 0;
  /** Positions that are not read again because rows share them. */
  saved = 0;
  readonly #pages: ArrayLike<number>[] = [];
  readonly #lengths: Int32Array;
  /** Whole pages before the newest position's. */
  readonly #whole: Int32Array;
  /** Rows in an order in which those that share are neighbours, and with how many pages each begins as the one before. */
  readonly #order: Int32Array;
  readonly #same: Int32Array;
  /** The next part of each row. */
  readonly #part: Int32Array;
  readonly #owned: Line;
  readonly #shared: Line;
  #rows = 0;
  #sharedParts = 0;
  #widest = 1;

  /**
   * @param work gets the table, i32[2 · parts, 4]
   * @param workRows gets the first part of each row, and their number at the end
   * @param limit of parts, unless there are more rows
   * @param pieceTokens of a work, at least
   * @param cores of a software adapter, else 0
   */
  constructor(
    private readonly work: Int32Array,
    private readonly workRows: Int32Array,
    private readonly pageSize: number,
    private readonly limit: number,
    private readonly pieceTokens = PIECE_TOKENS,
    private readonly cores = 0,
  ) {
    const rows = workRows.length - 1;
    const parts = Math.max(limit, rows);
    this.#lengths = new Int32Array(rows);
    this.#whole = new Int32Array(rows);
    this.#order = new Int32Array(rows);
    this.#same = new Int32Array(rows);
    this.#part = new Int32Array(rows);
    this.#owned = new Line(rows, parts);
    this.#shared = new Line(rows, parts);
  }

  clear(): void {
    this.#rows = 0;
    this.#pages.length = 0;
  }

  /** A row of `length` ≥ 1 positions; equal pages at one place hold the same positions, and so do all before them. */
  add(length: number, pages: ArrayLike<number>): void {
    const row = this.#rows++;
    this.#pages.push(pages);
    this.#lengths[row] = length;
    this.#whole[row] = Math.floor((length - 1) / this.pageSize);
    let at = row;
    while (at > 0 && this.#before(row, this.#order[at - 1] as number)) {
      this.#order[at] = this.#order[at - 1] as number;
      at--;
    }
    this.#order[at] = row;
  }

  /** Fills the arrays. @returns whether sharing saves enough for pieces to pay whatever the contexts' length */
  cut(): boolean {
    const rows = this.#rows;
    const most = Math.max(this.limit, rows);
    for (let i = 1; i < rows; i++) {
      this.#same[i] = this.#common(this.#order[i - 1] as number, this.#order[i] as number);
    }
    this.#owned.clear();
    this.#shared.clear();
    this.#sharedParts = 0;
    this.#widest = 1;
    this.#visit(0, rows, 0, Math.min(most >> 2, most - rows));
    let room = most - rows - this.#sharedParts;
    const aim = this.cores || Math.max(LEAST_WORKS, ROW_WORKS * rows);
    const sharedMost = 1 + Math.floor((room >> 1) / this.#widest);
    this.#shared.cut(this.pageSize, Math.min(aim, sharedMost), this.pieceTokens, 1);
    room -= Math.max(0, this.#shared.works - 1) * this.#widest;
    if (this.#even(aim)) this.#owned.whole();
    else {
      const owned = Math.min(Math.max(aim, rows), 1 + room);
      this.#owned.cut(this.pageSize, owned, this.pieceTokens, rows);
    }
    this.#fill();
    return this.saved >= SHARED_CONTEXT + PART_TOKENS * this.parts;
  }

  /** Pages with which both rows begin. Where pages are equal, all before are: so bisect. */
  #common(a: number, b: number): number {
    const left = this.#pages[a] as ArrayLike<number>;
    const right = this.#pages[b] as ArrayLike<number>;
    let low = 0;
    let high = Math.min(this.#whole[a] as number, this.#whole[b] as number);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (left[middle] === right[middle]) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #before(a: number, b: number): boolean {
    const same = this.#common(a, b);
    const left = this.#whole[a] as number;
    const right = this.#whole[b] as number;
    if (same === left || same === right) return left < right;
    const pages = (row: number) => (this.#pages[row] as ArrayLike<number>)[same] as number;
    return pages(a) < pages(b);
  }

  /** What rows low .. high of the order read from page `depth` on: what they share first, if that pays. */
  #visit(low: number, high: number, depth: number, mostParts: number): void {
    const count = high - low;
    if (count === 1) {
      const end = this.#lengths[this.#order[low] as number] as number;
      this.#owned.add(low, high, depth * this.pageSize, end);
      return;
    }
    let least = this.#same[low + 1] as number;
    for (let i = low + 2; i < high; i++) least = Math.min(least, this.#same[i] as number);
    const saved = (count - 1) * (least - depth) * this.pageSize;
    let from = depth;
    if (saved >= PART_TOKENS * count && this.#sharedParts + count <= mostParts) {
      this.#shared.add(low, high, depth * this.pageSize, least * this.pageSize);
      this.#sharedParts += count;
      this.#widest = Math.max(this.#widest, count);
      from = least;
    }
    let first = low;
    for (let i = low + 1; i <= high; i++) {
      if (i < high && this.#same[i] !== least) continue;
      this.#visit(first, i, from, mostParts);
      first = i;
    }
  }

  /** Whether a work for each row is right: no longer than they need be, and as long as each other. */
  #even(aim: number): boolean {
    const { segments, total, begin, end } = this.#owned;
    let longest = 0;
    for (let i = 0; i < segments; i++) {
      longest = Math.max(longest, (end[i] as number) - (begin[i] as number));
    }
    const enough = Math.min(aim, Math.floor(total / this.pieceTokens)) <= segments;
    return enough && 4 * segments * longest <= 5 * total;
  }

  #fill(): void {
    const owned = this.#owned;
    const shared = this.#shared;
    this.works = owned.works;
    this.sharedWorks = shared.works;
    const rows = this.#rows;
    const next = this.#part;
    next.fill(0, 0, rows);
    this.#count(owned);
    this.#count(shared);
    let parts = 0;
    for (let row = 0; row < rows; row++) {
      this.workRows[row] = parts;
      const count = next[row] as number;
      next[row] = parts;
      parts += count;
    }
    this.workRows[rows] = parts;
    this.parts = parts;

    const headers = owned.works + shared.works;
    for (let i = 0; i < owned.works; i++) this.#header(i, owned, i, headers);
    const sharedItems = headers + owned.pieces;
    for (let i = 0; i < shared.works; i++) this.#header(owned.works + i, shared, i, sharedItems);
    this.saved = 0;
    let named = sharedItems + shared.pieces; // where rows of shared pieces are named
    // Shared pieces first: a row's parts follow one another as its positions do.
    for (let i = 0; i < shared.pieces; i++) {
      const count = shared.rows(i);
      const from = shared.from[i] as number;
      const to = shared.to[i] as number;
      this.#item(sharedItems + i, named, from, to, count);
      this.saved += (count - 1) * (to - from);
      const low = shared.low[shared.segment[i] as number] as number;
      for (let j = 0; j < count; j++, named++) {
        const row = this.#order[low + j] as number;
        this.#item(named, row, next[row] as number, 0, 0);
        next[row] = (next[row] as number) + 1;
      }
    }
    for (let i = 0; i < owned.pieces; i++) {
      const row = this.#order[owned.low[owned.segment[i] as number] as number] as number;
      const part = next[row] as number;
      this.#item(headers + i, row, owned.from[i] as number, owned.to[i] as number, part);
      next[row] = part + 1;
    }
  }

  #count(line: Line): void {
    for (let i = 0; i < line.pieces; i++) {
      const segment = line.segment[i] as number;
      for (let at = line.low[segment] as number; at < (line.high[segment] as number); at++) {
        const row = this.#order[at] as number;
        this.#part[row] = (this.#part[row] as number) + 1;
      }
    }
  }

  #header(item: number, line: Line, work: number, items: number): void {
    const end = items + (line.first[work + 1] as number);
    this.#item(item, items + (line.first[work] as number), end, 0, 0);
  }

  #item(item: number, a: number, b: number, c: number, d: number): void {
    const at = 4 * item;
    this.work[at] = a;
    this.work[at + 1] = b;
    this.work[at + 2] = c;
    this.work[at + 3] = d;
  }
}
