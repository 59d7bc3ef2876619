/**
 * Two engines that call each other over one link: typed calls both ways, errors that keep their class, and certainty
 * about the end. Each side says `{hello, card}` first; a call and its answers are the worker protocol's messages, wrapped in
 * `{ask}` and `{answer}`; `{beat}` says that a side lives, `{bye}` that it leaves.
 */
import {
  abortError,
  fromWire,
  PeerLost,
  PeerTimeout,
  ProtocolMismatch,
  throwIfAborted,
  toWire,
  type WireError,
} from "../errors.js";
import { type CallOptions, type Calls, connectClient } from "../worker/client.js";
import { dispatch, type Handlers } from "../worker/dispatch.js";
import type { Args, Event, MethodMap, Port, Result } from "../worker/protocol.js";
import type { Card } from "./address.js";
import type { Link } from "./link.js";

export const PEER_VERSION = 2;

type Message =
  | { hello: number; card: Card }
  | { ask: unknown }
  | { answer: unknown }
  | { beat: true }
  | { bye: WireError };

export interface PeerCallOptions<E = unknown, R = unknown> extends CallOptions<E> {
  /** Milliseconds until the call is given up and cancelled there; without it, as long as the link lives. */
  timeoutMs?: number | undefined;
  /** Gets the answer to a call that had been given up when it came. */
  late?: ((result: R) => void) | undefined;
}

type PeerCalls<M extends MethodMap> = {
  [K in keyof M]: (
    args: Args<M[K]>,
    options?: PeerCallOptions<Event<M[K]>, Result<M[K]>>,
  ) => Promise<Result<M[K]>>;
};

export interface PeerOptions<M extends MethodMap> {
  /** Who this side is. */
  card: Card;
  /** What this side answers. */
  handlers: Handlers<M>;
  /** Milliseconds until the other side must have greeted. */
  greetMs?: number;
  /** Milliseconds between two heartbeats. */
  beatMs?: number;
}

const GREET_MS = 10_000;
const BEAT_MS = 2000;
/** Beats without a word after which the other side is lost. They are counted, so that a machine's sleep is none. */
const SILENT_BEATS = 5;

export class Peer<M extends MethodMap> {
  #silent = 0;
  #closed = false;
  #resolveClosed: (error: Error) => void = () => {};
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #asking: Half;
  readonly #answering: Half;
  readonly #abortHandlers: (error: Error) => void;
  #greet: (hello: { hello: number; card: Card }) => void = () => {};
  #card: Card | undefined;
  #call: PeerCalls<M> | undefined;
  #rejectCalls: (error: Error) => void = () => {};
  /** Resolves with the reason when the link has ended, by either side. */
  readonly closed: Promise<Error>;

  private constructor(
    private readonly link: Link,
    private readonly options: PeerOptions<M>,
  ) {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#asking = new Half((ask, transfer) => this.#post({ ask }, transfer));
    this.#answering = new Half((answer, transfer) => this.#post({ answer }, transfer));
    this.#abortHandlers = dispatch<M>(this.#answering, options.handlers);
    this.#timer = setInterval(() => this.#beat(), options.beatMs ?? BEAT_MS);
    (this.#timer as { unref?: () => void }).unref?.();
    link.port.addEventListener("message", ({ data }) => this.#receive(data as Message));
    link.lost.then((error) => this.#end(error));
    link.port.start?.();
  }

  /**
   * Resolves when both sides have greeted. When it rejects the link is closed.
   *
   * @throws ProtocolMismatch, PeerTimeout, PeerLost, AbortError
   */
  static async connect<M extends MethodMap>(
    link: Link,
    options: PeerOptions<M>,
    signal?: AbortSignal,
  ): Promise<Peer<M>> {
    const peer = new Peer(link, options);
    try {
      await peer.#connect(signal);
      return peer;
    } catch (error) {
      peer.close(error as Error);
      throw error;
    }
  }

  /** Who is at the other end. */
  get card(): Card {
    return this.#card as Card;
  }

  /** What the other side offers. After the end every call, under way or new, rejects with PeerLost. */
  get call(): PeerCalls<M> {
    return this.#call as PeerCalls<M>;
  }

  /** Says goodbye. Calls under way reject on both sides, and the signals of those that are answered abort. */
  close(reason: Error = new PeerLost("the link was closed")): void {
    if (this.#closed) return;
    this.#post({ bye: toWire(reason) });
    this.#end(reason);
  }

  async #connect(signal: AbortSignal | undefined): Promise<void> {
    const { card, greetMs = GREET_MS } = this.options;
    const greeting = new Promise<{ hello: number; card: Card }>((resolve) => {
      this.#greet = resolve;
    });
    const failed = this.closed.then((error) => Promise.reject(error));
    failed.catch(() => {});
    this.#post({ hello: PEER_VERSION, card });
    const greeted = await withDeadline(
      Promise.race([greeting, failed]),
      greetMs,
      "the other engine did not greet",
      signal,
    );
    if (greeted.hello !== PEER_VERSION) {
      throw new ProtocolMismatch(
        `the other engine speaks peer protocol ${greeted.hello}, this one ${PEER_VERSION}: use one version of webbuild`,
        { here: PEER_VERSION, there: greeted.hello },
      );
    }
    if (typeof (greeted.card as Partial<Card> | undefined)?.engine !== "string") {
      throw new PeerLost("the other engine's greeting does not say who it is");
    }
    this.#card = greeted.card;
    const client = await connectClient<M>(this.#asking, failed);
    this.#rejectCalls = client.close;
    this.#call = withDeadlines<M>(client.call);
  }

  #post(message: Message, transfer?: Transferable[]): void {
    if (!this.#closed) this.link.port.postMessage(message, transfer);
  }

  /** What is no message of this protocol ends the link, and nothing else. */
  #receive(message: Message): void {
    if (this.#closed) return;
    this.#silent = 0;
    try {
      this.#read(message);
    } catch (cause) {
      this.close(new PeerLost("the other engine sent what is no message", {}, { cause }));
    }
  }

  #read(message: Message): void {
    if ("ask" in message) this.#answering.receive(message.ask);
    else if ("answer" in message) this.#asking.receive(message.answer);
    else if ("bye" in message) this.#end(lost(fromWire(message.bye)));
    else if ("hello" in message && !this.#card) {
      // Once more: what was said before the other side had opened its end was not heard.
      this.#post({ hello: PEER_VERSION, card: this.options.card });
      this.#greet(message);
    }
  }

  #beat(): void {
    if (++this.#silent > SILENT_BEATS) {
      this.#end(new PeerLost("the other engine has been silent for too long"));
    } else {
      this.#post({ beat: true });
    }
  }

  #end(reason: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    const error = lost(reason);
    this.#rejectCalls(error);
    this.#abortHandlers(error);
    this.#resolveClosed(reason);
    this.link.close();
  }
}

const lost = (reason: Error): PeerLost =>
  reason instanceof PeerLost
    ? reason
    : new PeerLost(`the link has ended: ${reason.message}`, {}, { cause: reason });

/** One direction of a link, as a port. */
class Half implements Port {
  readonly #listeners: ((event: { data: unknown }) => void)[] = [];

  constructor(readonly postMessage: (message: unknown, transfer?: Transferable[]) => void) {}

  addEventListener(_: "message", listener: (event: { data: unknown }) => void): void {
    this.#listeners.push(listener);
  }

  receive(data: unknown): void {
    for (const listener of this.#listeners) listener({ data });
  }
}

/** Calls that can be given up: an abort or a deadline rejects here at once, whether the other side still answers or not. */
function withDeadlines<M extends MethodMap>(calls: Calls<M>): PeerCalls<M> {
  return new Proxy({} as PeerCalls<M>, {
    get:
      (_, method) =>
      async (args: never, { signal, timeoutMs, late, ...options }: PeerCallOptions = {}) => {
        throwIfAborted(signal);
        const cancelling = new AbortController();
        const call = calls[String(method)] as (args: never, options: CallOptions) => Promise<never>;
        const answer = call(args, { ...options, signal: cancelling.signal });
        try {
          return await withDeadline(answer, timeoutMs, `no answer to ${String(method)}`, signal);
        } catch (error) {
          cancelling.abort(error);
          answer.then(late, () => {});
          throw error;
        }
      },
  });
}

async function withDeadline<T>(
  promise: Promise<T>,
  timeoutMs: number | undefined,
  what: string,
  signal: AbortSignal | undefined,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort = () => {};
  const ended = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortError(signal));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
    if (timeoutMs === undefined) return;
    timer = setTimeout(() => reject(new PeerTimeout(`${what} in ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
