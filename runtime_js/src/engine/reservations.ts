/**
 * KV pages that are to be filled by another engine: reserved when it is told where to send, written as its pieces arrive, put
 * into the prefix cache when all are there, and held for whoever goes on from them. One that is not filled or not used in
 * time gives its pages back, as does one whose sender goes away.
 */
import { KvRefused, throwIfAborted } from "../errors.js";
import type { PagePool } from "../kv/page_pool.js";
import type { Sequence } from "../kv/sequence.js";
import { fits } from "./admission.js";
import type { KvMemory } from "./kv_memory.js";

/** Where keys and values are to be sent: plain data, which may go through any hands. */
export interface KvAddress {
  /** The engine that waits for them. */
  engine: string;
  /** Names the reservation there. */
  transfer: string;
  /** The positions that it waits for: those before are cached there. */
  begin: number;
  end: number;
}

/** Pages of one transfer; what `Executor.readPages` gives. */
export interface KvPiece {
  transfer: string;
  /** Which page of the sequence it begins with. */
  page: number;
  bytes: Uint8Array;
}

/** What pages are written with: the executor. */
export interface PageWriter {
  readonly page: { readonly bytes: number };
  writePages(pool: PagePool, pages: readonly number[], content: Uint8Array): void;
}

/** Who counts pages: the scheduler. */
export interface PageKeeper {
  readonly kv: KvMemory;
  /** Whether running requests can do without so many pages, and without those of the sequence. */
  spares(pages: number, sequence: Sequence): boolean;
  /** The sequence's pages are in use until `letGo`; `drop` is called when a request can't do without them. */
  keep(sequence: Sequence, drop: () => void): void;
  letGo(sequence: Sequence): void;
}

interface Reservation {
  address: KvAddress;
  /** Those whose keys and values it is about: all up to `address.end`. */
  tokens: Int32Array;
  /** Its pages, cached ones first. */
  sequence: Sequence;
  /** Pages of the sequence that have not come. */
  missing: Set<number>;
  /** Whether somebody sends, or did. */
  opened?: boolean;
  /** Whose links it depends on: who asked for it, then whoever sends. */
  owners: unknown[];
  timer: ReturnType<typeof setTimeout>;
}

/** Milliseconds between two looks for room. */
const RETRY_MS = 10;

export class Reservations {
  readonly #all = new Map<string, Reservation>();
  /** Why those that were dropped are gone, the latest ones, for the message. */
  readonly #gone = new Map<string, string>();

  /** @param engine this engine's id */
  constructor(
    private readonly engine: string,
    private readonly keeper: PageKeeper,
    private readonly writer: PageWriter,
  ) {}

  /** The pages of the device that there is now. */
  get kv(): KvMemory {
    return this.keeper.kv;
  }

  /** Reservations that hold pages. */
  get size(): number {
    return this.#all.size;
  }

  /** How many of these tokens are cached. */
  matched(tokens: Int32Array): number {
    const sequence = this.#match(tokens);
    const { length } = sequence;
    sequence.release();
    return length;
  }

  /**
   * Reserves the pages of `tokens` that are not cached, when there is room.
   *
   * @param timeoutMs how long it may wait for its content and for whoever uses it
   * @param roomMs how long it may wait for room; by default as long
   * @throws KvRefused when there is no room in that time, or never will be: then at once · AbortError
   */
  async reserve(
    tokens: Int32Array,
    request: { timeoutMs: number; roomMs?: number; owner: unknown; signal: AbortSignal },
  ): Promise<{ kvAddr: KvAddress; matched: number }> {
    const { timeoutMs, roomMs = timeoutMs, owner, signal } = request;
    const deadline = performance.now() + roomMs;
    while (true) {
      throwIfAborted(signal);
      const sequence = this.#match(tokens);
      const matched = sequence.length;
      // A page that is cached in part is sent whole, into a page of its own.
      if (matched < tokens.length) sequence.truncate(matched - (matched % this.kv.pageSize));
      const first = sequence.pages.length;
      const lacking = tokens.length - sequence.length;
      const needed = this.kv.pagesOf(tokens.length) - first;
      if (this.keeper.spares(needed, sequence) && this.kv.reserve(sequence, lacking)) {
        return { kvAddr: this.#add(tokens, sequence, matched, first, owner, timeoutMs), matched };
      }
      sequence.release();
      if (!this.#mayEverFit(needed, first)) {
        const { pages } = this.kv.pool;
        throw new KvRefused(
          `no room for the keys and values of ${lacking} tokens: ${pages} pages are too few for them and a request, whatever runs`,
        );
      }
      if (performance.now() > deadline) {
        throw new KvRefused(`no room for the keys and values of ${lacking} tokens in ${roomMs} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Whether there would be room if nothing else ran or waited. */
  #mayEverFit(needed: number, cached: number): boolean {
    const { pages } = this.kv.pool;
    return fits(1, { available: pages - cached, promised: 0, needed });
  }

  /** What is cached of them. Whoever asks again and again, or only asks, has others' prefixes evicted no sooner. */
  #match(tokens: Int32Array): Sequence {
    const sequence = this.kv.take(0) as Sequence;
    sequence.adopt(this.kv.tree.match(tokens, false));
    return sequence;
  }

  #add(
    tokens: Int32Array,
    sequence: Sequence,
    begin: number,
    first: number,
    owner: unknown,
    timeoutMs: number,
  ): KvAddress {
    const transfer = crypto.randomUUID();
    const address = { engine: this.engine, transfer, begin, end: tokens.length };
    const expire = () => this.drop(transfer, `it was not used in ${timeoutMs} ms`);
    const timer = setTimeout(expire, timeoutMs);
    (timer as { unref?: () => void }).unref?.();
    this.keeper.keep(sequence, () => this.drop(transfer, "a running request needed its pages"));
    const missing = new Set(sequence.pages.keys());
    for (let page = 0; page < first; page++) missing.delete(page);
    this.#all.set(transfer, { address, tokens, sequence, missing, owners: [owner], timer });
    return address;
  }

  /**
   * Pages will come over the link of `owner`, and nobody else's unless that is opened too: if it ends before, they are given back.
   *
   * @throws KvRefused
   */
  open(transfer: string, owner: unknown): void {
    const reservation = this.#get(transfer);
    const { opened, owners } = reservation;
    reservation.owners = opened ? [...owners, owner] : [owner];
    reservation.opened = true;
  }

  /** A piece has arrived. @throws KvRefused */
  put({ transfer, page, bytes }: KvPiece): void {
    const { sequence, missing } = this.#get(transfer);
    const count = bytes.length / this.writer.page.bytes;
    // More pages than are missing would never end.
    const whole = Number.isInteger(count) && count > 0 && count <= missing.size;
    const pages = whole ? Array.from({ length: count }, (_, i) => page + i) : [];
    if (!whole || !pages.every((each) => missing.has(each))) {
      throw new KvRefused(`${bytes.length} bytes do not fit at page ${page} of this transfer`);
    }
    this.writer.writePages(this.kv.pool, sequence.pages.slice(page, page + count), bytes);
    for (const each of pages) missing.delete(each);
  }

  /**
   * Who sends over the link of `owner` has sent its part. When all have, the tokens are cached from now on, and held until
   * {@link claim} or the time is over.
   *
   * @throws KvRefused
   */
  finish(transfer: string, owner: unknown): void {
    const { sequence, missing, owners, tokens } = this.#get(transfer);
    const at = owners.indexOf(owner);
    if (at >= 0) owners.splice(at, 1);
    if (missing.size > 0 || sequence.length === tokens.length) return;
    sequence.length = tokens.length;
    this.kv.keep(sequence, tokens);
  }

  #get(transfer: string): Reservation {
    const reservation = this.#all.get(transfer);
    if (reservation) return reservation;
    const why = this.#gone.get(transfer) ?? "it is not of this engine";
    throw new KvRefused(`the reserved pages are gone: ${why}`, { transfer });
  }

  /** Who continues these tokens has taken what was held for them: finished reservations of their beginning let go. */
  claim(tokens: Int32Array): void {
    for (const { address, tokens: held, missing } of this.#all.values()) {
      const isBeginning = held.length <= tokens.length && held.every((t, i) => t === tokens[i]);
      if (missing.size === 0 && isBeginning) this.drop(address.transfer, "it was used");
    }
  }

  /** Gives the pages back; what is cached stays. Nothing happens when they are gone already. */
  drop(transfer: string, why: string): void {
    const reservation = this.#all.get(transfer);
    if (!reservation) return;
    this.#all.delete(transfer);
    clearTimeout(reservation.timer);
    this.keeper.letGo(reservation.sequence);
    this.#gone.set(transfer, why);
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > 100 && oldest !== undefined) this.#gone.delete(oldest);
  }

  /** A link has ended: what waits for content from it waits no more. */
  dropOwned(owner: unknown): void {
    for (const { address, owners } of [...this.#all.values()]) {
      if (owners.includes(owner)) this.drop(address.transfer, "its sender went away");
    }
  }

  /** Lets go of everything. */
  clear(why: string): void {
    for (const transfer of [...this.#all.keys()]) this.drop(transfer, why);
  }
}
