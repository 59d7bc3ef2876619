/** Compiles grammars for one tokenizer, and keeps the compiled ones. */
import { GrammarError } from "../errors.js";
import { Core, CoreTrapped, compileCore, type Pointer } from "./core.js";
import { Compiled, CompiledMatcher } from "./matcher.js";
import { type Source, sourceOf } from "./source.js";
import type { Grammar, GrammarSpec, Grammars, Vocabulary } from "./spec.js";

export interface GrammarsOptions {
  /** Bytes that compiled grammars and their masks may take together, by the engine's own estimate, when one is added; 64 MiB. The last one always stays. */
  cacheBytes?: number;
  /** Where the .wasm is; beside this chunk. */
  wasm?: URL;
}

/** Loads the engine. */
export async function openGrammars(
  vocabulary: Vocabulary,
  { cacheBytes = 64 << 20, wasm }: GrammarsOptions = {},
): Promise<CompiledGrammars> {
  let module: WebAssembly.Module;
  try {
    module = await compileCore(wasm);
  } catch (cause) {
    throw new GrammarError(
      `the grammar engine can't be loaded (${(cause as Error).message}): grammar.wasm must lie beside grammar.js, and a Content-Security-Policy must have 'wasm-unsafe-eval'`,
      {},
      { cause },
    );
  }
  return new CompiledGrammars(module, vocabulary, cacheBytes);
}

/** One instance of the engine with the vocabulary in it. */
interface Instance {
  core: Core;
  vocabulary: Pointer;
  scratch: Pointer;
  /** Special tokens that don't end an answer, as bits. */
  special: Uint32Array;
}

export class CompiledGrammars implements Grammars {
  /** By spec, the least recently used first. */
  readonly #kept = new Map<string, Compiled>();
  #instance: Instance | undefined;
  #closed = false;
  /** Grammars that were compiled, not taken from the cache. */
  compilations = 0;

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly vocabulary: Vocabulary,
    private readonly cacheBytes: number,
  ) {
    this.#open();
  }

  compile(spec: GrammarSpec): Grammar {
    this.#compiled(spec);
    return {
      matcher: () => {
        const compiled = this.#compiled(spec);
        const { core, pointer } = compiled;
        const matcher = this.#guard(spec, () => core.run(() => core.call.matcher_new(pointer)));
        return new CompiledMatcher(compiled, matcher);
      },
    };
  }

  /** Bytes that the engine's memory takes; it grows, and never shrinks. */
  get memoryBytes(): number {
    return this.#instance?.core.call.memory.buffer.byteLength ?? 0;
  }

  close(): void {
    this.#closed = true;
    this.#kept.clear();
    this.#instance = undefined; // all its memory goes with it
  }

  #compiled(spec: GrammarSpec): Compiled {
    const key = JSON.stringify(spec);
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const source = sourceOf(spec, this.vocabulary);
    const instance = this.#open();
    const pointer = this.#guard(spec, () => compile(instance, source));
    if (pointer === 0) throw new GrammarError(instance.core.failure(), { kind: spec.kind });
    this.compilations++;
    return this.#keep(key, instance, pointer, source.named);
  }

  #keep(
    key: string,
    { core, scratch, special }: Instance,
    pointer: Pointer,
    named: Set<number>,
  ): Compiled {
    const { size, stopTokens } = this.vocabulary;
    const hidden = special.slice();
    for (const id of named) hidden[id >> 5] = (hidden[id >> 5] ?? 0) & ~(1 << (id & 31));
    const compiled = new Compiled(core, pointer, scratch, size, stopTokens, hidden);
    this.#kept.set(key, compiled);
    let bytes = [...this.#kept.values()].reduce((sum, each) => sum + each.bytes, 0);
    for (const [oldest, each] of this.#kept) {
      if (bytes <= this.cacheBytes || oldest === key) break;
      bytes -= each.bytes;
      this.#kept.delete(oldest);
      each.release();
    }
    return compiled;
  }

  /** A trap ends the compilation alone. */
  #guard<T>(spec: GrammarSpec, body: () => T): T {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof CoreTrapped)) throw error;
      throw new GrammarError(`the grammar is too large or nests too deep (${error.message})`, {
        kind: spec.kind,
      });
    }
  }

  /** What is in an engine that trapped is left to it: whoever has a matcher keeps it, and the next grammar gets a new instance. */
  #leave(core: Core): void {
    if (this.#instance?.core === core) this.#instance = undefined;
    for (const [key, each] of this.#kept) if (each.core === core) this.#kept.delete(key);
  }

  #open(): Instance {
    if (this.#closed) throw new Error("the grammars were closed");
    if (this.#instance) return this.#instance;
    const core: Core = new Core(this.module, () => this.#leave(core));
    const { size, stopTokens } = this.vocabulary;
    const stops = new Set(stopTokens);
    const special = new Uint32Array(Math.ceil(size / 32));
    const tokens = Array.from({ length: size }, (_, id) => {
      const token = this.vocabulary.bytes(id);
      if (stops.has(id)) return new Uint8Array(0);
      if (!this.vocabulary.isSpecial(id)) return token;
      special[id >> 5] = (special[id >> 5] as number) | (1 << (id & 31));
      return Uint8Array.of(0xff, ...token); // a byte that no text has; the engine lets a token without bytes through nowhere
    });
    const ends = new Uint32Array(size);
    const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + token.length, 0));
    let at = 0;
    tokens.forEach((token, id) => {
      bytes.set(token, at);
      at += token.length;
      ends[id] = at;
    });
    const pointer = core.with(bytes, (bytesAt) =>
      core.with(new Uint8Array(ends.buffer), (endsAt) =>
        core.with(new Uint8Array(Int32Array.from(stopTokens).buffer), (stopsAt) =>
          core.call.vocabulary_new(bytesAt, endsAt, size, stopsAt, stopTokens.length),
        ),
      ),
    );
    if (pointer === 0)
      throw new GrammarError(`the vocabulary can't be used: ${core.failure()}`, {});
    const scratch = core.room(Math.ceil(size / 32) * 4);
    this.#instance = { core, vocabulary: pointer, scratch, special };
    return this.#instance;
  }
}

function compile({ core, vocabulary }: Instance, { kind, text }: Source): Pointer {
  const { grammar_from_ebnf, grammar_from_tag } = core.call;
  const from = kind === "tag" ? grammar_from_tag : grammar_from_ebnf;
  return core.with(text, (at, size) => from(vocabulary, at, size));
}
