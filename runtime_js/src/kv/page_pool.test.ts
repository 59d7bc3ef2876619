import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PagePool } from "./page_pool.js";
import { Sequence } from "./sequence.js";

describe("PagePool", () => {
  test("agrees with a table of counts, whatever the order of calls", () => {
    const call = fc.oneof(
      fc.constant({ op: "take" as const, page: 0 }),
      fc.record({ op: fc.constantFrom("retain" as const, "release" as const), page: fc.nat(5) }),
    );
    fc.assert(
      fc.property(fc.array(call, { maxLength: 200 }), (calls) => {
        const pool = new PagePool(5);
        const counts = [0, 0, 0, 0, 0];
        for (const { op, page } of calls) {
          if (op === "take") {
            const got = pool.take();
            if (got === undefined) expect(counts).not.toContain(0);
            else {
              expect(counts[got]).toBe(0);
              counts[got] = 1;
            }
          } else if ((counts[page] ?? 0) === 0) {
            expect(() => pool[op](page)).toThrow(RangeError);
          } else {
            pool[op](page);
            counts[page] = (counts[page] as number) + (op === "retain" ? 1 : -1);
          }
          expect(pool.free).toBe(counts.filter((c) => c === 0).length);
          counts.forEach((c, p) => {
            expect(pool.references(p)).toBe(c);
          });
        }
      }),
    );
  });
});

describe("Sequence", () => {
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
});
