/** A ring of mappable buffers: results travel to the host without a buffer being created or a queue being drained. */
import { COPY_DST, MAP_READ, MODE_READ } from "./flags.js";

/** Results that can be under way at once. */
export const RING_DEPTH = 5;

export class ReadbackRing {
  readonly #free: GPUBuffer[];
  readonly #size: number;

  /** @param depth how many results may be under way at once */
  constructor(device: GPUDevice, depth: number, bytes: number) {
    this.#size = bytes;
    this.#free = Array.from({ length: depth }, (_, i) =>
      device.createBuffer({ label: `readback.${i}`, size: bytes, usage: MAP_READ | COPY_DST }),
    );
  }

  /** Results that can still be started. */
  get available(): number {
    return this.#free.length;
  }

  /** Encodes a copy of the first `bytes` of `source`; call the returned function after the submit. */
  copy(encoder: GPUCommandEncoder, source: GPUBuffer, bytes: number): () => Promise<Uint32Array> {
    const buffer = this.#free.pop();
    if (!buffer || bytes > this.#size) throw new RangeError("no readback buffer is free");
    encoder.copyBufferToBuffer(source, 0, buffer, 0, bytes);
    return async () => {
      await buffer.mapAsync(MODE_READ, 0, bytes);
      const words = new Uint32Array(buffer.getMappedRange(0, bytes).slice(0));
      buffer.unmap();
      this.#free.push(buffer);
      return words;
    };
  }
}

/** Encodes copies of whole buffers of floats; call the returned function after the submit, once. */
export function copyFloats(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  buffers: readonly GPUBuffer[],
): () => Promise<Float32Array[]> {
  const copies = buffers.map((buffer) => {
    const copy = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return copy;
  });
  const read = async (copy: GPUBuffer) => {
    await copy.mapAsync(MODE_READ);
    const data = new Float32Array(copy.getMappedRange().slice(0));
    copy.destroy();
    return data;
  };
  return () => Promise.all(copies.map(read));
}
