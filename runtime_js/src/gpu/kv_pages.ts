/**
 * KV pages as bytes: copied on the GPU, read and written. A page's bytes are its part of each buffer of pages, in the order
 * of the tier's buffers: layer after layer the keys, then the values, each [kv_heads, page_size, head_dim] in the tier's type
 * (of int8, with its scales: docs/architecture.md).
 */
import { InvalidPack } from "../errors.js";
import type { Tier } from "../generated/program.js";
import { COPY_DST, COPY_SRC, MAP_READ, MODE_READ } from "./flags.js";
import type { Memory } from "./memory.js";
import { DTYPE_BYTES, type Symbols, sizeOf } from "./sizes.js";

/** Of the buffer that results of reading come through, if a page is not larger. */
const STAGING_BYTES = 4 * 2 ** 20;

/** The pages' part of one buffer. */
interface Part {
  buffer: GPUBuffer;
  /** Of one page. */
  bytes: number;
  /** In a page's bytes. */
  offset: number;
}

export class KvPages {
  readonly #parts: Part[] = [];
  /** Of one page. */
  readonly bytes: number;
  /** The type of keys and values. */
  readonly dtype: Tier["kv_dtype"];
  /** Pages that are read at a time. */
  readonly chunk: number;
  /** WebGPU copies nothing within one buffer, so a page takes a step through this one. */
  readonly #scratch: GPUBuffer;
  #staging: GPUBuffer | undefined;
  /** Settled when nobody reads through the staging buffer. */
  #reading: Promise<unknown> = Promise.resolve();

  /** @throws InvalidPack when pages are cut where no copy can begin */
  constructor(
    private readonly device: GPUDevice,
    memory: Memory,
    tier: Tier,
    symbols: Symbols,
  ) {
    let offset = 0;
    for (const declared of tier.buffers) {
      if (declared.shape[0] !== "pages") continue;
      const elements = sizeOf(declared.shape.slice(1), symbols, `a page of ${declared.name}`);
      const bytes = elements * DTYPE_BYTES[declared.dtype];
      if (bytes % 4 !== 0) throw new InvalidPack(`a page of ${declared.name} has ${bytes} bytes`);
      const buffer = memory.buffers.get(declared.name) as GPUBuffer;
      this.#parts.push({ buffer, bytes, offset });
      offset += bytes;
    }
    this.bytes = offset;
    this.dtype = tier.kv_dtype;
    this.chunk = Math.max(1, Math.floor(STAGING_BYTES / Math.max(offset, 1)));
    this.#scratch = device.createBuffer({
      label: "kv.copy",
      size: Math.max(offset, 4),
      usage: COPY_SRC | COPY_DST,
    });
  }

  /** Encodes copies of whole pages, one after another. */
  encodeCopies(
    encoder: GPUCommandEncoder,
    copies: readonly { readonly from: number; readonly to: number }[],
  ): void {
    const scratch = this.#scratch;
    for (const { from, to } of copies) {
      for (const { buffer, bytes, offset } of this.#parts) {
        encoder.copyBufferToBuffer(buffer, from * bytes, scratch, offset, bytes);
      }
      for (const { buffer, bytes, offset } of this.#parts) {
        encoder.copyBufferToBuffer(scratch, offset, buffer, to * bytes, bytes);
      }
    }
  }

  /** Bytes of these pages as the steps submitted so far leave them, page after page. The caller holds the pages until then. */
  read(pages: readonly number[]): Promise<Uint8Array> {
    const result = this.#reading.then(() => this.#read(pages));
    this.#reading = result.catch(() => {});
    return result;
  }

  async #read(pages: readonly number[]): Promise<Uint8Array> {
    const all = new Uint8Array(pages.length * this.bytes);
    for (let at = 0; at < pages.length; at += this.chunk) {
      const some = pages.slice(at, at + this.chunk);
      await this.#readChunk(some, all.subarray(at * this.bytes));
    }
    return all;
  }

  async #readChunk(pages: readonly number[], into: Uint8Array): Promise<void> {
    const { device } = this;
    this.#staging ??= device.createBuffer({
      label: "kv.read",
      size: this.chunk * this.bytes,
      usage: MAP_READ | COPY_DST,
    });
    const staging = this.#staging;
    const encoder = device.createCommandEncoder();
    // In the staging buffer part after part, so that neighbours among the pages are one copy.
    for (const { buffer, bytes, offset } of this.#parts) {
      for (const { first, at, count } of runs(pages)) {
        const to = pages.length * offset + at * bytes;
        encoder.copyBufferToBuffer(buffer, first * bytes, staging, to, count * bytes);
      }
    }
    device.queue.submit([encoder.finish()]);
    const size = pages.length * this.bytes;
    await staging.mapAsync(MODE_READ, 0, size);
    const words = new Uint8Array(staging.getMappedRange(0, size));
    for (const { bytes, offset } of this.#parts) {
      for (let i = 0; i < pages.length; i++) {
        const from = pages.length * offset + i * bytes;
        into.set(words.subarray(from, from + bytes), i * this.bytes + offset);
      }
    }
    staging.unmap();
  }

  /**
   * Writes pages: steps submitted later see them.
   *
   * @param content of `pages.length` pages, as `read` gives it
   * @throws RangeError when it has another size
   */
  write(pages: readonly number[], content: Uint8Array): void {
    if (content.length !== pages.length * this.bytes) {
      throw new RangeError(
        `${pages.length} pages have ${pages.length * this.bytes} bytes, not ${content.length}`,
      );
    }
    for (const { buffer, bytes, offset } of this.#parts) {
      for (const { first, at, count } of runs(pages)) {
        const run = new Uint8Array(count * bytes);
        for (let i = 0; i < count; i++) {
          const from = (at + i) * this.bytes + offset;
          run.set(content.subarray(from, from + bytes), i * bytes);
        }
        this.device.queue.writeBuffer(buffer, first * bytes, run);
      }
    }
  }
}

/** Neighbours among pages: `count` of them, beginning with `first`, which is number `at` of the list. */
function* runs(pages: readonly number[]): Generator<{ first: number; at: number; count: number }> {
  let at = 0;
  while (at < pages.length) {
    const first = pages[at] as number;
    let count = 1;
    while (pages[at + count] === first + count) count++;
    yield { first, at, count };
    at += count;
  }
}
