/** Token ids to text, one at a time; a character appears when its last byte has arrived, and never in parts. */
import type { TokenBytes } from "./token_bytes.js";

export class Detokenizer {
  // ignoreBOM: a byte-order mark that a model writes is text.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #strip: number;

  /** @param keep control tokens that are text all the same */
  constructor(
    private readonly tokens: TokenBytes,
    private readonly keep?: ReadonlySet<number>,
  ) {
    this.#strip = tokens.leadingSpaces;
  }

  /** The characters that this token completes; control tokens are no text, but for those that are kept. */
  push(id: number): string {
    if (this.tokens.isSpecial(id) && !this.keep?.has(id)) return "";
    let bytes = this.tokens.of(id);
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
   * Ends the text. The bytes of an unfinished character, left when a generation hits its length, are dropped: half an
   * emoji is not text.
   */
  finish(): void {
    this.#decoder.decode();
  }
}
