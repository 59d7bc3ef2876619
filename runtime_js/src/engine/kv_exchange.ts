/** Keys and values that go from one engine to another: this engine's part, whichever side it is on. */
import { InvalidRequestError } from "../errors.js";
import type { PagePool } from "../kv/page_pool.js";
import type { Sequence } from "../kv/sequence.js";
import type { KvMemory } from "./kv_memory.js";
import { type KvAddress, type PageKeeper, type PageWriter, Reservations } from "./reservations.js";

export interface PrepRecvResult {
  /** Where to send; null when it was only asked how much is cached. */
  kvAddr: KvAddress | null;
  /** Tokens before `end` that are cached here. */
  matched: number;
  /** Tokens of the prompt. */
  tokens: number;
}

/** What pages are read and written with: the executor. */
export interface PageStore extends PageWriter {
  readPages(pool: PagePool, pages: readonly number[]): Promise<Uint8Array>;
}

/** Bytes of a piece, unless a page has more. */
const PIECE_BYTES = 512 << 10;

export class KvExchange {
  readonly reservations: Reservations;

  /**
   * @param engine this engine's id
   * @param compute has the keys and values of tokens computed, and returns a sequence that holds them
   */
  constructor(
    engine: string,
    private readonly keeper: PageKeeper,
    private readonly store: PageStore,
    private readonly compute: (tokens: Int32Array, signal: AbortSignal) => Promise<Sequence>,
  ) {
    this.reservations = new Reservations(engine, keeper, store);
  }

  /** The pages of the device that there is now. */
  private get kv(): KvMemory {
    return this.keeper.kv;
  }

  /**
   * Gets ready to receive keys and values of `prompt[…, end)`.
   *
   * @param reserve false: only says what is cached
   * @param owner whose end also ends the reservation
   * @throws InvalidRequestError, KvRefused, AbortError
   */
  async prepRecv(
    prompt: Int32Array,
    { end, reserve, timeoutMs }: { end: number; reserve: boolean; timeoutMs: number },
    { owner, signal }: { owner: unknown; signal: AbortSignal },
  ): Promise<PrepRecvResult> {
    const wanted = prompt.subarray(0, position(end, prompt.length, "end"));
    const tokens = prompt.length;
    if (!reserve) return { kvAddr: null, matched: this.reservations.matched(wanted), tokens };
    const reserved = await this.reservations.reserve(wanted, { timeoutMs, owner, signal });
    return { ...reserved, tokens };
  }

  /**
   * Keys and values of `prompt[begin, end)`, computed as far as they are not cached, in pieces of whole pages; the first
   * page is the one that `begin` is in.
   */
  async *pieces(
    prompt: Int32Array,
    { begin, end }: { begin: number; end: number },
    signal: AbortSignal,
  ): AsyncGenerator<{ page: number; bytes: Uint8Array }> {
    const { kv, store } = this;
    const sequence = await this.#held(prompt.subarray(0, end), signal);
    try {
      const count = Math.max(1, Math.floor(PIECE_BYTES / store.page.bytes));
      const last = kv.pagesOf(end);
      let page = Math.floor(begin / kv.pageSize);
      while (begin < end && page < last) {
        const pages = sequence.pages.slice(page, Math.min(page + count, last));
        yield { page, bytes: await store.readPages(kv.pool, pages) };
        page += count;
      }
    } finally {
      sequence.release();
    }
  }

  /** A sequence that holds the keys and values of these tokens. */
  async #held(tokens: Int32Array, signal: AbortSignal): Promise<Sequence> {
    const sequence = this.kv.take(0) as Sequence;
    sequence.adopt(this.kv.tree.match(tokens));
    if (sequence.length === tokens.length) return sequence;
    sequence.release();
    return this.compute(tokens, signal);
  }
}

/** A position of a prompt of `length` tokens; negative ones count from its end. @throws InvalidRequestError */
export function position(value: number, length: number, param: string): number {
  const at = value < 0 ? length + value : value;
  if (!Number.isSafeInteger(value) || at < 0 || at > length) {
    throw new InvalidRequestError(
      `${param} is ${value}, which is no position of a prompt of ${length} tokens`,
      { param },
    );
  }
  return at;
}
