/** Where one answer stands in its grammar. */
import { GrammarError } from "../errors.js";
import { type Core, CoreTrapped, type Pointer } from "./core.js";
import type { Matcher } from "./spec.js";

let compiled = 0;

/** A compiled grammar in the engine's memory, freed with its last user. */
export class Compiled {
  /** Of all that were ever compiled. */
  readonly number = ++compiled;
  #users = 1;

  constructor(
    readonly core: Core,
    readonly pointer: Pointer,
    /** Room for one mask. */
    readonly scratch: Pointer,
    /** Tokens of the vocabulary. */
    readonly size: number,
    readonly stopTokens: readonly number[],
    /** Tokens that are never allowed here, as bits: special ones that nobody named, which free text would let through. */
    readonly hidden: Uint32Array,
  ) {}

  /** u32 of a mask. */
  get words(): number {
    return Math.ceil(this.size / 32);
  }

  /** Bytes that it takes with its masks, which grow as they are asked for. */
  get bytes(): number {
    return this.core.call.grammar_bytes(this.pointer);
  }

  hold(): this {
    this.#users++;
    return this;
  }

  release(): void {
    if (--this.#users === 0) this.core.call.grammar_free(this.pointer);
  }
}

const TAKEN = 1; // a stop token
const COMPLETE = 2;

export class CompiledMatcher implements Matcher {
  #pointer: Pointer;

  /** @param pointer of a matcher of its own; 0: the engine refused to make it */
  constructor(
    private readonly compiled: Compiled,
    pointer: Pointer,
  ) {
    this.#pointer = pointer;
    if (pointer === 0) throw this.#failed();
    compiled.hold();
  }

  accept(token: number): boolean {
    if (this.#state() & TAKEN) return false;
    if (((this.compiled.hidden[token >> 5] ?? 0) >>> (token & 31)) & 1) return false;
    return this.#check(this.compiled.core.call.matcher_accept(this.#live(), token)) === 1;
  }

  /** The same for bytes as one token, as {@link forced} gives them. */
  acceptBytes(bytes: Uint8Array): boolean {
    if (this.#state() & TAKEN) return false;
    const { core } = this.compiled;
    return (
      core.with(bytes, (at, size) =>
        this.#check(core.call.matcher_accept_bytes(this.#live(), at, size)),
      ) === 1
    );
  }

  mask(into: Uint32Array): void {
    this.#mask(into, true);
  }

  /** {@link mask}, computed though it is known: what tests and figures compare with. */
  maskAnew(into: Uint32Array): void {
    this.#mask(into, false);
  }

  get grammar(): number {
    return this.compiled.number;
  }

  get place(): number {
    return this.#check(this.compiled.core.call.matcher_place(this.#live()));
  }

  leads(into: Uint32Array, leads: Int32Array): void {
    const { core, scratch, size, hidden } = this.compiled;
    if (this.#state() & TAKEN) {
      into.fill(0);
      leads.fill(0);
      return;
    }
    const at = core.call.malloc(4 * size);
    if (at === 0) throw new CoreTrapped("the grammar engine is out of memory");
    try {
      this.#check(core.call.matcher_leads(this.#live(), scratch, at, size));
      leads.set(new Int32Array(core.call.memory.buffer, at, size));
      hidden.forEach((word, i) => {
        if (word !== 0) for (let b = 0; b < 32; b++) if ((word >>> b) & 1) leads[32 * i + b] = 0;
      });
    } finally {
      core.call.free(at);
    }
    this.#copy(into);
  }

  #mask(into: Uint32Array, cached: boolean): void {
    if (this.#state() & TAKEN) {
      into.fill(0);
      return;
    }
    const { core, scratch } = this.compiled;
    this.#check(core.call.matcher_mask(this.#live(), scratch, cached ? 1 : 0));
    this.#copy(into);
  }

  /** The mask that was computed last, without hidden tokens. */
  #copy(into: Uint32Array): void {
    const { core, scratch, words, size, hidden } = this.compiled;
    const computed = new Uint32Array(core.call.memory.buffer, scratch, words);
    for (let i = 0; i < words; i++) into[i] = (computed[i] as number) & ~(hidden[i] as number);
    // The engine may leave ones beyond the vocabulary.
    const used = size & 31;
    if (used !== 0) into[words - 1] = (into[words - 1] as number) & ((1 << used) - 1);
  }

  forced(): string {
    if (this.#state() & TAKEN) return "";
    const { core } = this.compiled;
    if (core.call.matcher_forced(this.#live()) === 0) throw this.#failed();
    return core.wholeText();
  }

  get terminated(): boolean {
    const state = this.#state();
    if (state & TAKEN) return true;
    if (!(state & COMPLETE)) return false;
    const { words, stopTokens } = this.compiled;
    const mask = new Uint32Array(words);
    this.mask(mask);
    for (const id of stopTokens) mask[id >> 5] = (mask[id >> 5] as number) & ~(1 << (id & 31));
    return mask.every((word) => word === 0);
  }

  rollback(tokens: number): void {
    if (this.compiled.core.call.matcher_rollback(this.#live(), tokens) === 0) throw this.#failed();
  }

  fork(): CompiledMatcher {
    return new CompiledMatcher(this.compiled, this.compiled.core.call.matcher_fork(this.#live()));
  }

  free(): void {
    if (this.#pointer === 0) return;
    this.compiled.core.call.matcher_free(this.#pointer);
    this.#pointer = 0;
    this.compiled.release();
  }

  #live(): Pointer {
    if (this.#pointer === 0) throw new Error("the matcher was freed");
    return this.#pointer;
  }

  #state(): number {
    return this.compiled.core.call.matcher_state(this.#live());
  }

  #check(answer: number): number {
    if (answer < 0) throw this.#failed();
    return answer;
  }

  #failed(): GrammarError {
    return new GrammarError(`the grammar engine failed: ${this.compiled.core.text()}`, {});
  }
}
