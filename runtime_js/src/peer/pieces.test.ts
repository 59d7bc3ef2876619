import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AbortError } from "../errors.js";
import { sendPieces } from "./pieces.js";

const never = new AbortController().signal;

async function* of(sizes: number[]): AsyncGenerator<{ index: number; bytes: Uint8Array }> {
  for (const [index, size] of sizes.entries()) yield { index, bytes: new Uint8Array(size) };
}

describe("sendPieces", () => {
  test("keeps order, and never more on the way than the window holds", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 60 }), async (sizes, window) => {
        const indices: number[] = [];
        let under = 0;
        await sendPieces(
          of(sizes),
          async ({ bytes, index }) => {
            const alone = under === 0;
            under += bytes.length;
            expect(alone || under <= window).toBe(true);
            indices.push(index);
            await new Promise((done) => setTimeout(done, (index * 7) % 3));
            under -= bytes.length;
          },
          never,
          window,
        );
        expect(indices).toEqual(sizes.map((_, i) => i));
        expect(under).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test("a failure ends it after what was sent has settled; nothing more is read", async () => {
    const events: string[] = [];
    async function* pieces() {
      try {
        for (let i = 0; ; i++) {
          events.push(`read ${i}`);
          yield { index: i, bytes: new Uint8Array(4) };
        }
      } finally {
        events.push("closed");
      }
    }
    const sending = sendPieces(
      pieces(),
      async ({ index }) => {
        await new Promise((done) => setTimeout(done, index === 0 ? 20 : 1));
        events.push(`sent ${index}`);
        if (index === 1) throw new RangeError("full");
      },
      never,
      8,
    );
    await expect(sending).rejects.toThrow(new RangeError("full"));
    expect(events).toEqual(["read 0", "read 1", "read 2", "sent 1", "closed", "sent 0"]);
  });

  test("an abort ends it", async () => {
    const controller = new AbortController();
    let sent = 0;
    const sending = sendPieces(
      of(Array.from({ length: 100 }, () => 1)),
      async () => {
        if (++sent === 3) controller.abort();
      },
      controller.signal,
      1,
    );
    await expect(sending).rejects.toBeInstanceOf(AbortError);
    expect(sent).toBe(3);
  });
});
