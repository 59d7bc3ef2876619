/** A store that lives as long as the process: the twin that the others are tested against, and Node's default. */
import { type Appender, plainReader, type Reader, type Store } from "./store.js";

export class MemoryStore implements Store {
  readonly kind = "memory";
  readonly #blobs = new Map<string, Uint8Array[]>();
  readonly #open = new Set<string>();

  /** @param quota most bytes to hold, as a browser would limit an origin */
  constructor(private readonly quota: number = Number.POSITIVE_INFINITY) {}

  async size(key: string): Promise<number | undefined> {
    return this.#blobs.get(key)?.reduce((n, piece) => n + piece.length, 0);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const size = await this.size(key);
    return size === undefined ? undefined : this.read(key, 0, size);
  }

  async read(key: string, at: number, length: number): Promise<Uint8Array> {
    const out = new Uint8Array(Math.max(0, Math.min(length, ((await this.size(key)) ?? 0) - at)));
    let from = 0;
    for (const piece of this.#blobs.get(key) ?? []) {
      const begin = Math.max(at, from);
      const end = Math.min(at + length, from + piece.length);
      if (begin < end) out.set(piece.subarray(begin - from, end - from), begin - at);
      from += piece.length;
    }
    return out;
  }

  async open(key: string): Promise<Reader | undefined> {
    const size = await this.size(key);
    if (size === undefined || this.#open.has(key)) return undefined;
    return { size, ...plainReader(this, key) };
  }

  async append(key: string, anew?: boolean): Promise<Appender | undefined> {
    if (this.#open.has(key)) return undefined;
    this.#open.add(key);
    const pieces = (!anew && this.#blobs.get(key)) || [];
    this.#blobs.set(key, pieces);
    const store = this;
    return {
      get size() {
        return pieces.reduce((n, piece) => n + piece.length, 0);
      },
      async append(bytes) {
        if (store.#total() + bytes.length > store.quota) {
          throw new DOMException("the quota has been exceeded", "QuotaExceededError");
        }
        pieces.push(bytes.slice());
      },
      async close() {
        store.#open.delete(key);
      },
    };
  }

  async remove(key: string): Promise<void> {
    this.#blobs.delete(key);
  }

  async keys(): Promise<string[]> {
    return [...this.#blobs.keys()];
  }

  #total(): number {
    return [...this.#blobs.values()].flat().reduce((n, piece) => n + piece.length, 0);
  }
}
