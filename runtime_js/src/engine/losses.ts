/** How often a lost device is replaced. */
import {
  DeviceError,
  DeviceLostError,
  InvalidRequestError,
  NoWebGPU,
  OutOfMemory,
} from "../errors.js";

export interface RecoveryOptions {
  /** How many losses, or failed attempts to go on, within `withinMs` are borne (default 3); 0: the first one ends the engine. */
  losses?: number;
  /** Default 60 000. */
  withinMs?: number;
  /**
   * Milliseconds that an adapter is waited for after a loss while the browser has none (default 10 000): a driver that starts again
   * takes seconds; Chromium gives a page none for two minutes after its GPU process has crashed twice.
   */
  adapterMs?: number;
}

/** Before another attempt, which is the second or a later one in a row: twice as long each time. */
const PAUSE_MS = 250;
const MAX_PAUSE_MS = 2000;

export class Losses {
  readonly #most: number;
  readonly #withinMs: number;
  readonly #adapterMs: number;
  /** Of the latest ones. */
  #times: number[] = [];
  /** Since when there is no adapter. */
  #without: number | undefined;
  /** Since the load began. */
  count = 0;

  /** @throws InvalidRequestError */
  constructor(
    { losses = 3, withinMs = 60_000, adapterMs = 10_000 }: RecoveryOptions = {},
    private readonly now: () => number = () => performance.now(),
  ) {
    if (!Number.isInteger(losses) || losses < 0 || !(withinMs > 0) || !(adapterMs >= 0)) {
      throw new InvalidRequestError(
        "recovery: losses must be an integer of at least 0, withinMs a number above 0, adapterMs one of at least 0",
        { param: "recovery" },
      );
    }
    this.#most = losses;
    this.#withinMs = withinMs;
    this.#adapterMs = adapterMs;
  }

  /**
   * Notes that a device was lost, or that one could not be made in its place.
   *
   * @returns the error that ends it all, if this was once too often, or if a new device is no remedy
   */
  note(error: Error): DeviceLostError | undefined {
    if (error instanceof DeviceLostError) this.count++;
    const now = this.now();
    if (!(error instanceof NoWebGPU)) this.#without = undefined;
    else {
      this.#without ??= now;
      if (now - this.#without < this.#adapterMs) return undefined; // no attempt: there was nothing to try it on
    }
    this.#times = [...this.#times.filter((t) => now - t < this.#withinMs), now];
    const tries = this.#times.length - 1;
    if (tries < this.#most && passes(error)) return undefined;
    const seconds = Math.round(this.#withinMs / 1000);
    const tried = tries > 0 ? `; ${tries} times in ${seconds} s it was tried to go on` : "";
    return new DeviceLostError(
      `the GPU device was lost${tried} (${error.message}): load the engine again`,
      { tries, problem: error.message },
      { cause: error },
    );
  }

  /** Milliseconds to wait before the attempt after so many failed ones. */
  static pause(failed: number): number {
    return failed === 0 ? 0 : Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** (failed - 1));
  }
}

/** After a loss there may be too little memory for a moment. */
function passes(error: Error): boolean {
  return [DeviceLostError, OutOfMemory, DeviceError].some((c) => error instanceof c);
}
