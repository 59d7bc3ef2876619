/**
 * How many decode steps are under way at once. The sampler hands its token to the next step on the GPU, so only the end
 * of a generation is decided late, and surplus steps are dropped. A result takes a while to reach the host (1–3 ms in
 * Chrome on a discrete GPU); meanwhile the GPU must have work, and slow steps must not pile up behind an end.
 */
import { RING_DEPTH } from "../gpu/readback.js";

export const MIN_AHEAD = 2;
/** One result more is being read. */
export const MAX_AHEAD = RING_DEPTH - 1;

/** Milliseconds of work that hide a result's way to the host. */
const COVER = 4;
/** From here on a step hides a result's way, and a mask, surely. */
const LONG = 2 * COVER;
/** Weight of the newest interval in the mean. */
const NEWEST = 0.25;

export class RunAhead {
  #last: number | undefined;
  #mean: number | undefined;

  /** @param now milliseconds, at which a token arrived */
  arrived(now: number): void {
    if (this.#last !== undefined) {
      const took = now - this.#last;
      this.#mean = this.#mean === undefined ? took : this.#mean + NEWEST * (took - this.#mean);
    }
    this.#last = now;
  }

  /** Nothing is under way: the time until the next token is nobody's. */
  pause(): void {
    this.#last = undefined;
  }

  /** Whether tokens come so fast that the time which a result's way takes may be seen, where it can't be hidden. */
  get hurries(): boolean {
    return this.#mean !== undefined && this.#mean < LONG;
  }

  /** Whether they come so fast that nothing hides it: then it pays to have the GPU know what the host would tell it. */
  get outruns(): boolean {
    return this.#mean !== undefined && this.#mean < COVER;
  }

  /** Steps to have submitted and not yet read: enough to cover a result's way beside the one that is awaited. */
  get depth(): number {
    if (this.#mean === undefined) return MIN_AHEAD;
    return Math.min(MAX_AHEAD, Math.max(MIN_AHEAD, 1 + Math.ceil(COVER / this.#mean)));
  }
}
