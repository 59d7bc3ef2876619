/** Conversations that responses ended, so that the next request can name one instead of sending it again. */
import { invalid } from "../fields.js";
import type { InputItem, ResponseObject } from "./types.js";

interface Kept {
  response: ResponseObject;
  /** What was asked, that of earlier responses included, and the output. */
  items: readonly InputItem[];
}

export class ResponseHistory {
  /** As many responses are kept; of more, those that were used longest ago are forgotten. */
  static readonly LIMIT = 128;

  readonly #kept = new Map<string, Kept>();

  keep(response: ResponseObject, asked: readonly InputItem[]): void {
    this.#kept.set(response.id, { response, items: [...asked, ...response.output] });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > ResponseHistory.LIMIT) this.#kept.delete(oldest as string);
  }

  /** @throws InvalidRequestError when it is not kept, or no longer */
  get(id: string, param = "id"): Kept {
    const kept = this.#kept.get(id);
    if (!kept) {
      throw invalid(
        param,
        `${JSON.stringify(id)} is no response that this page keeps (it keeps the last ${ResponseHistory.LIMIT}, ` +
          "until it is left): send the conversation as input",
      );
    }
    this.#kept.delete(id);
    this.#kept.set(id, kept);
    return kept;
  }

  /** @throws InvalidRequestError when it is not kept */
  delete(id: string): void {
    this.get(id);
    this.#kept.delete(id);
  }
}
