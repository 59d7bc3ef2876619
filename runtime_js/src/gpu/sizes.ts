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

/** Chooses the `load` symbols for sequences of at most `contextLength` tokens, `sequences` of them at once. */
export function chooseSymbols(program: Program, contextLength: number, sequences: number): Symbols {
  const maxPages = Math.ceil(contextLength / program.page_size);
  const slots = program.symbols.find(({ name }) => name === "seqs")?.max ?? 1;
  const chosen: Record<string, number> = {
    max_pages: maxPages,
    pages: maxPages * sequences,
    slots,
  };
  const index = new Map(program.symbols.map((s, i) => [s.name, i]));
  const maxima = program.symbols.map((s) => {
    const value = s.max ?? chosen[s.name];
    if (value === undefined)
      throw new InvalidPack(`this package doesn't know the symbol ${s.name}`);
    return value;
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
