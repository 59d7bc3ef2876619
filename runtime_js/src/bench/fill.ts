/** The contents of a kernel's buffers, made from a seed: the words of builder/webbuild/tune/array.py. */

/** `bits`: any; `f32`: in [-1, 1); `f16`: two a word, ±[2⁻⁷, 2⁻⁶); `nan`: what is not written shows; `data`: as given. */
export interface FilledArray {
  words: number;
  fill: "bits" | "f32" | "f16" | "nan" | "data";
  seed: number;
  /** base64. */
  data: string;
}

const NAN = 0x7fc00000;

export function contents({ words, fill, seed, data }: FilledArray): Uint32Array<ArrayBuffer> {
  if (fill === "data") {
    return new Uint32Array(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer);
  }
  if (fill === "nan") return new Uint32Array(words).fill(NAN);
  const bits = hashed(words, seed);
  if (fill === "f16")
    for (let i = 0; i < words; i++) bits[i] = (word(bits, i) & 0x83ff83ff) | 0x20002000;
  if (fill !== "f32") return bits;
  const floats = Float32Array.from(bits, (x) => (x >>> 8) * 2 ** -23 - 1);
  return new Uint32Array(floats.buffer);
}

const word = (bits: Uint32Array, i: number): number => bits[i] as number;

/** A hash of each index (lowbias32, https://nullprogram.com/blog/2018/07/31/). */
export function hashed(count: number, seed: number): Uint32Array<ArrayBuffer> {
  const start = Math.imul(seed, 0x9e3779b9);
  const result = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let x = (i + start) | 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    result[i] = x;
  }
  return result;
}
