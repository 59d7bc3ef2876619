/** Those who look on: each is told the state at most every so many milliseconds, and once more when all comes to rest. */
import { abortError } from "../errors.js";

interface Watcher<T> {
  every: number;
  told: number;
  /** Something happened since. */
  news: boolean;
  tell(state: T): void;
}

export class Watchers<T> {
  readonly #all = new Set<Watcher<T>>();

  constructor(
    private readonly state: () => T,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Tells of the state now and of changes from now on. @returns rejects with AbortError when `signal` ends it */
  watch(every: number, tell: (state: T) => void, signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      const watcher: Watcher<T> = { every, told: this.now(), news: false, tell };
      this.#all.add(watcher);
      const end = () => {
        this.#all.delete(watcher);
        reject(abortError(signal));
      };
      signal.addEventListener("abort", end, { once: true });
      tell(this.state());
    });
  }

  /** Something happened; `rest`: nothing more will, for now. */
  changed(rest: boolean): void {
    if (this.#all.size === 0) return;
    const now = this.now();
    let state: T | undefined;
    for (const watcher of this.#all) {
      watcher.news ||= !rest;
      if (!watcher.news || (!rest && now - watcher.told < watcher.every)) continue;
      watcher.told = now;
      watcher.news = false;
      state ??= this.state();
      watcher.tell(state);
    }
  }
}
