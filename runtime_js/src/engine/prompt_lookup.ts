/**
 * Guesses what comes next from what was there before: the text goes on as it did after the most recent place where its last
 * few tokens stood already. Costs nothing on the GPU; good at quotations, code, JSON and loops.
 */

/** Tokens that must agree, and the most that are compared. */
export const SHORTEST = 2;
export const LONGEST = 6;

/** More than any token id, so that a node and a token make one exact number. */
const IDS = 2 ** 21;

export class PromptLookup {
  readonly #tokens: number[] = [];
  /** A run of n tokens is its first n - 1, a node, and one more; runs of one token are their ids. */
  readonly #nodes = Array.from({ length: LONGEST + 1 }, () => new Map<number, number>());
  #nodeCount = 0;
  /** Where the run of each node, of {@link SHORTEST} tokens or more, ended last. */
  readonly #ends: number[] = [];
  /** Nodes of the last 1..LONGEST tokens, by length. */
  #suffix: number[] = [];
  #matchEnd = -1;
  #matched = 0;

  /** Takes the next token: {@link LONGEST} - 1 look-ups, however long the text is. */
  push(token: number): void {
    const at = this.#tokens.length;
    this.#tokens.push(token);
    const suffix = [0, token];
    this.#matched = 0;
    for (let n = 2; n <= LONGEST; n++) {
      const shorter = this.#suffix[n - 1];
      if (shorter === undefined) break;
      const key = shorter * IDS + token;
      const nodes = this.#nodes[n] as Map<number, number>;
      let node = nodes.get(key);
      if (node === undefined) {
        node = this.#nodeCount++;
        nodes.set(key, node);
      } else if (n >= SHORTEST) {
        this.#matchEnd = this.#ends[node] as number;
        this.#matched = n;
      }
      this.#ends[node] = at;
      suffix.push(node);
    }
    this.#suffix = suffix;
  }

  /** Tokens taken so far. */
  get length(): number {
    return this.#tokens.length;
  }

  /** How many of the last tokens stood together before, up to {@link LONGEST}; 0: fewer than {@link SHORTEST}. */
  get matched(): number {
    return this.#matched;
  }

  /**
   * Writes guesses of the next tokens. A guess that reaches the end of the text goes on with itself, as loops do.
   *
   * @param skip guesses that are left out before the first
   * @returns how many were written: `count`, or 0 without a match
   */
  draft(into: Int32Array, at: number, count: number, skip = 0): number {
    if (this.#matched === 0) return 0;
    const from = this.#matchEnd + 1;
    const period = this.#tokens.length - from;
    for (let i = 0; i < count; i++) {
      into[at + i] = this.#tokens[from + ((skip + i) % period)] as number;
    }
    return count;
  }
}
