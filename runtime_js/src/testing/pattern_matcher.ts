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
  /** Tokens that are said to lead to the beginning, wherever they lead. */
  static misleads: (id: number) => boolean = () => false;
  /** What is thrown instead of an answer to a question, if anything is. */
  static fails: (question: "place" | "leads") => Error | undefined = () => undefined;
  /** Numbers of all there were. */
  static readonly #grammars = new Map<string, number>();
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

  #answer(question: "place" | "leads"): void {
    const error = PatternMatcher.fails(question);
    if (error) throw error;
  }

  accept(token: number): boolean {
    this.#check();
    if (!this.#allows(token)) return false;
    this.#at++;
    return true;
  }

  mask(into: Uint32Array): void {
    this.#check();
    into.fill(0);
    for (let id = 0; id < this.letters.size; id++) {
      if (this.#allows(id)) into[id >> 5] = (into[id >> 5] as number) | (1 << (id & 31));
    }
  }

  get grammar(): number {
    const { classes, tail, letters } = this;
    const key = [letters.eos, ...classes, tail].join("\n");
    if (!PatternMatcher.#grammars.has(key)) {
      PatternMatcher.#grammars.set(key, 1 + PatternMatcher.#grammars.size);
    }
    return PatternMatcher.#grammars.get(key) as number;
  }

  /** Places of the tail are one. */
  get place(): number {
    this.#answer("place");
    return 1 + Math.min(this.#at, this.classes.length);
  }

  leads(into: Uint32Array, leads: Int32Array): void {
    this.#answer("leads");
    this.mask(into);
    const next = 1 + Math.min(this.#at + 1, this.classes.length);
    for (let id = 0; id < this.letters.size; id++) {
      const goesOn = this.#allows(id) && !this.letters.eos.includes(id);
      leads[id] = goesOn ? (PatternMatcher.misleads(id) ? 1 : next) : 0;
    }
  }

  forced(most: number): string {
    this.#check();
    let end = this.#at;
    while (this.classes[end]?.length === 1 && end < this.#at + most) end++;
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
