/** Weight bytes on their way from shard files into segment buffers. */
import type { Program } from "../generated/program.js";
import type { TensorCache } from "../generated/tensor_cache.js";
import type { ArenaLayout } from "./arena.js";

/** A range of a shard and where it goes. */
interface Span {
  begin: number;
  end: number;
  arena: number;
  offset: number;
  widen: boolean;
}

/** Spans of every shard, by file name, ordered by where they begin. Ranges may overlap: a tied matrix serves two segments. */
export function planSpans(
  program: Program,
  tensors: TensorCache,
  { placements }: ArenaLayout,
): Map<string, Span[]> {
  const home = new Map<string, { shard: string; offset: number }>();
  for (const shard of tensors.records) {
    for (const t of shard.records)
      home.set(t.name, { shard: shard.dataPath, offset: t.byteOffset });
  }
  const spans = new Map<string, Span[]>(tensors.records.map((s) => [s.dataPath, []]));
  program.segments.forEach((segment, i) => {
    const { shard, offset } = home.get(segment.tensor) as { shard: string; offset: number };
    const to = placements[i] as { arena: number; offset: number };
    const begin = offset + segment.offset;
    spans.get(shard)?.push({
      begin,
      end: begin + segment.nbytes,
      arena: to.arena,
      offset: to.offset,
      widen: segment.transform === "f16_to_f32",
    });
  });
  for (const list of spans.values()) list.sort((a, b) => a.begin - b.begin);
  return spans;
}

/** Writes `bytes` to `offset` of an arena; `offset` and length are multiples of 4. */
export type WriteArena = (arena: number, offset: number, bytes: Uint8Array) => void;

/**
 * Takes one shard's bytes in order, in pieces of any size, and writes each segment's part to its place.
 *
 * `writeBuffer` needs 4-byte offsets and sizes, and pieces end anywhere: up to 3 bytes per span wait for the next piece.
 */
export class ShardUploader {
  readonly #spans: Span[];
  readonly #carry: Uint8Array[];
  #position = 0;

  constructor(
    spans: readonly Span[],
    private readonly write: WriteArena,
  ) {
    this.#spans = [...spans];
    this.#carry = this.#spans.map(() => new Uint8Array(0));
  }

  push(bytes: Uint8Array): void {
    const from = this.#position;
    const to = from + bytes.length;
    for (let i = 0; i < this.#spans.length; i++) {
      const span = this.#spans[i] as Span;
      if (span.begin >= to) break;
      if (span.end <= from) continue;
      const begin = Math.max(span.begin, from);
      const end = Math.min(span.end, to);
      this.#piece(i, span, begin, bytes.subarray(begin - from, end - from), end === span.end);
    }
    this.#position = to;
  }

  /** Bytes of one span, from shard position `at` on. */
  #piece(i: number, span: Span, at: number, bytes: Uint8Array, last: boolean): void {
    const carried = this.#carry[i] as Uint8Array;
    let offset = at - span.begin - carried.length;
    let rest = bytes;
    if (carried.length > 0) {
      const take = Math.min(4 - carried.length, rest.length);
      const word = concat(carried, rest.subarray(0, take));
      rest = rest.subarray(take);
      if (word.length < 4 && !last) {
        this.#carry[i] = word;
        return;
      }
      this.#put(span, offset, pad4(word));
      offset += 4;
    }
    const whole = last ? rest.length : rest.length & ~3;
    if (whole > 0) this.#put(span, offset, whole % 4 === 0 ? rest.subarray(0, whole) : pad4(rest));
    this.#carry[i] = rest.slice(whole);
  }

  #put(span: Span, offset: number, bytes: Uint8Array): void {
    if (!span.widen) {
      this.write(span.arena, span.offset + offset, bytes);
      return;
    }
    // A vector of odd length was padded to a word: the widened padding must not leave the segment.
    const halves = Math.min(bytes.length, span.end - span.begin - offset) >> 1;
    this.write(span.arena, span.offset + offset * 2, widenHalves(bytes, halves));
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function pad4(bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 === 0) return bytes;
  const out = new Uint8Array((bytes.length + 3) & ~3);
  out.set(bytes);
  return out;
}

/** f16 (little endian) to f32, `count` of them. */
export function widenHalves(bytes: Uint8Array, count: number): Uint8Array {
  const halves = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = halfToFloat(halves.getUint16(2 * i, true));
  return new Uint8Array(out.buffer);
}

/** One IEEE 754 binary16 value. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
