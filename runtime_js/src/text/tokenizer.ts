/** The pack's tokenizer. */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "../errors.js";
import { TokenBytes, type TokenizerJson } from "./token_bytes.js";

export class Tokenizer {
  readonly bytes: TokenBytes;
  readonly #hf: HfTokenizer;

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
}
