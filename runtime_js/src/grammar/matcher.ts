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
    return this.#ask((call, matcher) => call.matcher_accept(matcher, token)) === 1;
  }

  /** The same for bytes as one token, as {@link forced} gives them. */
  acceptBytes(bytes: Uint8Array): boolean {
    if (this.#state() & TAKEN) return false;
    const taken = this.#guard((core) =>
      core.with(bytes, (at, size) =>
        this.#ask((call, matcher) => call.matcher_accept_bytes(matcher, at, size)),
      ),
    );
    return taken === 1;
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
    return this.#ask((call, matcher) => call.matcher_place(matcher));
  }

  leads(into: Uint32Array, leads: Int32Array): void {
    const { core, scratch, size, hidden } = this.compiled;
    if (this.#state() & TAKEN) {
      into.fill(0);
      leads.fill(0);
      return;
    }
    const at = this.#guard(() => core.room(4 * size));
    try {
      this.#ask((call, matcher) => call.matcher_leads(matcher, scratch, at, size));
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
    const { scratch } = this.compiled;
    this.#ask((call, matcher) => call.matcher_mask(matcher, scratch, cached ? 1 : 0));
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

  forced(most: number): string {
    if (this.#state() & TAKEN) return "";
    this.#ask((call, matcher) => call.matcher_forced(matcher, most), 0);
    return this.compiled.core.wholeText();
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
    this.#ask((call, matcher) => call.matcher_rollback(matcher, tokens), 0);
    // The engine keeps keys of the rows of its chart: those of what was taken back are forgotten when it is asked, and not when others come.
    this.#ask((call, matcher) => call.matcher_place(matcher));
  }

  fork(): CompiledMatcher {
    return new CompiledMatcher(
      this.compiled,
      this.#ask((call, matcher) => call.matcher_fork(matcher), 0),
    );
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

  /** @throws GrammarError where the answer is `failed` */
  #ask(question: (call: Core["call"], matcher: Pointer) => number, failed = -1): number {
    const matcher = this.#live();
    const answer = this.#guard((core) => core.run(() => question(core.call, matcher)));
    if (answer === failed) throw this.#failed();
    return answer;
  }

  /** A trap ends this answer alone. */
  #guard<T>(body: (core: Core) => T): T {
    try {
      return body(this.compiled.core);
    } catch (error) {
      throw error instanceof CoreTrapped ? failure(error.message) : error;
    }
  }

  #failed(): GrammarError {
    return failure(this.compiled.core.failure());
  }
}

const failure = (why: string) => new GrammarError(`the grammar engine failed: ${why}`, {});
