import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AbortError, PeerTimeout } from "../errors.js";
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
          { windowBytes: window },
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
      { windowBytes: 8 },
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
      { windowBytes: 1 },
    );
    await expect(sending).rejects.toBeInstanceOf(AbortError);
    expect(sent).toBe(3);
  });

  test("may take long as a whole, if now and then a piece is taken", async () => {
    let taken = 0;
    let way = Promise.resolve(); // one after another, as over a slow link
    const send = () => {
      way = way.then(async () => {
        await new Promise((done) => setTimeout(done, 25));
        taken++;
      });
      return way;
    };
    const sizes = Array.from({ length: 12 }, () => 1);
    await sendPieces(of(sizes), send, never, { windowBytes: 8, silentMs: 150 });
    expect(taken).toBe(12);
  });

  test("an end at which none is taken any more is given up by name, with all that is on its way", async () => {
    let hanging = 0;
    const send = ({ index }: { index: number }, signal: AbortSignal) =>
      index < 2
        ? Promise.resolve()
        : new Promise<void>((_, reject) => {
            hanging++;
            signal.addEventListener("abort", () => {
              hanging--;
              reject(signal.reason);
            });
          });
    const sending = sendPieces(of([1, 1, 1, 1, 1]), send, never, { windowBytes: 2, silentMs: 30 });
    await expect(sending).rejects.toBeInstanceOf(PeerTimeout);
    expect(hanging).toBe(0);
  });
});
