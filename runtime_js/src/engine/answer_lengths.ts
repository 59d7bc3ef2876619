/** How long answers last: what is gained from guesses, and from a prompt that a draft reads for them, is gained until the end. */
export class AnswerLengths {
  /** Tokens of the last two answers. */
  #last = 0;
  #before = 0;

  /** One of so many tokens has ended. */
  ended(tokens: number): void {
    this.#before = this.#last;
    this.#last = tokens;
  }

  /**
   * Tokens that one of so many so far is expected to go on for: as many as the shorter one of the last two had, so that a long
   * one among short ones promises nothing; and one that has outlasted these lasts as long again.
   */
  left(tokens: number): number {
    return Math.max(1, tokens, Math.min(this.#last, this.#before));
  }
}
