/**
 * Messages as bytes, for transports that carry nothing else: u32 little-endian, the length of a JSON text; the text (UTF-8),
 * `{message, bytes: [[path, length], …]}`; then the bytes of each `Uint8Array` that stood at `path` in the message.
 */
import { PeerLost } from "../errors.js";

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
