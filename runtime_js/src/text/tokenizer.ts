/** The pack's tokenizer. */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "../errors.js";
import { TokenBytes, type TokenizerJson } from "./token_bytes.js";

export class Tokenizer {
  readonly bytes: TokenBytes;
  readonly #hf: HfTokenizer;
  #beginning: readonly number[] | undefined;

  /**
   * @param json parsed tokenizer.json
   * @param config parsed tokenizer_config.json
   * @throws TokenizerError
   */
  constructor(json: unknown, config: unknown) {
    try {
      this.#hf = new HfTokenizer(json as object, config as object);
      this.bytes = new TokenBytes(json as TokenizerJson, (id) => this.#hf.id_to_token(id));
    } catch (cause) {
      if (cause instanceof TokenizerError) throw cause;
      throw new TokenizerError(
        `tokenizer.json can't be used: ${(cause as Error).message}`,
        {},
        { cause },
      );
    }
  }

  /** Id of a token in its own words, if there is such a token. */
  idOf(token: string): number | undefined {
    return this.#hf.token_to_id(token);
  }

  /** The tokens that the tokenizer puts before a text, such as one that says that it begins. */
  get beginning(): readonly number[] {
    this.#beginning ??= this.#findBeginning();
    return this.#beginning;
  }

  #findBeginning(): readonly number[] {
    const [bare, whole] = [this.encode("a"), this.encode("a", true)];
    const at = whole.findIndex((_, i) => bare.every((id, j) => id === whole[i + j]));
    return whole.slice(0, Math.max(0, at));
  }

  /** Ids of `text`; special tokens written in it count as such. @param special those that the model wants around a text are added */
  encode(text: string, special = false): number[] {
    if (text === "" && !special) return [];
    const { ids } = this.#hf.encode(text, { add_special_tokens: special });
    if (ids.some((id) => id === undefined)) {
      throw new TokenizerError(
        "the tokenizer has no token for a part of this text, and no unknown token",
      );
    }
    return ids;
  }

  /** Ids of a text that goes on after a token, without the space that some tokenizers put before a text. */
  encodeInside(text: string): number[] {
    const mark = "☺"; // by which the makers of such models do it
    const begins = this.encode("a")[0];
    const puts = begins !== undefined && this.bytes.of(begins)[0] === 0x20;
    return puts ? this.encode(mark + text).slice(this.encode(mark).length) : this.encode(text);
  }
}
