/**
 * The page draws with the same GPU (compositing, CSS, WebGL), which runs one thing after another: whoever wants it smooth has
 * steps kept short and the GPU left free between them.
 */
import { InvalidRequestError } from "../errors.js";

/** Milliseconds that a step with tokens of prompts may take then: half a frame. */
export const STEP_MS = 8;

/** A page that nobody sees draws nothing, and its timers (not a worker's) take a second at least. */
const isHidden = () => (globalThis as { document?: { hidden: boolean } }).document?.hidden === true;

/** A second: more is no rhythm. */
const MOST_MS = 1000;

/** @throws InvalidRequestError */
export function checkedYield(ms: number): number {
  if (typeof ms === "number" && ms >= 0 && ms <= MOST_MS) return ms;
  throw new InvalidRequestError(`yieldMs must be a number from 0 to ${MOST_MS}, not ${ms}`, {
    param: "yieldMs",
  });
}

export class PageShare {
  #ms = 0;
  #until = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param wake is called when the page's time is over */
  constructor(
    private readonly wake: () => void,
    private readonly now: () => number,
  ) {}

  /** @param ms that the GPU is free after each step; 0: steps follow one another. @throws InvalidRequestError */
  set(ms: number): void {
    this.#ms = checkedYield(ms);
    this.#until = Math.min(this.#until, this.now() + ms);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.wake();
  }

  /** Whether the page has a share at all. */
  get some(): boolean {
    return this.#ms > 0;
  }

  /** A step is done: the page's time begins. */
  arrived(): void {
    this.#until = this.now() + this.#ms;
  }

  /** Whether it is the page's time; if so, its end wakes. */
  get lasts(): boolean {
    const left = this.#until - this.now();
    if (!this.some || left <= 0 || isHidden()) return false;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.wake();
    }, left);
    return true;
  }
}
