/** Token ids to text, one at a time; a character appears when its last byte has arrived, and never in parts. */
import type { TokenBytes } from "./token_bytes.js";

export interface DetokenizerOptions {
  continues?: boolean;
  keep?: ReadonlySet<number>;
}

export class Detokenizer {
  // ignoreBOM: a byte-order mark that a model writes is text.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #keep: ReadonlySet<number> | undefined;
  #begins: boolean;
  #strip: number;

  /**
   * `continues`: the tokens go on with a text, and do not begin one, whose first space some tokenizers drop; `keep`: control
   * tokens that are text all the same
   */
  constructor(
    private readonly tokens: TokenBytes,
    { continues = false, keep }: DetokenizerOptions = {},
  ) {
    this.#begins = !continues;
    this.#keep = keep;
    this.#strip = continues ? 0 : tokens.leadingSpaces;
  }

  /** The characters that this token completes; control tokens are no text, but for those that are kept. */
  push(id: number): string {
    return this.tokens.isSpecial(id) && !this.#keep?.has(id) ? "" : this.write(id);
  }

  /** The same, with control tokens in their own words. */
  write(id: number): string {
    if (!this.tokens.has(id)) return "";
    let bytes = this.#begins ? this.tokens.first(id) : this.tokens.of(id);
    this.#begins = false;
    while (this.#strip > 0 && bytes.length > 0) {
      if (bytes[0] === 0x20) {
        bytes = bytes.subarray(1);
        this.#strip--;
      } else {
        this.#strip = 0;
      }
    }
    return this.#decoder.decode(bytes, { stream: true });
  }

  /**
   * Ends the text.
   *
   * @returns U+FFFD for an unfinished character, left when a generation hits its length; half an emoji is not text, so streams
   *   drop it
   */
  finish(): string {
    return this.#decoder.decode();
  }
}

/** The text of tokens, with control tokens in their own words, and U+FFFD for what is no character. */
export function detokenize(tokens: TokenBytes, ids: Iterable<number>): string {
  const detokenizer = new Detokenizer(tokens);
  const pieces = Array.from(ids, (id) => detokenizer.write(id));
  return pieces.join("") + detokenizer.finish();
}
