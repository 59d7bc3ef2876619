/** Load progress: bytes, rate and remaining time. */
import type { PackSource } from "../store/pack_source.js";

/** What has been read of a pack. */
type Reads = Pick<PackSource, "cacheBytes" | "networkBytes" | "fileBytes">;

/**
 * `fetch`: bytes arrive from the network, and go to the GPU at once · `upload`: from the cache · `compile`: the last kernels
 * compile · `warmup`: the first step runs · `tune`: kernels are measured, if asked for · `ready`.
 */
export type LoadPhase = "fetch" | "upload" | "compile" | "warmup" | "tune" | "ready";

export interface LoadProgress {
  phase: LoadPhase;
  /** Bytes read so far, wherever from. */
  loadedBytes: number;
  totalBytes: number;
  /** Of these, bytes from the cache and from the network. */
  cachedBytes: number;
  networkBytes: number;
  /** Over the last seconds; 0 before the first. */
  bytesPerSecond: number;
  /** Remaining seconds of reading; null while unknown. */
  etaSeconds: number | null;
}

/** Least time between two events of one phase. */
const INTERVAL_MS = 100;

/** Time over which the rate is measured. */
const WINDOW_MS = 3000;

export class ProgressReporter {
  totalBytes = 0;
  /** What is read, added up. */
  readonly sources: Reads[] = [];
  #phase: LoadPhase = "fetch";
  #sentAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #samples: { time: number; bytes: number }[] = [];

  constructor(private readonly report: (progress: LoadProgress) => void) {}

  /** Bytes have arrived: reports now, or soon, so that the last bytes before a pause are told too. */
  bytes(): void {
    const wait = this.#sentAt + INTERVAL_MS - performance.now();
    if (wait <= 0) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), wait);
  }

  enter(phase: LoadPhase): void {
    this.#phase = phase;
    this.#send();
  }

  /** No more reports. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #send(): void {
    const sum = (key: keyof Reads) => this.sources.reduce((bytes, of) => bytes + of[key], 0);
    const [cacheBytes, networkBytes] = [sum("cacheBytes"), sum("networkBytes")];
    const fileBytes = sum("fileBytes");
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = performance.now();
    this.#sentAt = now;
    const reading = this.#phase === "fetch" || this.#phase === "upload";
    if (reading) this.#phase = networkBytes === 0 && cacheBytes > 0 ? "upload" : "fetch";
    const rate = reading ? this.#rate(now, fileBytes) : 0;
    this.report({
      phase: this.#phase,
      loadedBytes: fileBytes,
      totalBytes: this.totalBytes,
      cachedBytes: cacheBytes,
      networkBytes,
      bytesPerSecond: rate,
      etaSeconds: !reading ? 0 : rate > 0 ? Math.max(0, this.totalBytes - fileBytes) / rate : null,
    });
  }

  /** Bytes per second over the last {@link WINDOW_MS}. */
  #rate(time: number, bytes: number): number {
    this.#samples.push({ time, bytes });
    let oldest = this.#samples[0] as { time: number; bytes: number };
    while (this.#samples.length > 2 && time - oldest.time > WINDOW_MS) {
      this.#samples.shift();
      oldest = this.#samples[0] as { time: number; bytes: number };
    }
    return time > oldest.time ? ((bytes - oldest.bytes) * 1000) / (time - oldest.time) : 0;
  }
}
