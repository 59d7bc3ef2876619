/** Kernels that make a step faster, and that it can do without: they compile beside what goes on. */
import { isFew } from "./functions.js";

interface Kernels {
  prepare(...names: string[]): Promise<void>;
}

export class Beside {
  /** What was asked for on this device: what does not compile is not tried again. */
  readonly #asked = new Set<string>();

  /** Starts to compile what a step can do without. @returns what of `missing` it needs */
  needed(missing: readonly string[], kernels: Kernels): readonly string[] {
    if (missing.length === 0) return missing;
    const wanted = missing.filter((name) => isFew(name) && !this.#asked.has(name));
    for (const name of wanted) this.#asked.add(name);
    if (wanted.length > 0) kernels.prepare(...wanted).catch(() => {});
    return missing.filter((name) => !isFew(name));
  }

  /** Another device has none of them. */
  restart(): void {
    this.#asked.clear();
  }
}
