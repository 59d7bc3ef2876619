import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Program } from "../generated/program.js";
import type { TensorCache } from "../generated/tensor_cache.js";
import { layoutArenas } from "./arena.js";
import { residentBytes } from "./sizes.js";
import { halfToFloat, planSpans, ShardUploader } from "./weights.js";

const SHARD = 300;

/** Overlapping, unaligned ranges of one shard of {@link SHARD} bytes; converted ones have an even size. */
const segment = fc
  .record({
    offset: fc.nat(200),
    halves: fc.integer({ min: 1, max: 45 }),
    odd: fc.nat(1),
    widen: fc.boolean(),
  })
  .map(({ offset, halves, odd, widen }) => ({
    tensor: "t",
    offset,
    nbytes: widen ? 2 * halves : 2 * halves - odd,
    transform: widen ? ("f16_to_f32" as const) : ("none" as const),
  }));

function upload(segments: Program["segments"], shard: Uint8Array, cuts: number[]): Uint8Array[] {
  const layout = layoutArenas(segments, 1024);
  const tensors: TensorCache = {
    records: [
      {
        dataPath: "s",
        format: "raw-shard",
        nbytes: SHARD,
        records: [
          {
            name: "t",
            shape: [SHARD],
            dtype: "uint32",
            format: "raw",
            nbytes: SHARD,
            byteOffset: 0,
          },
        ],
      },
    ],
  };
  const spans = planSpans({ segments } as Program, tensors, layout).get("s") ?? [];
  const arenas = layout.arenas.map((n) => new Uint8Array(n));
  const uploader = new ShardUploader(spans, (arena, offset, bytes) => {
    // What writeBuffer demands.
    expect([offset % 4, bytes.length % 4]).toEqual([0, 0]);
    (arenas[arena] as Uint8Array).set(bytes, offset);
  });
  let at = 0;
  for (const cut of [...cuts, SHARD]) {
    const end = Math.min(at + cut, SHARD);
    uploader.push(shard.slice(at, end));
    at = end;
  }
  return layout.placements.map((p) =>
    (arenas[p.arena] as Uint8Array).slice(p.offset, p.offset + p.nbytes),
  );
}

describe("ShardUploader", () => {
  test("every segment has its bytes, however the stream is cut", () => {
    const shard = Uint8Array.from({ length: SHARD }, (_, i) => (i * 37 + 11) % 251);
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 12 }),
        (segments, cuts) => {
          const placed = upload(segments, shard, cuts);
          segments.forEach((s, i) => {
            const source = shard.slice(s.offset, s.offset + s.nbytes);
            const got = placed[i] as Uint8Array;
            expect(got.length).toBe(residentBytes(s));
            if (s.transform === "none") {
              expect([...got.slice(0, s.nbytes)]).toEqual([...source]);
              return;
            }
            const halves = new DataView(source.buffer);
            const floats = new Float32Array(got.slice().buffer);
            expect(floats.length).toBe(s.nbytes / 2);
            floats.forEach((f, k) => {
              expect(f).toBe(Math.fround(halfToFloat(halves.getUint16(2 * k, true))));
            });
          });
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("half floats", () => {
    const known: [number, number][] = [
      [0x3c00, 1],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x0001, 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x7c00, Number.POSITIVE_INFINITY],
      [0x7e00, Number.NaN],
    ];
    for (const [bits, value] of known) expect(halfToFloat(bits)).toBe(value);
  });
});

describe("layoutArenas", () => {
  test("segments are aligned, apart, and within the limit", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 30 }),
        (sizes) => {
          const segments = sizes.map((nbytes) => ({
            tensor: "t",
            offset: 0,
            nbytes,
            transform: "none" as const,
          }));
          const { arenas, placements } = layoutArenas(segments, 8192);
          expect(Math.max(...arenas)).toBeLessThanOrEqual(8192);
          placements.forEach((p, i) => {
            expect(p.offset % 256).toBe(0);
            expect(p.offset + p.nbytes).toBeLessThanOrEqual(arenas[p.arena] as number);
            const next = placements[i + 1];
            if (next?.arena === p.arena)
              expect(next.offset).toBeGreaterThanOrEqual(p.offset + p.nbytes);
          });
        },
      ),
    );
  });
});
