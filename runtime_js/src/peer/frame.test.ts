import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PeerLost } from "../errors.js";
import { decodeFrame, encodeFrame } from "./frame.js";

const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.jsonValue(),
    fc.uint8Array({ maxLength: 9 }).map((a) => Uint8Array.from(a)),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

describe("frames", () => {
  test("carry JSON and byte arrays wherever they stand", () => {
    fc.assert(
      fc.property(value, (message) => {
        const plain = JSON.stringify(message) === undefined ? null : message;
        const back = decodeFrame(encodeFrame(plain).buffer);
        expect(normal(back)).toEqual(normal(plain));
      }),
    );
  });

  test("undefined fields are left out, as JSON does", () => {
    const frame = encodeFrame({ a: undefined, b: new Uint8Array([1]).subarray(0, 1) });
    expect(decodeFrame(frame.buffer)).toEqual({ b: new Uint8Array([1]) });
  });

  test("what is no frame is refused by name", () => {
    const frame = (head: string, rest: number[] = []) => {
      const text = new TextEncoder().encode(head);
      return new Uint8Array([text.length, 0, 0, 0, ...text, ...rest]).buffer;
    };
    const bad = [
      new ArrayBuffer(0),
      new ArrayBuffer(3),
      new Uint8Array([255, 255, 255, 255, 1]).buffer,
      frame("{"),
      frame("null"),
      frame('{"message":{"a":null},"bytes":[[["a"],9]]}', [1]),
      frame('{"message":{},"bytes":[[["a"],1]]}', [1]),
      frame('{"message":{},"bytes":[[["__proto__","b"],1]]}', [1]),
    ];
    for (const bytes of bad) expect(() => decodeFrame(bytes)).toThrow(PeerLost);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeFrame(Uint8Array.from(bytes).buffer);
        } catch (error) {
          expect(error).toBeInstanceOf(PeerLost);
        }
      }),
    );
  });
});

/** -0 and byte arrays as JSON would compare them. */
const normal = (message: unknown): string =>
  JSON.stringify(message, (_, v) => (v instanceof Uint8Array ? { bytes: [...v] } : v));
