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
const PIECE_BYTES = 2 << 20;

/** Tokens that are computed at a time for another engine: so many are sent while the next ones are computed. */
const COMPUTE_TOKENS = 512;

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
    {
      end,
      reserve,
      ...times
    }: { end: number; reserve: boolean; timeoutMs: number; roomMs?: number },
    { owner, signal }: { owner: unknown; signal: AbortSignal },
  ): Promise<PrepRecvResult> {
    const wanted = prompt.subarray(0, position(end, prompt.length, "end"));
    const tokens = prompt.length;
    if (!reserve) return { kvAddr: null, matched: this.reservations.matched(wanted), tokens };
    const reserved = await this.reservations.reserve(wanted, { ...times, owner, signal });
    return { ...reserved, tokens };
  }

  /**
   * What to send of the positions that an address waits for, so that others may send the rest: a page with a cut in it is sent with
   * what is behind the cut.
   *
   * @throws InvalidRequestError
   */
  part(
    prompt: Int32Array,
    address: KvAddress,
    request: { begin: number; end: number },
  ): { begin: number; end: number } {
    const begin = position(request.begin, prompt.length, "begin");
    const end = position(request.end, prompt.length, "end");
    for (const [param, at] of Object.entries({ begin, end })) {
      if (at < address.begin || at > address.end)
        throw new InvalidRequestError(
          `kvAddr waits for positions ${address.begin} to ${address.end}, and ${param} is ${at}`,
          { param },
        );
    }
    if (begin > end)
      throw new InvalidRequestError(`begin, ${begin}, is behind end, ${end}`, { param: "begin" });
    return { begin, end: end === address.end ? end : end - (end % this.kv.pageSize) };
  }

  /**
   * Keys and values of `prompt[begin, end)`, computed as far as they are not cached, in pieces of whole pages; the first
   * page is the one that `begin` is in. What is computed is sent while the next part is being computed.
   */
  async *pieces(
    prompt: Int32Array,
    { begin, end }: { begin: number; end: number },
    signal: AbortSignal,
  ): AsyncGenerator<{ page: number; bytes: Uint8Array }> {
    const { kv, store, keeper } = this;
    const { pageSize } = kv;
    const most = Math.max(1, Math.floor(PIECE_BYTES / store.page.bytes));
    const last = begin < end ? kv.pagesOf(end) : 0;
    let page = Math.floor(begin / pageSize);
    let sequence = this.#hold(this.#cached(prompt.subarray(0, end)));
    let coming: Promise<Sequence> | undefined;
    const computeNext = () => {
      const next = sequence.length + COMPUTE_TOKENS;
      const computing = this.compute(
        prompt.subarray(0, Math.min(end, next - (next % pageSize))),
        signal,
      );
      computing.catch(() => {}); // awaited after what is being read
      return computing;
    };
    try {
      while (page < last) {
        const ready = sequence.length === end ? last : Math.floor(sequence.length / pageSize);
        if (page < ready) {
          const pages = sequence.pages.slice(page, Math.min(page + most, ready));
          const reading = store.readPages(kv.pool, pages);
          if (sequence.length < end) coming ??= computeNext();
          const bytes = await reading;
          if (sequence.pages.length > 0) {
            yield { page, bytes };
            page += pages.length;
            continue;
          }
          // A request needed the pages, and got them.
        } else {
          const further = await (coming ?? computeNext());
          coming = undefined;
          keeper.letGo(sequence);
          sequence = this.#hold(further);
        }
        if (sequence.pages.length === 0) {
          sequence = this.#hold(this.#cached(prompt.subarray(0, end)));
        }
      }
    } finally {
      keeper.letGo(sequence);
      coming?.then(
        (unused) => unused.release(),
        () => {},
      );
    }
  }

  /** What is cached of these tokens. */
  #cached(tokens: Int32Array): Sequence {
    const sequence = this.kv.take(0) as Sequence;
    sequence.adopt(this.kv.tree.match(tokens));
    return sequence;
  }

  #hold(sequence: Sequence): Sequence {
    this.keeper.keep(sequence, () => this.keeper.letGo(sequence));
    return sequence;
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
