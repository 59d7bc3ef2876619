/** Load progress: bytes, rate and remaining time. */
import type { PackSource } from "../store/pack_source.js";

/**
 * `fetch`: bytes arrive from the network, and go to the GPU at once · `upload`: from the cache · `compile`: the last kernels
 * compile · `warmup`: the first step runs · `ready`.
 */
export type LoadPhase = "fetch" | "upload" | "compile" | "warmup" | "ready";

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
  #phase: LoadPhase = "fetch";
  #lastReport = Number.NEGATIVE_INFINITY;
  readonly #samples: { time: number; bytes: number }[] = [];

  constructor(
    private readonly source: () => PackSource,
    private readonly report: (progress: LoadProgress) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Bytes have arrived. */
  bytes(): void {
    if (this.now() - this.#lastReport >= INTERVAL_MS) this.#send();
  }

  enter(phase: LoadPhase): void {
    if (phase === this.#phase && this.#samples.length > 0) return;
    this.#phase = phase;
    this.#send();
  }

  #send(): void {
    const time = this.now();
    this.#lastReport = time;
    const { cacheBytes, networkBytes, fileBytes: bytes } = this.source();
    this.#samples.push({ time, bytes });
    while (
      this.#samples.length > 2 &&
      time - (this.#samples[0] as { time: number }).time > WINDOW_MS
    ) {
      this.#samples.shift();
    }
    const first = this.#samples[0] as { time: number; bytes: number };
    const rate = time > first.time ? ((bytes - first.bytes) * 1000) / (time - first.time) : 0;
    const reading = this.#phase === "fetch" || this.#phase === "upload";
    if (this.#phase === "fetch" && networkBytes === 0 && cacheBytes > 0) this.#phase = "upload";
    else if (this.#phase === "upload" && networkBytes > 0) this.#phase = "fetch";
    this.report({
      phase: this.#phase,
      loadedBytes: bytes,
      totalBytes: this.totalBytes,
      cachedBytes: cacheBytes,
      networkBytes,
      bytesPerSecond: reading ? rate : 0,
      etaSeconds: !reading ? 0 : rate > 0 ? Math.max(0, this.totalBytes - bytes) / rate : null,
    });
  }
}
