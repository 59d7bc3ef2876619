/**
 * Messages as bytes, for transports that carry nothing else: u32 little-endian, the length of a JSON text; the text (UTF-8),
 * `{message, bytes: [[path, length], …]}`; then the bytes of each `Uint8Array` that stood at `path` in the message. A long
 * frame goes in parts: 0xffffffff, u32 little-endian how many bytes follow in later parts; then bytes of the frame.
 */
import { PeerLost } from "../errors.js";

/** Bytes of a frame, as many as a relay takes in one message. */
const MAX_FRAME = 16 << 20;
/** Bytes of a part. Over the slowest link worth having, 50 kB/s, one takes less than the time after which silence is an end. */
const PART = 256 << 10;
const IN_PARTS = 0xffffffff;

type Path = (string | number)[];

export function encodeFrame(message: unknown): Uint8Array<ArrayBuffer> {
  const parts: { path: Path; bytes: Uint8Array }[] = [];
  const plain = (value: unknown, path: Path): unknown => {
    if (value instanceof Uint8Array) {
      parts.push({ path, bytes: value });
      return null;
    }
    if (Array.isArray(value)) return value.map((item, i) => plain(item, [...path, i]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, plain(item, [...path, key])]),
    );
  };
  const head = {
    message: plain(message, []),
    bytes: parts.map(({ path, bytes }) => [path, bytes.length]),
  };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const total = parts.reduce((sum, { bytes }) => sum + bytes.length, 4 + text.length);
  const frame = new Uint8Array(total);
  new DataView(frame.buffer).setUint32(0, text.length, true);
  frame.set(text, 4);
  let at = 4 + text.length;
  for (const { bytes } of parts) {
    frame.set(bytes, at);
    at += bytes.length;
  }
  return frame;
}

/** What is sent of a frame, in order: itself or its parts. @throws PeerLost when it is longer than a relay takes */
export function* partsOf(frame: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  if (frame.length > MAX_FRAME) {
    throw new PeerLost(`a message of ${frame.length} bytes is more than a relay takes`);
  }
  if (frame.length <= PART) yield frame;
  else {
    for (let at = 0; at < frame.length; at += PART) {
      const bytes = frame.subarray(at, at + PART);
      const part = new Uint8Array(8 + bytes.length);
      const head = new DataView(part.buffer);
      head.setUint32(0, IN_PARTS, true);
      head.setUint32(4, frame.length - at - bytes.length, true);
      part.set(bytes, 8);
      yield part;
    }
  }
}

/** Frames out of what arrives of them. */
export class FrameReader {
  #frame: Uint8Array<ArrayBuffer> | undefined;
  #left = 0;

  /** The frame that is complete with this. @throws PeerLost when it can't be what `partsOf` gave */
  push(data: ArrayBuffer): ArrayBuffer | undefined {
    const head = new DataView(data);
    if (data.byteLength < 8 || head.getUint32(0, true) !== IN_PARTS) {
      if (this.#frame) throw new PeerLost("the other side began a frame within another");
      return data;
    }
    const bytes = new Uint8Array(data, 8);
    const left = head.getUint32(4, true);
    if (!this.#frame) {
      if (bytes.length + left > MAX_FRAME) {
        throw new PeerLost(`the other side began a frame of ${bytes.length + left} bytes`);
      }
      this.#frame = new Uint8Array(bytes.length + left);
      this.#left = this.#frame.length;
    }
    if (bytes.length === 0 || bytes.length + left !== this.#left) {
      throw new PeerLost("the other side sent a part that does not follow");
    }
    this.#frame.set(bytes, this.#frame.length - this.#left);
    this.#left = left;
    if (left > 0) return undefined;
    const { buffer } = this.#frame;
    this.#frame = undefined;
    return buffer;
  }
}

/** The arrays of the message are views of `frame`. @throws PeerLost when it can't be what `encodeFrame` wrote */
export function decodeFrame(frame: ArrayBuffer): unknown {
  try {
    const length = new DataView(frame).getUint32(0, true);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(frame, 4, length));
    const head = JSON.parse(text) as { message: unknown; bytes: [Path, number][] };
    let at = 4 + length;
    for (const [path, size] of head.bytes) {
      put(head, ["message", ...path], new Uint8Array(frame, at, size));
      at += size;
    }
    return head.message;
  } catch (cause) {
    throw new PeerLost("the other side sent a frame that is none", {}, { cause });
  }
}

/** Replaces the null at `path`. */
function put(root: object, path: Path, bytes: Uint8Array): void {
  let at = root as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) {
    if (!Object.hasOwn(at, key)) throw new RangeError(`nothing at ${key}`);
    at = at[key] as typeof at;
  }
  const last = path.at(-1) as string | number;
  if (!Object.hasOwn(at, last) || at[last] !== null) throw new RangeError(`no place at ${last}`);
  at[last] = bytes;
}
