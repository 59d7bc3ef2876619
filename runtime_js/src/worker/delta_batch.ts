/** Collects what a generation says, so that a fast model doesn't send a message per token. */
import type { Delta } from "../engine/request.js";

/** Least time between two messages of one generation: a page can't show text more often than it draws. */
const BATCH_MS = 16;

/** The first delta goes at once. */
export class DeltaBatch {
  #deltas: Delta[] = [];
  #sent = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (deltas: Delta[]) => void) {}

  add(delta: Delta): void {
    this.#deltas.push(delta);
    const wait = this.#sent + BATCH_MS - performance.now();
    if (wait <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), wait);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#deltas.length === 0) return;
    this.send(this.#deltas);
    this.#deltas = [];
    this.#sent = performance.now();
  }
}
