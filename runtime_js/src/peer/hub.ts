/** The engines that this one is linked with, by their ids. */
import { InvalidRequestError, PeerLost, PeerUnknown } from "../errors.js";
import type { Handlers } from "../worker/dispatch.js";
import type { PeerMethods } from "../worker/protocol.js";
import type { Address, Card } from "./address.js";
import { announce, joinEngine } from "./directory.js";
import { type Link, portLink } from "./link.js";
import { Peer } from "./peer.js";
import { socketLink } from "./socket.js";

export class Hub {
  readonly #peers = new Map<string, Peer<PeerMethods>>();
  readonly #links = new Set<Peer<PeerMethods>>();
  #shared: (() => void) | undefined;
  #closed: Error | undefined;

  /**
   * @param card of this engine
   * @param handlers what it answers to the other end of a link; `owner` stands for the link
   * @param lost is called when a link has ended
   */
  constructor(
    readonly card: Card,
    private readonly handlers: (owner: object) => Handlers<PeerMethods>,
    private readonly lost: (owner: object) => void,
  ) {}

  /** Links that are open. */
  get size(): number {
    return this.#links.size;
  }

  /** @throws InvalidRequestError, PeerTimeout, PeerLost, ProtocolMismatch, AbortError */
  async connect(address: Address, signal: AbortSignal): Promise<Card> {
    if ("port" in address) return this.#add(portLink(address.port), signal);
    if ("tab" in address) return this.#add(await joinEngine(address.tab), signal);
    return this.#add(await socketLink(address.relay, address.timeoutMs, signal), signal);
  }

  async #add(link: Link, signal?: AbortSignal): Promise<Card> {
    const owner = {};
    const { card } = this;
    const peer = await Peer.connect(link, { card, handlers: this.handlers(owner) }, signal);
    const { engine } = peer.card;
    if (this.#closed || engine === card.engine) {
      peer.close(this.#closed);
      if (this.#closed) throw this.#closed;
      throw new InvalidRequestError("an engine can't be linked with itself", { param: "to" });
    }
    this.#peers.set(engine, peer);
    this.#links.add(peer);
    peer.closed.then(() => {
      this.#links.delete(peer);
      if (this.#peers.get(engine) === peer) {
        const [other] = this.#linksTo(engine);
        if (other) this.#peers.set(engine, other);
        else this.#peers.delete(engine);
      }
      this.lost(owner);
    });
    return peer.card;
  }

  /** The link to an engine. @throws PeerUnknown */
  get(engine: string): Peer<PeerMethods> {
    const peer = this.#peers.get(engine);
    if (peer) return peer;
    throw new PeerUnknown(
      `this engine has no link to ${engine}: make one with peers.join (or it has ended)`,
      { engine },
    );
  }

  /** Lets other tabs of this origin find this engine and link with it. */
  share(): void {
    this.#shared ??= announce(this.card, (link) => {
      this.#add(link).catch(() => {}); // whoever asked is told by its own end
    });
  }

  unshare(): void {
    this.#shared?.();
    this.#shared = undefined;
  }

  /** Ends the links to an engine: both may have made one. */
  leave(engine: string): void {
    const reason = new PeerLost("the other engine ended the link");
    for (const peer of this.#linksTo(engine)) peer.close(reason);
  }

  #linksTo(engine: string): Peer<PeerMethods>[] {
    return [...this.#links].filter((peer) => peer.card.engine === engine);
  }

  /** Ends all links. */
  close(error: Error): void {
    this.#closed = error;
    this.unshare();
    for (const peer of this.#links) peer.close(error);
  }
}
