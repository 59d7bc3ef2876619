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

  /** Id of a token in its own words, if there is such a token. */
  idOf(token: string): number | undefined {
    return this.#hf.token_to_id(token);
  }

  /** The tokens that the tokenizer puts before a text, such as one that says that it begins. */
  get beginning(): readonly number[] {
    const [inner, whole] = [false, true].map((add_special_tokens) => {
      return this.#hf.encode("a", { add_special_tokens }).ids;
    }) as [number[], number[]];
    const at = whole.findIndex((_, i) => inner.every((id, j) => id === whole[i + j]));
    return at < 0 ? [] : whole.slice(0, at);
  }

  /** Ids of `text`; special tokens written in it count as such, none are added. */
  encode(text: string): number[] {
    if (text === "") return [];
    const { ids } = this.#hf.encode(text, { add_special_tokens: false });
    if (ids.some((id) => id === undefined)) {
      throw new TokenizerError(
        "the tokenizer has no token for a part of this text, and no unknown token",
      );
    }
    return ids;
  }
}
