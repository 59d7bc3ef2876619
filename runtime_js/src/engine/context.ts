/** The tokens that the next one depends on: prompt and answer, or what a sliding window leaves of them. */

/** Tokens at the beginning that are kept at least: attention leans on them, whatever they say (arXiv 2309.17453). */
export const SINKS = 4;

/** What is kept when a context is full. */
export interface Window {
  /** Tokens of prompt and answer that the context holds; at least 2. */
  length: number;
  /** Of these so many at the beginning stay; at most half of them, and at most the prompt's. */
  sinks: number;
}

/** A window over a context of `length` tokens. @param first tokens that should stay: up to the first user's message */
export function windowOf(length: number, prompt: Int32Array, first = 0): Window {
  const sinks = Math.min(Math.max(first, SINKS), Math.floor(length / 2), prompt.length);
  return { length, sinks };
}

export class Context {
  readonly #tokens: Int32Array;
  #length: number;
  /** Of the tokens that are left, so many are the prompt's. */
  #prompt: number;
  /** What the answer began with, as far as it is left no more. */
  readonly #earlier: number[] = [];
  #dropped = 0;
  #slides = 0;

  /** @param most tokens of prompt and answer, when nothing is dropped */
  constructor(
    prompt: Int32Array,
    most: number,
    private readonly window: Window | undefined,
  ) {
    this.#tokens = new Int32Array(Math.min(most, window?.length ?? most));
    this.#tokens.set(prompt);
    this.#length = prompt.length;
    this.#prompt = prompt.length;
  }

  /** All that are left. */
  get tokens(): Int32Array {
    return this.#tokens.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** Tokens that are left no more. */
  get dropped(): number {
    return this.#dropped;
  }

  get slides(): number {
    return this.#slides;
  }

  /** The whole answer. */
  get answer(): Int32Array {
    return Int32Array.from([...this.#earlier, ...this.tokens.subarray(this.#prompt)]);
  }

  push(token: number): void {
    this.#tokens[this.#length++] = token;
  }

  /** Whether {@link slide} must make room for the next token. */
  get full(): boolean {
    return this.#length === this.window?.length;
  }

  /**
   * Keeps the sinks and the newer half of all others.
   *
   * @returns how many tokens at the beginning are where they were
   */
  slide(): number {
    const { sinks } = this.window as Window;
    const from = sinks + Math.ceil((this.#length - sinks) / 2);
    for (let i = Math.max(sinks, this.#prompt); i < from; i++) {
      this.#earlier.push(this.#tokens[i] as number);
    }
    this.#prompt = Math.max(sinks, this.#prompt - (from - sinks));
    this.#tokens.copyWithin(sinks, from, this.#length);
    this.#length -= from - sinks;
    this.#dropped += from - sinks;
    this.#slides++;
    return sinks;
  }
}
