/** Stop strings in a stream: text is released as soon as it can't be the beginning of a stop string. */

export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";
  #done = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((s) => s.length > 0);
  }

  /** Whether a stop string was found; everything after it is dropped. */
  get stopped(): boolean {
    return this.#done;
  }

  /** Takes the next text, returns what may be shown. The first stop string to be *completed* ends the text. */
  push(text: string): string {
    if (this.#done) return "";
    const all = this.#held + text;
    const cut = this.#firstMatch(all, this.#held.length);
    if (cut !== undefined) {
      this.#done = true;
      this.#held = "";
      return all.slice(0, cut);
    }
    const keep = this.#possiblePrefix(all);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** The text held back, at the end of the stream. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the stop string that is completed first begins; of those completed together, the longest. */
  #firstMatch(all: string, from: number): number | undefined {
    let end = Number.POSITIVE_INFINITY;
    let begin: number | undefined;
    for (const stop of this.#stops) {
      const at = all.indexOf(stop, Math.max(0, from - stop.length + 1));
      if (at < 0) continue;
      const ends = at + stop.length;
      if (ends < end || (ends === end && at < (begin as number))) {
        end = ends;
        begin = at;
      }
    }
    return begin;
  }

  /** Length of the longest end of `all` that begins some stop string. */
  #possiblePrefix(all: string): number {
    let keep = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, all.length); n > keep; n--) {
        if (stop.startsWith(all.slice(all.length - n))) {
          keep = n;
          break;
        }
      }
    }
    return keep;
  }
}
