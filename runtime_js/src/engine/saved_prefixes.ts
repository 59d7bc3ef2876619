/** Cached prefixes between visits: from KV pages to a file of the store, and from there into the prefix cache. */
import { OutOfMemory, throwIfAborted } from "../errors.js";
import { Sequence } from "../kv/sequence.js";
import type { KvFormat, KvStore, SavedPrefix } from "../store/kv_store.js";
import type { Executor } from "./executor.js";
import type { Scheduler } from "./scheduler.js";

/** Bytes that are under way between GPU and store at a time, if a page is not larger. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** How often a prompt that is to be saved is computed while other requests take its pages. */
const MOST_TRIES = 4;

/** Bytes given to the GPU queue before waiting for it, so that its staging memory stays bounded. */
const QUEUE_BYTES = 64 * 2 ** 20;

export class SavedPrefixes {
  readonly #format: KvFormat;
  readonly #chunk: number;
  /** Settled when no other save or restore is under way: one at a time holds pages. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly executor: Executor,
    private readonly scheduler: Scheduler,
    model: Pick<KvFormat, "pack" | "tier">,
    chunkBytes = CHUNK_BYTES,
  ) {
    const { bytes, dtype } = executor.page;
    this.#format = { ...model, dtype, pageSize: scheduler.kv.pageSize, pageBytes: bytes };
    this.#chunk = Math.max(1, Math.floor(chunkBytes / bytes));
  }

  /**
   * Saves a prefix.
   *
   * @param compute has the prefix cache hold these tokens; called again when other requests have evicted some by the time
   *   that it returns
   * @throws OutOfMemory when they always do, or the cache may not keep so many · StorageError, DeviceLostError, AbortError, and what `compute` throws
   */
  async save(
    store: KvStore,
    name: string,
    tokens: Int32Array,
    compute: () => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<SavedPrefix> {
    const { kv } = this.scheduler;
    const most = kv.pagesOf(tokens.length) > kv.tree.budget ? 0 : MOST_TRIES;
    for (let tries = 0; tries < most; tries++) {
      await compute();
      const sequence = this.#cached(tokens);
      if (sequence.length < tokens.length) {
        sequence.release();
        continue;
      }
      // Held from now on, so that nothing is evicted while others have their turn.
      return this.scheduler.hold(sequence, () =>
        this.#inTurn(() => store.save(name, this.#format, tokens, this.#read(sequence, signal))),
      );
    }
    throw new OutOfMemory(
      "the prefix cache does not keep this prompt until it is saved: save it when fewer requests run, or load with larger prefixCache.tokens",
    );
  }

  async *#read({ pool, pages }: Sequence, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < pages.length; at += this.#chunk) {
      throwIfAborted(signal);
      yield await this.executor.readPages(pool, pages.slice(at, at + this.#chunk));
    }
  }

  /**
   * Puts a saved prefix into the prefix cache; where running requests or its budget leave too few pages, its beginning.
   *
   * @returns what is cached of it now; undefined when nothing is saved under that name
   * @throws StaleKvFile, InvalidKvFile: then nothing of it is cached · DeviceLostError
   */
  restore(store: KvStore, name: string): Promise<SavedPrefix | undefined> {
    return this.#inTurn(async () => {
      const file = await store.open(name, this.#format);
      if (!file) return undefined;
      try {
        const { kv } = this.scheduler;
        const sequence = this.#cached(file.ids);
        const whole = sequence.length - (sequence.length % kv.pageSize);
        sequence.truncate(whole);
        const missing = file.tokens - whole;
        if (!kv.reserve(sequence, missing)) kv.reserve(sequence, kv.pool.free * kv.pageSize);
        let tokens = Math.min(file.tokens, sequence.pages.length * kv.pageSize);
        await this.scheduler.hold(sequence, async () => {
          await this.#write(sequence, whole / kv.pageSize, file.pages(this.#chunk));
          const failure = this.executor.gpu.failure();
          if (failure) throw failure; // the next device has none of it
          sequence.length = tokens;
          kv.keep(sequence, file.ids.subarray(0, tokens));
          const kept = this.#cached(file.ids.subarray(0, tokens), false);
          tokens = kept.length;
          kept.release();
        });
        return { name, tokens, bytes: file.bytes };
      } finally {
        file.close();
      }
    });
  }

  /** Writes a sequence's pages, but for the first ones, which are there. */
  async #write(
    { pool, pages }: Sequence,
    there: number,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { executor } = this;
    const { pageBytes } = this.#format;
    let at = 0;
    let queued = 0;
    for await (const bytes of content) {
      const end = at + bytes.length / pageBytes;
      const first = Math.min(Math.max(at, there), end);
      const some = pages.slice(first, end);
      const from = (first - at) * pageBytes;
      const piece = bytes.subarray(from, from + some.length * pageBytes);
      executor.writePages(pool, some, piece);
      queued += piece.length;
      at = end;
      if (queued < QUEUE_BYTES) continue;
      queued = 0;
      await executor.idle();
    }
  }

  /** A sequence with what is cached of these tokens. */
  #cached(tokens: Int32Array, uses = true): Sequence {
    const { pool, tree, pageSize } = this.scheduler.kv;
    const sequence = new Sequence(pool, pageSize, -1);
    sequence.adopt(tree.match(tokens, uses));
    return sequence;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
