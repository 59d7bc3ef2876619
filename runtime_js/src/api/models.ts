/** `engine.models`: OpenAI's list of models, of which an engine has one. */
import { ModelNotFound } from "../errors.js";
import type { Model } from "./text_types.js";

/** Can be read as a record or in a loop, as in the `openai` package. */
export class ModelsPage implements AsyncIterable<Model> {
  readonly object = "list";

  constructor(readonly data: Model[]) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Model, void, undefined> {
    yield* this.data;
  }
}

export class Models {
  readonly #model: Model;

  /** @param name of the loaded model */
  constructor(name: string) {
    const created = Math.floor(Date.now() / 1000);
    this.#model = { id: name, object: "model", created, owned_by: "webbuild" };
  }

  /** The loaded model; to be awaited, or read in a loop. */
  list(): Promise<ModelsPage> & AsyncIterable<Model> {
    const page = new ModelsPage([{ ...this.#model }]);
    return Object.assign(Promise.resolve(page), {
      [Symbol.asyncIterator]: () => page[Symbol.asyncIterator](),
    });
  }

  /** @throws ModelNotFound for another name than the loaded model's */
  async retrieve(model: string): Promise<Model> {
    if (model === this.#model.id) return { ...this.#model };
    throw new ModelNotFound(`there is no model ${model} here: this engine runs ${this.#model.id}`, {
      param: "model",
      model,
    });
  }
}
