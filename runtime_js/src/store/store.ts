/** Where packs are kept between visits: named blobs, appended to in order, so that a broken download can go on. */

/** Exclusive access for appending to one blob. */
export interface Appender {
  /** Bytes so far. */
  readonly size: number;
  /** @throws QuotaExceededError (a DOMException) when the origin's storage is full */
  append(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** One blob, open for reading into memory that is there already. */
export interface Reader {
  /** Bytes of the blob. */
  readonly size: number;
  /** Bytes from `at` on go to `into`, as many as fit. @returns how many the blob had */
  read(into: Uint8Array, at: number): Promise<number>;
  close(): void;
}

export interface Store {
  readonly kind: "opfs" | "cache" | "memory";
  /** Bytes of a blob; undefined when there is none. */
  size(key: string): Promise<number | undefined>;
  /** A whole blob, for small ones; undefined when there is none. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** Bytes [at, at + length) of a blob that nobody appends to, or as many of them as it has: it may have been removed. */
  read(key: string, at: number, length: number): Promise<Uint8Array>;
  /** Opens a blob, new or unfinished, or to be written anew; undefined when another tab has it open. */
  append(key: string, anew?: boolean): Promise<Appender | undefined>;
  /** A quicker way to read all of a blob, in stores that have one; undefined where it can't be taken now. */
  open?(key: string): Promise<Reader | undefined>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
}

/** Replaces a small blob, which is there all the time. @returns false when another tab has it open */
export async function put(store: Store, key: string, bytes: Uint8Array): Promise<boolean> {
  const appender = await store.append(key, true);
  if (!appender) return false;
  let written = false;
  try {
    await appender.append(bytes);
    written = true;
  } finally {
    await appender.close();
    if (!written) await store.remove(key); // nothing, rather than a part of it
  }
  return true;
}

/** A value as a small blob. */
export const toJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(value));

/** The value again; undefined when there is none, or a crash left a part of it. */
export function fromJson(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** Reads any blob of any store. */
export function plainReader(store: Store, key: string): Omit<Reader, "size"> {
  return {
    async read(into, at) {
      const bytes = await store.read(key, at, into.length);
      into.set(bytes);
      return bytes.length;
    },
    close() {},
  };
}
