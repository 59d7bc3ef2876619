/** The compiled grammar engine (wasm/grammar) and its memory. */

/** A handle of something that lives in the engine's memory; 0 is none. */
export type Pointer = number;

interface Exports {
  memory: WebAssembly.Memory;
  __stack_pointer: WebAssembly.Global;
  _initialize(): void;
  malloc(bytes: number): Pointer;
  free(pointer: Pointer): void;
  text(): Pointer;
  text_size(): number;
  exhausted(): number;
  vocabulary_new(
    bytes: Pointer,
    ends: Pointer,
    count: number,
    stops: Pointer,
    stopCount: number,
  ): Pointer;
  vocabulary_free(vocabulary: Pointer): void;
  grammar_from_ebnf(vocabulary: Pointer, text: Pointer, size: number): Pointer;
  grammar_from_tag(vocabulary: Pointer, text: Pointer, size: number): Pointer;
  grammar_bytes(grammar: Pointer): number;
  grammar_free(grammar: Pointer): void;
  matcher_new(grammar: Pointer): Pointer;
  matcher_fork(matcher: Pointer): Pointer;
  matcher_free(matcher: Pointer): void;
  matcher_accept(matcher: Pointer, token: number): number;
  matcher_accept_bytes(matcher: Pointer, bytes: Pointer, size: number): number;
  matcher_mask(matcher: Pointer, mask: Pointer, cached: number): number;
  matcher_place(matcher: Pointer): number;
  matcher_leads(matcher: Pointer, mask: Pointer, leads: Pointer, count: number): number;
  matcher_forced(matcher: Pointer, most: number): number;
  matcher_rollback(matcher: Pointer, tokens: number): number;
  matcher_state(matcher: Pointer): number;
}

/** The engine ran out of stack or memory in the middle of something; what it was working on is lost. */
export class CoreTrapped extends Error {}

const NO_MEMORY = "the grammar engine is out of memory";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Compiles the .wasm that lies beside this chunk (in a checkout: what `make build` made). */
export async function compileCore(url = besideThis()): Promise<WebAssembly.Module> {
  if (url.protocol !== "file:") {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url.href} answered ${answer.status}`);
    return WebAssembly.compile(await answer.arrayBuffer());
  }
  const { readFileSync } = process.getBuiltinModule("node:fs");
  return WebAssembly.compile(new Uint8Array(readFileSync(url)));
}

function besideThis(): URL {
  const here = import.meta.url;
  // Not relative as the other one: bundlers would look for that file in the package, and some fail without it.
  return here.endsWith(".ts")
    ? new URL(here.replace("src/grammar/core.ts", "dist/grammar.wasm"))
    : new URL("grammar.wasm", import.meta.url);
}

export class Core {
  readonly call: Exports;
  readonly #stack: number;

  /** @param trapped is called when the engine can't go on: nothing new must begin in it, as memory that it has taken never comes back */
  constructor(
    module: WebAssembly.Module,
    private readonly trapped: () => void,
  ) {
    const view = () => new DataView(this.call.memory.buffer);
    const wasi = {
      environ_sizes_get: (count: Pointer, size: Pointer) => {
        view().setUint32(count, 0, true);
        view().setUint32(size, 0, true);
        return 0;
      },
      environ_get: () => 0,
      clock_time_get: (_clock: number, _precision: bigint, into: Pointer) => {
        view().setBigUint64(into, BigInt(Math.round(performance.now() * 1e6)), true);
        return 0;
      },
      fd_close: () => 0,
      fd_write: () => 0,
      fd_seek: () => 0,
      proc_exit: () => {
        throw new CoreTrapped("the grammar engine exited");
      },
    };
    const env = { emscripten_notify_memory_growth: () => {} };
    const { exports } = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi, env });
    this.call = exports as unknown as Exports;
    this.call._initialize();
    this.#stack = this.call.__stack_pointer.value as number;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.call.memory.buffer);
  }

  /** What the last call left as text. */
  text(): string {
    const from = this.call.text();
    return decoder.decode(this.bytes.subarray(from, from + this.call.text_size()));
  }

  /** Text that may end within a character, which is left out; "" if it begins within one. */
  wholeText(): string {
    const from = this.call.text();
    const bytes = this.bytes.subarray(from, from + this.call.text_size());
    if (((bytes[0] ?? 0) & 0xc0) === 0x80) return "";
    return new TextDecoder().decode(bytes, { stream: true });
  }

  /** Why the last call failed. */
  failure(): string {
    return this.call.exhausted() === 0 ? this.text() : this.#trap(NO_MEMORY).message;
  }

  /** Runs `body`. @throws CoreTrapped when the engine can't go on; the instance then serves only what it already has */
  run<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      throw this.#trap(error.message);
    }
  }

  /** Room for so many bytes. @throws CoreTrapped */
  room(bytes: number): Pointer {
    const pointer = this.run(() => this.call.malloc(bytes));
    if (pointer === 0) throw this.#trap(NO_MEMORY);
    return pointer;
  }

  /** Runs `body` with a copy of `data` in the engine's memory. @throws CoreTrapped */
  with<T>(data: Uint8Array | string, body: (pointer: Pointer, size: number) => T): T {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    const pointer = this.room(bytes.length + 1);
    this.bytes.set(bytes, pointer);
    const result = this.run(() => body(pointer, bytes.length));
    this.call.free(pointer);
    return result;
  }

  #trap(why: string): CoreTrapped {
    this.call.__stack_pointer.value = this.#stack;
    this.trapped();
    return new CoreTrapped(why);
  }
}
