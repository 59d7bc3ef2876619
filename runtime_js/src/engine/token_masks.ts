/** Which tokens each sampler slot may draw: the host's copy, of which one write takes what changed to the GPU. */
export class TokenMasks {
  /** u32[slots, ceil(vocab / 32)] */
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #width: number;

  constructor(slots: number, vocab: number) {
    this.#width = Math.ceil(vocab / 32);
    this.#words = new Uint32Array(slots * this.#width);
  }

  /** The mask of a slot, to be written to: bit i % 32 of word i / 32 allows token i. */
  row(slot: number): Uint32Array {
    return this.#words.subarray(slot * this.#width, (slot + 1) * this.#width);
  }

  /** Writes the masks of these slots, with those between them, which are as they were. */
  write(queue: GPUQueue, buffer: GPUBuffer, slots: readonly number[]): void {
    const first = Math.min(...slots) * this.#width;
    const end = (Math.max(...slots) + 1) * this.#width;
    queue.writeBuffer(buffer, 4 * first, this.#words, first, end - first);
  }
}
