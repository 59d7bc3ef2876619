/** Typed arrays in messages that travel as JSON, in which they would become objects of their indices. */

const TYPES = { Float32Array, Int32Array, Uint32Array, Uint8Array };
type Name = keyof typeof TYPES;
type Packed = { typed: Name; base64: string };

/** The message with its typed arrays as text. */
export function pack(value: unknown): unknown {
  return mapped(value, (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { typed: array.constructor.name, base64: btoa(text) };
  });
}

/** What {@link pack} was given. */
export function unpack(value: unknown): unknown {
  if (isPacked(value)) {
    const bytes = Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0));
    return new TYPES[value.typed](bytes.buffer);
  }
  return mapped(value, (array) => array, unpack);
}

function mapped(
  value: unknown,
  ofArray: (array: Uint8Array) => unknown,
  ofRest = (inner: unknown): unknown => mapped(inner, ofArray),
): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return ofArray(value as Uint8Array);
  if (Array.isArray(value)) return value.map(ofRest);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, ofRest(inner)]));
}

function isPacked(value: unknown): value is Packed {
  const { typed, base64, ...rest } = (value ?? {}) as Partial<Packed>;
  const named = typeof typed === "string" && Object.hasOwn(TYPES, typed);
  return named && typeof base64 === "string" && Object.keys(rest).length === 0;
}
