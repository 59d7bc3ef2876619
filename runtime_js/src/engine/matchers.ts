/** Matchers of a model's tokens; what compiles grammars is loaded with the first. */
import { EngineUnloaded, InvalidRequestError } from "../errors.js";
import type { PackGrammar, PackManifest } from "../generated/pack.js";
import type { GrammarSpec, Grammars, PackedGrammar, Vocabulary } from "../grammar/spec.js";
import { onDemand } from "../on_demand.js";
import type { Constraint } from "./constraint.js";

/** What is loaded with the first. */
export interface Opened {
  grammars: Grammars;
  Constraint: typeof Constraint;
}

export class Matchers {
  #opened: Promise<Opened> | undefined;
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
      const made = await this.begin(specOf(grammar), () => [], false).catch(() => undefined);
      made?.free();
    }
  }

  /**
   * Holds an answer to a grammar, from its beginning; whoever asked frees it.
   *
   * @param encode token ids of a text
   * @param jumps whether forced tokens are added without being drawn
   * @throws GrammarError, EngineUnloaded
   */
  async begin(
    spec: GrammarSpec,
    encode: (text: string) => number[],
    jumps: boolean,
  ): Promise<Constraint> {
    this.#opened ??= this.open(this.vocabulary);
    const opening = this.#opened;
    opening.catch(() => {
      if (this.#opened === opening) this.#opened = undefined; // the next one tries again
    });
    const { grammars, Constraint } = await opening;
    if (this.#closed) throw new EngineUnloaded("the engine was unloaded");
    return new Constraint(grammars.compile(spec).matcher(), encode, jumps);
  }

  close(): void {
    this.#closed = true;
    this.#opened?.then(({ grammars }) => grammars.close()).catch(() => {});
  }
}

function specOf({ kind, text }: PackGrammar): GrammarSpec {
  if (kind === "json_schema") return { kind, schema: text };
  return kind === "regex" ? { kind, pattern: text } : { kind, grammar: text };
}

async function openGrammars(vocabulary: Vocabulary): Promise<Opened> {
  const { openGrammars, Constraint } = await onDemand(() => import("./grammar.js"));
  return { grammars: await openGrammars(vocabulary), Constraint };
}
