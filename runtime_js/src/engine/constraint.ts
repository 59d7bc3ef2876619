/** What an answer must match, and where it stands: which tokens may come next, and which must. */
import { GrammarError } from "../errors.js";
import type { Matcher } from "../grammar/spec.js";

/** Tokens that are forced are added without a step each if there are at least so many: a step draws one anyway. */
const FEWEST = 2;

export class Constraint {
  /**
   * @param matcher at the answer's beginning; {@link free} frees it
   * @param encode token ids of a text
   * @param jumps whether forced tokens are added without being drawn
   */
  constructor(
    private readonly matcher: Matcher,
    private readonly encode: (text: string) => number[],
    private readonly jumps: boolean,
  ) {}

  /** Whether the answer is complete, and nothing may follow. */
  get complete(): boolean {
    return this.matcher.terminated;
  }

  /** Takes a token that was drawn. @throws GrammarError when it does not match */
  take(token: number): void {
    if (this.matcher.accept(token)) return;
    throw new GrammarError(`token ${token} was drawn, which the grammar does not allow`);
  }

  /**
   * Takes the tokens that come next whatever is drawn, up to `most`. The last of them is left to be drawn: it may be one with
   * what follows.
   */
  jump(most: number): number[] {
    if (!this.jumps || most < FEWEST) return [];
    const text = this.matcher.forced();
    if (text.length <= FEWEST) return [];
    const tokens = this.encode(text).slice(0, -1).slice(0, most);
    if (tokens.length < FEWEST) return [];
    // A tokenizer may write another text than it was given, such as a space before it.
    const refused = tokens.findIndex((token) => !this.matcher.accept(token));
    return refused < 0 ? tokens : tokens.slice(0, refused);
  }

  /** Writes which tokens may come next. @throws GrammarError when none may */
  mask(into: Uint32Array): void {
    if (!this.matcher.mask(into)) into.fill(0xffffffff);
    else if (!into.some((word) => word !== 0)) {
      throw new GrammarError("no token of this model can go on as the grammar asks");
    }
  }

  free(): void {
    this.matcher.free();
  }
}
