import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PeerLost } from "../errors.js";
import { decodeFrame, encodeFrame, FrameReader, partsOf } from "./frame.js";

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

describe("parts of frames", () => {
  const part = (left: number, ...bytes: number[]) => {
    const all = new Uint8Array(8 + bytes.length).fill(0xff, 0, 4);
    new DataView(all.buffer).setUint32(4, left, true);
    all.set(bytes, 8);
    return all.buffer;
  };

  test.each([0, 4, 262_144, 262_145, 524_288, 1_000_003])("a frame of %i bytes", (length) => {
    const frame = Uint8Array.from({ length }, (_, i) => i * 31);
    frame.fill(0, 0, 4);
    const reader = new FrameReader();
    for (let time = 0; time < 2; time++) {
      const parts = [...partsOf(frame)];
      expect(parts.length).toBe(Math.max(1, Math.ceil(length / 262_144)));
      const got = parts.map((one) => reader.push(one.buffer));
      expect(got.slice(0, -1).every((one) => one === undefined)).toBe(true);
      expect(Buffer.compare(Buffer.from(got.at(-1) as ArrayBuffer), frame)).toBe(0);
    }
  });

  test("what does not follow is refused by name", () => {
    const bad = [
      [part(5)],
      [part(5, 1), part(5, 1)],
      [part(5, 1), part(3, 1)],
      [part(5, 1), part(0, 1, 2, 3, 4, 5, 6)],
      [part(5, 1), new ArrayBuffer(4)],
      [part(1 << 30, 1)],
    ];
    for (const parts of bad) {
      const reader = new FrameReader();
      const pushed = () => parts.map((one) => reader.push(one));
      expect(pushed).toThrow(PeerLost);
    }
    expect(() => [...partsOf(new Uint8Array((16 << 20) + 1))]).toThrow(PeerLost);
  });

  test("whatever comes, a reader gives frames or refuses by name", () => {
    const arrived = fc.oneof(
      fc.uint8Array({ maxLength: 12 }).map((bytes) => Uint8Array.from(bytes).buffer),
      fc
        .tuple(fc.integer({ min: 0, max: 6 }), fc.uint8Array({ maxLength: 6 }))
        .map(([left, bytes]) => part(left, ...bytes)),
    );
    fc.assert(
      fc.property(fc.array(arrived), (messages) => {
        const reader = new FrameReader();
        try {
          for (const message of messages) {
            const frame = reader.push(message);
            expect((frame?.byteLength ?? 0) <= 12).toBe(true);
          }
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
