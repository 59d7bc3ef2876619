/** The engines behind an endpoint, by the names that requests call their models. */
import { HttpError } from "./error_body.js";

/** `create` of one of OpenAI's resources. */
export interface Resource {
  create(
    params: never,
    options?: { signal?: AbortSignal | undefined; onAccepted?: (() => void) | undefined },
  ): Promise<unknown>;
}

/** Whatever answers chats: an Engine, an engine of another tab, a Router. What else it has is found when it is asked for. */
export interface Answers {
  readonly chat: { readonly completions: Resource };
  readonly completions?: Resource;
  readonly embeddings?: Resource;
  readonly responses?: Resource;
}

/** One engine, or several by the names that requests call them. */
export type Engines = Answers | Readonly<Record<string, Answers>>;

/** An entry of `GET /v1/models`, as in the `openai` package. */
export interface Model {
  id: string;
  object: "model";
  /** Unix time in seconds. */
  created: number;
  owned_by: string;
}

export class ModelTable {
  readonly #engines: ReadonlyMap<string, Answers>;
  readonly #created = Math.floor(Date.now() / 1000);

  /** @param anyModel whether a name that nothing has means the first engine */
  constructor(
    engines: Engines,
    private readonly anyModel: boolean,
  ) {
    this.#engines = new Map(
      isOne(engines) ? [[nameOf(engines), engines]] : Object.entries(engines),
    );
    if (this.#engines.size === 0) throw new TypeError("createFetch needs at least one engine");
  }

  list(): Model[] {
    return [...this.#engines.keys()].map((id) => this.#model(id));
  }

  /** @throws HttpError (404) */
  model(id: string): Model {
    this.engine(id);
    return this.#model(id);
  }

  /** The engine that a request means. @param name undefined: the only one. @throws HttpError (400, 404) */
  engine(name: unknown): Answers {
    const [first] = this.#engines.values();
    const only = this.#engines.size === 1 || this.anyModel;
    if ((name === undefined || name === null) && only) return first as Answers;
    if (typeof name !== "string") {
      throw new HttpError(400, `model must be one of ${this.#names()}`, "invalid_model", "model");
    }
    const engine = this.#engines.get(name) ?? (this.anyModel ? first : undefined);
    if (engine) return engine;
    throw new HttpError(
      404,
      `the model ${JSON.stringify(name)} is not served here; there is ${this.#names()}`,
      "model_not_found",
      "model",
    );
  }

  #names(): string {
    return [...this.#engines.keys()].map((name) => JSON.stringify(name)).join(", ");
  }

  #model(id: string): Model {
    return { id, object: "model", created: this.#created, owned_by: "webbuild" };
  }
}

const isOne = (engines: Engines): engines is Answers =>
  typeof (engines as Answers).chat?.completions?.create === "function";

/** What an engine calls its model; a Router has several and names none. */
function nameOf(engine: Answers): string {
  const { info, model } = engine as { info?: { model?: { name?: unknown } }; model?: unknown };
  const name = info?.model?.name ?? model;
  return typeof name === "string" ? name : "webbuild";
}
