/** Matchers of a model's tokens; what compiles grammars is loaded with the first. */
import { EngineUnloaded } from "../errors.js";
import type { GrammarSpec, Grammars, Matcher, Vocabulary } from "../grammar/spec.js";
import { onDemand } from "./on_demand.js";

export class Matchers {
  #grammars: Promise<Grammars> | undefined;
  #closed = false;

  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly open = openGrammars,
  ) {}

  /** One at the beginning of a grammar, which whoever takes it frees. @throws GrammarError, EngineUnloaded */
  async begin(spec: GrammarSpec): Promise<Matcher> {
    this.#grammars ??= this.open(this.vocabulary);
    const opening = this.#grammars;
    opening.catch(() => {
      if (this.#grammars === opening) this.#grammars = undefined; // the next one tries again
    });
    const grammars = await opening;
    if (this.#closed) throw new EngineUnloaded("the engine was unloaded");
    return grammars.compile(spec).matcher();
  }

  close(): void {
    this.#closed = true;
    this.#grammars?.then((grammars) => grammars.close()).catch(() => {});
  }
}

async function openGrammars(vocabulary: Vocabulary): Promise<Grammars> {
  const { openGrammars } = await onDemand(() => import("./grammar.js"));
  return openGrammars(vocabulary);
}
