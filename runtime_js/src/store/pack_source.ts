/** A pack's files, from the store or the network, every byte hashed on its way. */
import { abortError, HashMismatch, NetworkError, throwIfAborted } from "../errors.js";
import type { PackFile, PackManifest } from "../generated/pack.js";
import { readManifest } from "../program/manifest.js";
import { download, type Fetch, fetchWhole, retryable } from "./download.js";
import type { PackCache } from "./pack_cache.js";
import { type Hasher, newHasher } from "./sha256.js";
import { type Appender, plainReader, type Reader } from "./store.js";

/** Bytes handed on at a time: large enough for the GPU queue, small beside the weights. */
const PIECE_BYTES = 8 * 2 ** 20;

/** Takes a file's bytes in order. */
export interface Consumer {
  /** A file begins; it may begin again after a stored part proved broken. */
  begin(): void;
  /** Memory of the consumer's for the next bytes, which are then handed on in it; without it, bytes come in the source's. */
  room?(): Promise<Uint8Array>;
  /** The bytes are only valid until the returned promise resolves. */
  bytes(bytes: Uint8Array): void | Promise<void>;
}

export interface SourceOptions {
  fetch: Fetch;
  /** undefined: nothing is kept. */
  cache: PackCache | undefined;
  signal: AbortSignal;
  /** Ask the server for a newer pack.json even when one is stored; that one is taken when there is no answer. */
  revalidate: boolean;
  /** Hash stored files again before using them. */
  verifyCache: boolean;
  /** Called after every piece. */
  onBytes?: () => void;
  newHasher?: () => Promise<Hasher>;
}

export class PackSource {
  /** Bytes received, pack.json included. */
  networkBytes = 0;
  /** Bytes read from the store. */
  cacheBytes = 0;
  /** Bytes of the pack's files so far, wherever from. */
  fileBytes = 0;
  /** Why nothing more is stored, e.g. a full disk. */
  cacheProblem: string | undefined;
  /** All of the pack is marked complete in the store: no file has to be asked for. */
  #whole = false;

  /** @param url the pack's folder, with a trailing slash */
  constructor(
    readonly url: string,
    private readonly options: SourceOptions,
  ) {}

  /** The same pack, read once more with another signal; bytes from network and store go on being counted. */
  again(signal: AbortSignal, onBytes: () => void): PackSource {
    const source = new PackSource(this.url, { ...this.options, signal, onBytes });
    source.networkBytes = this.networkBytes;
    source.cacheBytes = this.cacheBytes;
    source.cacheProblem = this.cacheProblem;
    return source;
  }

  #newHasher(): Promise<Hasher> {
    return (this.options.newHasher ?? newHasher)();
  }

  get cache(): PackCache | undefined {
    return this.options.cache;
  }

  /** Where the pack is kept. */
  get storeKind(): "opfs" | "cache" | "memory" | "none" {
    return this.options.cache?.store.kind ?? "none";
  }

  /** pack.json, stored or fetched. */
  async manifest(): Promise<PackManifest> {
    const { cache, fetch, revalidate, signal } = this.options;
    const stored = revalidate ? undefined : await this.#stored();
    if (stored) return stored;
    // Its code arrives beside pack.json; if it can't, the next file says so.
    if (!revalidate) this.#newHasher().catch(() => {});
    let bytes: Uint8Array;
    try {
      bytes = await fetchWhole(`${this.url}pack.json`, fetch, signal);
    } catch (error) {
      const offline = revalidate && error instanceof NetworkError && retryable(error);
      const stored = offline ? await this.#stored() : undefined;
      if (stored) return stored;
      throw error;
    }
    this.networkBytes += bytes.length;
    const manifest = readManifest(bytes);
    if (cache) await this.#storing(() => cache.remember(this.url, bytes, manifest));
    return manifest;
  }

  /** pack.json of a pack that is stored whole. */
  async #stored(): Promise<PackManifest | undefined> {
    const stored = await this.options.cache?.wholePack(this.url).catch(() => undefined);
    this.#whole = stored !== undefined;
    return stored;
  }

  /** Removes what an older version of the pack left in the store. */
  async tidy(): Promise<void> {
    const { cache } = this.options;
    if (cache && this.networkBytes > 0) await this.#storing(() => cache.prune());
  }

  /** A small file, whole. @throws MissingFile, TruncatedFile, HashMismatch, NetworkError, AbortError */
  async read(file: PackFile): Promise<Uint8Array> {
    const whole = new Uint8Array(file.nbytes);
    let at = 0;
    await this.stream(file, {
      begin: () => {
        at = 0;
      },
      bytes: (bytes) => {
        whole.set(bytes, at);
        at += bytes.length;
      },
    });
    return whole;
  }

  /** Streams a file to `consumer`; resolves when its hash is verified. @throws as {@link read} */
  async stream(file: PackFile, consumer: Consumer): Promise<void> {
    const { cache } = this.options;
    const key = file.sha256;
    const stored = cache && (this.#whole || (await this.#storing(() => cache.isComplete(key))));
    if (stored && (await this.#fromStore(file, consumer))) return;
    const hasher = await this.#newHasher(); // before the blob is locked, as it may not arrive
    const appender = await this.#append(key);
    const resumed = appender?.size;
    try {
      await this.#fromNetwork(file, consumer, hasher, appender);
    } catch (error) {
      if (!(error instanceof HashMismatch)) throw error;
      await this.#discard(key);
      if (!resumed) throw error;
      // The stored part may be what is broken: once more, from the start.
      const again = await this.#newHasher();
      await this.#fromNetwork(file, consumer, again, await this.#append(key, true));
    }
  }

  async #append(key: string, anew?: boolean): Promise<Appender | undefined> {
    const { cache } = this.options;
    return cache && this.#storing(() => cache.store.append(key, anew));
  }

  async #discard(key: string): Promise<void> {
    const { cache } = this.options;
    if (cache) await this.#storing(() => cache.discard(key));
  }

  /** @returns false when the stored bytes are not the file's; what is proved to be another, or not all there, is removed */
  async #fromStore({ sha256: key, nbytes }: PackFile, consumer: Consumer): Promise<boolean> {
    const cache = this.options.cache as PackCache;
    const { store } = cache;
    const hasher = this.options.verifyCache ? await this.#newHasher() : undefined;
    const reader = await store.open?.(key);
    const size = reader ? reader.size : await this.#storing(() => store.size(key));
    if (size !== nbytes) {
      reader?.close();
      return false;
    }
    consumer.begin();
    const read = await this.#replay(key, nbytes, consumer, hasher, reader);
    if (read === nbytes && (hasher === undefined || hasher.digest() === key)) return true;
    this.fileBytes -= read;
    await this.#discard(key);
    return false;
  }

  /**
   * The first `nbytes` of a stored blob.
   *
   * @param reader of this blob, if it could be opened; is closed
   * @returns how many were handed on: fewer when another tab removes it meanwhile, or it can't be read
   */
  async #replay(
    key: string,
    nbytes: number,
    consumer: Consumer,
    hasher: Hasher | undefined,
    reader: Reader | undefined,
  ): Promise<number> {
    const { signal, onBytes } = this.options;
    const from = reader ?? plainReader((this.options.cache as PackCache).store, key);
    // What is hashed is not read into memory that may be slow to read from.
    const theirs = reader && !hasher ? consumer.room?.bind(consumer) : undefined;
    const ours = new Uint8Array(theirs ? 0 : Math.min(PIECE_BYTES, nbytes));
    try {
      let at = 0;
      while (at < nbytes) {
        throwIfAborted(signal);
        const room = theirs ? await theirs() : ours;
        const bytes = room.subarray(0, nbytes - at);
        const { length } = bytes;
        if ((await from.read(bytes, at).catch(() => 0)) < length) break;
        hasher?.update(bytes);
        await consumer.bytes(bytes);
        at += length;
        this.cacheBytes += length;
        this.fileBytes += length;
        onBytes?.();
      }
      return at;
    } finally {
      from.close();
    }
  }

  async #fromNetwork(
    file: PackFile,
    consumer: Consumer,
    hasher: Hasher,
    appender: Appender | undefined,
  ): Promise<void> {
    const { fetch, cache, signal, onBytes } = this.options;
    let out = appender;
    consumer.begin();
    const resumeAt = Math.min(appender?.size ?? 0, file.nbytes);
    let received = resumeAt;
    // An open appender locks the blob against reading in some browsers.
    if (appender && resumeAt > 0) {
      await this.#storing(() => appender.close());
      const reader = await cache?.store.open?.(file.sha256);
      received = await this.#replay(file.sha256, resumeAt, consumer, hasher, reader);
      out = await this.#append(file.sha256);
    }
    const staging = new Uint8Array(Math.min(PIECE_BYTES, Math.max(file.nbytes - resumeAt, 1)));
    let fill = 0;
    const close = () => this.#storing(async () => out?.close().then(() => true));
    const flush = async () => {
      if (fill === 0) return;
      const bytes = staging.subarray(0, fill);
      fill = 0;
      hasher.update(bytes);
      if (out && !(await this.#storing(() => (out as Appender).append(bytes).then(() => true)))) {
        await close();
        out = undefined;
        await this.#discard(file.sha256);
      }
      await consumer.bytes(bytes);
    };
    try {
      if (received < resumeAt || (out && out.size !== received))
        throw new HashMismatch("a stored file changes", { sha256: file.sha256 });
      const url = this.url + file.path;
      const mode: RequestCache = cache ? "no-store" : "default";
      const options = { fetch, signal, from: resumeAt, nbytes: file.nbytes, cache: mode };
      for await (const piece of download(url, options)) {
        received += piece.length;
        this.networkBytes += piece.length;
        this.fileBytes += piece.length;
        if (received > file.nbytes) throw mismatch(file, url, "is longer than pack.json says");
        for (let at = 0; at < piece.length; ) {
          const take = Math.min(piece.length - at, staging.length - fill);
          staging.set(piece.subarray(at, at + take), fill);
          fill += take;
          at += take;
          if (fill === staging.length) await flush();
        }
        onBytes?.();
      }
      await flush();
      if (hasher.digest() !== file.sha256)
        throw mismatch(file, url, "is not the file that was packed");
    } catch (error) {
      this.fileBytes -= received;
      // What has arrived is kept for the next time.
      if (out && fill > 0) await out.append(staging.subarray(0, fill)).catch(() => {});
      await close();
      throw signal.aborted ? abortError(signal) : error;
    }
    if (await close()) await this.#storing(() => (cache as PackCache).complete(file.sha256));
  }

  /** Runs a write to the store; a full or broken store ends caching, never the load. */
  async #storing<T>(write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await write();
    } catch (error) {
      const full = (error as Error).name === "QuotaExceededError";
      this.cacheProblem ??= full
        ? "the browser's storage for this site is full"
        : `the browser's storage failed: ${(error as Error).message}`;
      return undefined;
    }
  }
}

function mismatch(file: PackFile, url: string, what: string): HashMismatch {
  return new HashMismatch(`${url} ${what} (SHA-256 differs): upload the pack again`, {
    file: file.path,
    expected: file.sha256,
  });
}
