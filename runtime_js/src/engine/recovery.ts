/** What happens when the device is lost: everything is made again on a new one, and requests go on there. */
import type { DeviceLostError } from "../errors.js";
import { Losses } from "./losses.js";
import type { LoadProgress } from "./progress.js";

/** What `engine.on("device", …)` tells. */
export interface DeviceState {
  /** `recovering`: the device was lost, another is being made ready, requests wait. `lost`: for good. */
  state: "ready" | "recovering" | "lost";
  /** Losses since the load began. */
  losses: number;
  /** Why it recovers, or why it is lost; else null. */
  problem: string | null;
  /** While it recovers: of loading again. */
  progress: LoadProgress | null;
  /** Milliseconds that the last recovery took; null before the first. */
  recoveryMs: number | null;
}

/** Nothing has been lost. */
export const FIRST_DEVICE: DeviceState = {
  state: "ready",
  losses: 0,
  problem: null,
  progress: null,
  recoveryMs: null,
};

/** Those whose device it is. */
export interface Recovered<T> {
  /** The device is lost: nothing runs on it any more. */
  suspend(error: DeviceLostError): void;
  /** Makes everything again. */
  rebuild(signal: AbortSignal, onProgress: (progress: LoadProgress) => void): Promise<T>;
  /** All is ready: whoever waits goes on. */
  resume(made: T): void;
  /** There is no device any more. */
  stop(error: DeviceLostError): void;
  /** The state is another one. */
  changed(): void;
}

export class Recovery<T> {
  #state: DeviceState;
  readonly #ended = new AbortController();
  /** Settled when the device is ready, or there will be none any more. */
  #under: Promise<void> = Promise.resolve();
  /** Why there is none any more. */
  #final: Error | undefined;

  constructor(
    private readonly losses: Losses,
    private readonly owner: Recovered<T>,
  ) {
    this.#state = { ...FIRST_DEVICE, losses: losses.count };
  }

  get state(): DeviceState {
    return this.#state;
  }

  /** Resolves when the device is ready. @throws DeviceLostError when it is lost for good, EngineUnloaded */
  async settled(): Promise<void> {
    await this.#under;
    if (this.#final) throw this.#final;
  }

  /** Replaces a lost device. */
  begin(error: DeviceLostError): void {
    this.owner.suspend(error);
    this.#under = this.#run(error);
  }

  /** Whatever is under way ends, and nothing begins any more. */
  end(error: Error): void {
    this.#final ??= error;
    this.#ended.abort(error);
  }

  async #run(lost: DeviceLostError): Promise<void> {
    const { signal } = this.#ended;
    const began = performance.now();
    let error: Error = lost;
    for (let failed = 0; !signal.aborted; failed++) {
      const final = this.losses.note(error);
      if (final) {
        this.#final ??= final;
        this.owner.stop(final);
        this.#tell({ state: "lost", problem: final.message, progress: null });
        return;
      }
      this.#tell({ state: "recovering", problem: error.message });
      try {
        await pause(Losses.pause(failed), signal);
        const made = await this.owner.rebuild(signal, (progress) => this.#tell({ progress }));
        const recoveryMs = performance.now() - began;
        this.#tell({ state: "ready", problem: null, progress: null, recoveryMs });
        this.owner.resume(made);
        return;
      } catch (problem) {
        error = problem as Error;
      }
    }
  }

  #tell(changes: Partial<DeviceState>): void {
    this.#state = { ...this.#state, ...changes, losses: this.losses.count };
    this.owner.changed();
  }
}

/** Waits; not at all, or not to the end, once the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms === 0 || signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
