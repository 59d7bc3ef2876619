/** A text's characters, one at a time, for generators that wait for the next one. */
import { isSpace } from "./trimmed.js";

/** Waits for the characters it needs; gives what it has read. */
export type Reader<T = void> = Generator<undefined, T, string>;

/** What was taken for a call is none. */
export class NoCall extends Error {}

/** After the last one. */
export const END = "";

export class Characters {
  /** The character to be read next, if it has been seen: END at the end. */
  #next: string | undefined;
  /** What was read, in a call, since all that is certain. */
  protected taken: string | undefined;

  protected *peek(): Reader<string> {
    if (this.#next === undefined) this.#next = yield;
    return this.#next;
  }

  protected *read(): Reader<string> {
    const c = yield* this.peek();
    if (c !== END) this.#next = undefined;
    if (this.taken !== undefined) this.taken += c;
    return c;
  }

  protected *skipSpace(): Reader {
    while (isSpace(yield* this.peek())) yield* this.read();
  }

  protected *expect(c: string): Reader {
    if ((yield* this.read()) !== c) throw new NoCall();
  }

  /** Reads to the end of the first mark, giving what comes before it to `sink`. @returns the mark, END if there is none */
  protected *until(marks: readonly string[], sink: (c: string) => void): Reader<string> {
    let held = "";
    for (let c = yield* this.read(); c !== END; c = yield* this.read()) {
      held += c;
      while (held !== "" && !marks.some((mark) => mark.startsWith(held))) {
        const first = String.fromCodePoint(held.codePointAt(0) as number);
        held = held.slice(first.length);
        sink(first);
      }
      if (held !== "" && marks.includes(held)) return held;
    }
    for (const c of held) sink(c);
    return END;
  }

  protected *string(): Reader<string> {
    yield* this.expect('"');
    let text = '"';
    for (let c = yield* this.read(); c !== END; c = yield* this.read()) {
      text += c;
      if (c === "\\") text += yield* this.read();
      else if (c === '"') return parsed(text);
    }
    throw new NoCall();
  }

  /** A number, or a word. */
  protected *scalar(): Reader<string> {
    let text = "";
    while (/[\w.+-]/.test(yield* this.peek())) text += yield* this.read();
    return text;
  }
}

function parsed(json: string): string {
  try {
    return JSON.parse(json) as string;
  } catch {
    throw new NoCall();
  }
}
