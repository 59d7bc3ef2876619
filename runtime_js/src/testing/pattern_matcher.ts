/** A grammar that can be read at a glance: one class of characters after another. Of tokens of one character each. */
import type { Matcher } from "../grammar/spec.js";

/** What it needs to know of a vocabulary. */
export interface Letters {
  size: number;
  /** The character of a token; "" for one that is no text. */
  of(id: number): string;
  eos: readonly number[];
}

/** Classes of `ab[cd]e`: characters, each alone or several in brackets. */
export function classes(pattern: string): string[] {
  return [...pattern.matchAll(/\[([^\]]*)\]|(.)/gs)].map(
    ([, many, one]) => (many ?? one) as string,
  );
}

export class PatternMatcher implements Matcher {
  /** Matchers that were not freed. */
  static live = 0;
  #at = 0;
  #freed = false;

  /** @param tail characters that may follow the classes, as often as is wanted: then the end is a token's to tell */
  constructor(
    private readonly letters: Letters,
    private readonly classes: readonly string[],
    private readonly tail = "",
  ) {
    PatternMatcher.live++;
  }

  #allows(id: number): boolean {
    const { letters, classes, tail } = this;
    if (letters.eos.includes(id)) return this.#at >= classes.length;
    const text = letters.of(id);
    return text !== "" && (classes[this.#at] ?? tail).includes(text);
  }

  #check(): void {
    if (this.#freed) throw new Error("the matcher was freed");
  }

  accept(token: number): boolean {
    this.#check();
    if (!this.#allows(token)) return false;
    this.#at++;
    return true;
  }

  mask(into: Uint32Array): boolean {
    this.#check();
    into.fill(0);
    for (let id = 0; id < this.letters.size; id++) {
      if (this.#allows(id)) into[id >> 5] = (into[id >> 5] as number) | (1 << (id & 31));
    }
    return true;
  }

  forced(): string {
    this.#check();
    let end = this.#at;
    while (this.classes[end]?.length === 1) end++;
    return this.classes.slice(this.#at, end).join("");
  }

  get terminated(): boolean {
    return this.#at >= this.classes.length && this.tail === "";
  }

  rollback(tokens: number): void {
    this.#at -= tokens;
  }

  fork(): Matcher {
    const other = new PatternMatcher(this.letters, this.classes, this.tail);
    other.#at = this.#at;
    return other;
  }

  free(): void {
    this.#check();
    this.#freed = true;
    PatternMatcher.live--;
  }
}
