/** What an answer must match, and where it stands: which tokens may come next, and which must. */
import { GrammarError } from "../errors.js";
import type { Matcher } from "../grammar/spec.js";

/** Tokens that are forced are added without a step each if there are at least so many: a step draws one anyway. */
const FEWEST = 2;

/** Beginnings of what may follow a forced text; a token that one of them changes is not the text's own. */
const SEQUELS = ['"', "a", "A", "0", " ", "\n", "-", ".", ",", ":", "{", "}", "[", "]", "<", "é"];

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
   * Takes the tokens that come next whatever is drawn, up to `most`. Those at the end that would be one with what may follow
   * are left to be drawn, at least one: a model that reads text cut where it never is answers worse.
   */
  jump(most: number): number[] {
    if (!this.jumps || most < FEWEST) return [];
    const text = this.matcher.forced();
    if (text.length <= FEWEST) return [];
    const tokens = this.#own(text).slice(0, most);
    if (tokens.length < FEWEST) return [];
    // A tokenizer may write another text than it was given, such as a space before it.
    const refused = tokens.findIndex((token) => !this.matcher.accept(token));
    return refused < 0 ? tokens : tokens.slice(0, refused);
  }

  /** Tokens of a text that are its own whatever follows, without its last. */
  #own(text: string): number[] {
    const tokens = this.encode(text).slice(0, -1);
    return SEQUELS.reduce((own, sequel) => {
      if (own.length < FEWEST) return own;
      const longer = this.encode(text + sequel);
      const other = own.findIndex((token, i) => token !== longer[i]);
      return other < 0 ? own : own.slice(0, other);
    }, tokens);
  }

  /** Writes which tokens may come next. @throws GrammarError when none may */
  mask(into: Uint32Array): void {
    this.matcher.mask(into);
    if (!into.some((word) => word !== 0)) {
      throw new GrammarError("no token of this model can go on as the grammar asks");
    }
  }

  free(): void {
    this.matcher.free();
  }
}
