/** Matchers of a model's tokens; what compiles grammars is loaded with the first. */
import { EngineUnloaded, InvalidRequestError } from "../errors.js";
import type { PackGrammar, PackManifest } from "../generated/pack.js";
import type { GrammarSpec, Grammars, Matcher, PackedGrammar, Vocabulary } from "../grammar/spec.js";
import { onDemand } from "./on_demand.js";

export class Matchers {
  #grammars: Promise<Grammars> | undefined;
  #closed = false;
  #prepared = false;

  /** @param packed what the pack brings along */
  constructor(
    private readonly vocabulary: Vocabulary,
    private readonly packed: NonNullable<PackManifest["grammars"]> = {},
    private readonly open = openGrammars,
  ) {}

  /** Looks up a grammar that is given by its name. @throws InvalidRequestError if the pack has none of that name */
  resolve(spec: GrammarSpec | PackedGrammar): GrammarSpec {
    if (spec.kind !== "packed") return spec;
    const { packed } = this;
    if (Object.hasOwn(packed, spec.name)) return specOf(packed[spec.name] as PackGrammar);
    const names = Object.keys(packed).join(", ");
    const has = names === "" ? "no grammars" : `these: ${names}`;
    throw new InvalidRequestError(
      `this pack has no grammar ${JSON.stringify(spec.name)}; it has ${has} (webbuild pack --grammar NAME=FILE)`,
      { param: "webbuild.grammar.name" },
    );
  }

  /** Whether {@link prepare} has nothing to do, or was called. */
  get prepared(): boolean {
    return this.#prepared || Object.keys(this.packed).length === 0;
  }

  /** Compiles what the pack brings along, so that no request waits for it. What can't be compiled is told to the request that asks for it. */
  async prepare(): Promise<void> {
    this.#prepared = true;
    for (const grammar of Object.values(this.packed)) {
      const matcher = await this.begin(specOf(grammar)).catch(() => undefined);
      matcher?.free();
    }
  }

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

function specOf({ kind, text }: PackGrammar): GrammarSpec {
  if (kind === "json_schema") return { kind, schema: text };
  return kind === "regex" ? { kind, pattern: text } : { kind, grammar: text };
}

async function openGrammars(vocabulary: Vocabulary): Promise<Grammars> {
  const { openGrammars } = await onDemand(() => import("./grammar.js"));
  return openGrammars(vocabulary);
}
