/**
 * Mapped memory through which bytes from the store go to the GPU. Whoever reads them writes into it, and the GPU copies: in
 * Chromium `writeBuffer` would copy them twice more on their way to the GPU process.
 */
import type { Device } from "./device.js";
import { COPY_SRC, MAP_WRITE, MODE_WRITE } from "./flags.js";

/** Bytes of a buffer: few enough for all of them to stay in a processor's cache, enough to make submits rare. */
const STAGING_BYTES = 2 * 2 ** 20;

export class StagingRing {
  readonly #buffers: GPUBuffer[] = [];
  /** Those that the GPU is done with, or will be, in this order. */
  readonly #next: Promise<GPUBuffer>[] = [];

  /** @param depth how many may be taken at once, and are made when they are first needed */
  constructor(
    private readonly gpu: Device,
    private readonly depth: number,
  ) {}

  /** Waits for the GPU if it still reads what is next. @throws DeviceLostError, DeviceError */
  async take(): Promise<Staging> {
    const { device, failed } = this.gpu;
    const isNew = this.#buffers.length < this.depth;
    const next = isNew ? this.#make() : (this.#next.shift() as Promise<GPUBuffer>);
    const buffer = await Promise.race([next, failed]);
    return new Staging(device, buffer, () => this.#giveBack(buffer));
  }

  #make(): GPUBuffer {
    const buffer = this.gpu.device.createBuffer({
      label: `staging.${this.#buffers.length}`,
      size: STAGING_BYTES,
      usage: MAP_WRITE | COPY_SRC,
      mappedAtCreation: true,
    });
    this.#buffers.push(buffer);
    return buffer;
  }

  #giveBack(buffer: GPUBuffer): void {
    const mapped = buffer.mapAsync(MODE_WRITE).then(() => buffer);
    mapped.catch(() => {}); // told to whoever takes it
    this.#next.push(mapped);
  }

  /** What the GPU was told to copy still is. */
  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/** One of them, to be written, copied from and submitted. */
export class Staging {
  /** What is written here can be copied. */
  readonly bytes: Uint8Array;
  readonly #encoder: GPUCommandEncoder;

  constructor(
    private readonly device: GPUDevice,
    private readonly buffer: GPUBuffer,
    private readonly giveBack: () => void,
  ) {
    this.bytes = new Uint8Array(buffer.getMappedRange());
    this.#encoder = device.createCommandEncoder();
  }

  /**
   * Has the GPU copy a part of `bytes`, with the submit.
   *
   * @returns false where it can't: bytes from elsewhere, or not in whole words
   */
  copy(part: Uint8Array, target: GPUBuffer, offset: number): boolean {
    const { byteOffset: from, length } = part;
    if (part.buffer !== this.bytes.buffer || from % 4 > 0 || length % 4 > 0) return false;
    this.#encoder.copyBufferToBuffer(this.buffer, from, target, offset, length);
    return true;
  }

  /** Nothing can be written or copied from here on. */
  submit(): void {
    this.buffer.unmap();
    this.device.queue.submit([this.#encoder.finish()]);
    this.giveBack();
  }
}
