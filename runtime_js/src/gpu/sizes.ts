/** Symbol values at load, and the byte sizes that follow from them. */
import { InvalidPack } from "../errors.js";
import type { Expr, Program, ProgramBuffer, Segment, Tier } from "../generated/program.js";
import { compileExpression } from "../program/expression.js";

export const DTYPE_BYTES = { f32: 4, f16: 2, i32: 4, u32: 4 } as const;

export const align = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Symbols by number, with a value for each: maxima for `step` symbols, the runtime's choice for `load` symbols. */
export interface Symbols {
  index: ReadonlyMap<string, number>;
  /** Every symbol at its maximum. */
  maxima: readonly number[];
}

/** What a load chooses. */
export interface Capacity {
  /** Most tokens of a sequence. */
  contextLength: number;
  /** Most sequences at once. */
  maxBatch: number;
  /** Positions in the KV pool. */
  kvTokens: number;
}

/** Rows of a prefill attention tile. */
export const TILE_ROWS = 16;

/** Every symbol's largest value for this capacity: the rule of builder/webbuild/schema/capacity.py. */
export function chooseSymbols(program: Program, capacity: Capacity): Symbols {
  const { contextLength, maxBatch, kvTokens } = capacity;
  const most = new Map(program.symbols.map(({ name, max }) => [name, max ?? 0]));
  const parts = Math.max(32, 16 * maxBatch);
  const chosen: Record<string, number> = {
    seqs: maxBatch,
    outs: Math.max(16, 2 * maxBatch),
    q_tiles: Math.ceil((most.get("tokens") ?? 0) / TILE_ROWS) + maxBatch,
    works: parts,
    shared_works: parts / 2,
    parts,
    pages: Math.ceil(kvTokens / program.page_size),
    max_pages: Math.ceil(contextLength / program.page_size),
    slots: maxBatch,
  };
  const index = new Map(program.symbols.map((s, i) => [s.name, i]));
  const maxima = program.symbols.map(({ name, max }) => {
    const value = chosen[name];
    if (value === undefined && max === null)
      throw new InvalidPack(`this package doesn't know the symbol ${name}`);
    return Math.min(value ?? Number.POSITIVE_INFINITY, max ?? Number.POSITIVE_INFINITY);
  });
  return { index, maxima };
}

/** A byte size or count evaluated at symbol maxima. @throws InvalidPack when it isn't a sane positive integer */
export function sizeOf(exprs: readonly Expr[], symbols: Symbols, what: string): number {
  const size = exprs.reduce<number>(
    (n, e) => n * compileExpression(e, symbols.index)(symbols.maxima),
    1,
  );
  if (!Number.isSafeInteger(size) || size < 1) throw new InvalidPack(`${what} has size ${size}`);
  return size;
}

export function storageBytes(tier: Tier, index: number, symbols: Symbols): number {
  return align(sizeOf([tier.storages[index] as Expr], symbols, `storage ${index}`), 16);
}

export function bufferBytes(buffer: ProgramBuffer, symbols: Symbols): number {
  return align(
    sizeOf(buffer.shape, symbols, `buffer ${buffer.name}`) * DTYPE_BYTES[buffer.dtype],
    16,
  );
}

/** Bytes a segment takes on the GPU. */
export function residentBytes(segment: Segment): number {
  return segment.transform === "f16_to_f32" ? segment.nbytes * 2 : align(segment.nbytes, 4);
}
