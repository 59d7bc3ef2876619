import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PagePool } from "./page_pool.js";

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
