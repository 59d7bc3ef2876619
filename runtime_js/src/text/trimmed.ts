/** Text whose whitespace at either end is left out where something else is before or after it. */
export class Trimmed {
  #certain = "";
  #space = "";
  #fresh = false;
  /** Nothing but whitespace so far. */
  empty = true;

  push(c: string): void {
    if (isSpace(c)) {
      if (!this.#fresh) this.#space += c;
      return;
    }
    this.#certain += this.#space + c;
    this.#space = "";
    this.#fresh = this.empty = false;
  }

  /** Something else was here. */
  restart(): void {
    this.#space = "";
    this.#fresh = true;
  }

  end(): void {
    this.#certain += this.#space;
  }

  take(): string {
    const text = this.#certain;
    this.#certain = "";
    return text;
  }
}

export const isSpace = (c: string) => c === " " || c === "\n" || c === "\t" || c === "\r";
