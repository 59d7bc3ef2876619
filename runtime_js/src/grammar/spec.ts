/** What an answer may look like, and the seam between the engine and the grammar engine, which is a chunk of its own. */

/**
 * What an answer must match, as plain data that crosses the worker.
 *
 * - `json`: any JSON object, as `response_format: {type: "json_object"}` asks for
 * - `json_schema`: JSON text that is valid for `schema` (JSON Schema as JSON text)
 * - `regex`: text that `pattern` matches as a whole
 * - `ebnf`: text of a grammar in GBNF, as llama.cpp has it; its start is the rule `root`
 * - `structural_tag`: XGrammar's structural tag format as JSON text: parts of an answer constrained, others free
 */
export type GrammarSpec =
  | { kind: "json" }
  | { kind: "json_schema"; schema: string }
  | { kind: "regex"; pattern: string }
  | { kind: "ebnf"; grammar: string }
  | { kind: "structural_tag"; tag: string };

/** One of those that the pack brings along, by its name. */
export interface PackedGrammar {
  kind: "packed";
  name: string;
}

/** What grammars need to know of a tokenizer. */
export interface Vocabulary {
  /** Ids are 0 to size - 1; as many as the model's logits. */
  size: number;
  /** Tokens that end an answer: allowed only where it is complete. */
  stopTokens: readonly number[];
  /** Bytes of a token; empty for ids without one. */
  bytes(id: number): Uint8Array;
  /** Control tokens, which no grammar allows unless a structural tag names them. */
  isSpecial(id: number): boolean;
}

/**
 * Compiles grammars for one tokenizer. `openGrammars(vocabulary)` of `grammars.ts` makes one; its chunk and its .wasm are
 * loaded then, by `import("./grammar.js")`.
 */
export interface Grammars {
  /**
   * Compiles a grammar, or takes it from the cache. It keeps the thread busy for milliseconds, so that whoever has GPU work to
   * submit does that first.
   * @throws GrammarError if the grammar is wrong or can't be held to; the message says what and where
   */
  compile(spec: GrammarSpec): Grammar;
  /** Frees everything, matchers too. */
  close(): void;
}

/** A compiled grammar. It stays usable when the cache forgets it, until the last matcher is freed. */
export interface Grammar {
  /** A matcher at the grammar's beginning; whoever takes it frees it. */
  matcher(): Matcher;
}

/** Where one answer stands in its grammar. */
export interface Matcher {
  /** Takes a token, a stop token only where the answer is complete. `false`: it is not allowed here, and nothing has changed. */
  accept(token: number): boolean;
  /**
   * Fills `into`: bit i % 32 of word i / 32 says whether token i is allowed. Stop tokens are where the answer is complete.
   * @param into u32[ceil(vocabulary / 32)]; bits beyond the vocabulary are 0
   */
  mask(into: Uint32Array): void;
  /** A number for the compiled grammar, of all that were ever compiled here. */
  readonly grammar: number;
  /** A number for the place where it stands: equal numbers of a grammar, equal masks. A place that comes again may have a new number. */
  readonly place: number;
  /**
   * {@link mask}, and for each token the place that it leads to; 0: it is not allowed, or that is not known. What a token counts (of a
   * repetition, or of tokens) may lead elsewhere: {@link place} says so once it is taken.
   * @param leads i32[vocabulary]
   */
  leads(into: Uint32Array, leads: Int32Array): void;
  /**
   * Text that must come next whatever is drawn; "" if there is a choice.
   * @param most bytes that it has at most; what they cut in two is left out
   */
  forced(most: number): string;
  /** A stop token was taken, or nothing but an end may follow. */
  readonly terminated: boolean;
  /** Takes back the last `tokens` tokens. */
  rollback(tokens: number): void;
  /** A matcher that stands at the same place and goes its own way. */
  fork(): Matcher;
  /** Gives its memory back; whatever is asked of it later throws. */
  free(): void;
}
