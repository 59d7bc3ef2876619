/** `engine.peers`: other engines, in other tabs and on other machines. */
import type { Calls } from "../worker/client.js";
import type { RequestOptions } from "./chat.js";
import { LONGEST_MS } from "./fields.js";
import { RemoteEngine } from "./remote_engine.js";

/** An engine that another tab shares. */
export interface SharedEngine {
  id: string;
  /** The model's name. */
  model: string;
}

export interface JoinOptions extends RequestOptions {
  /** With a relay: milliseconds to wait for the other side. Default 60,000. */
  timeoutMs?: number | undefined;
}

const FIND_MS = 200;
const JOIN_MS = 60_000;

/**
 * Who is linked with an engine may use it: ask it questions, and put keys and values into its cache. Tabs of this origin
 * are trusted as the page itself; a relay's room is open to whoever knows its token.
 */
export class Peers {
  constructor(private readonly call: Calls) {}

  /** Lets other tabs of this origin find this engine and link with it. */
  async share(): Promise<void> {
    await this.call.sharePeer(true);
  }

  /** Ends {@link share}; links stay. */
  async unshare(): Promise<void> {
    await this.call.sharePeer(false);
  }

  /** Engines that other tabs of this origin share and that answer in time. */
  async find({ ms = FIND_MS }: { ms?: number } = {}): Promise<SharedEngine[]> {
    const cards = await this.call.findPeers(ms);
    return cards.map(({ engine, model }) => ({ id: engine, model }));
  }

  /**
   * Links this engine with another one, in both directions.
   *
   * @param where an engine from {@link find}; or a relay's room, `ws://HOST:PORT/relay/TOKEN` as `webbuild serve --relay`
   *   has it, that both sides join. The token, 16 to 128 of `A-Z a-z 0-9 - _`, is the key to both engines: make it a random one.
   * @throws PeerTimeout when nobody is there · PeerLost when there is no such relay, or the room is full · ProtocolMismatch,
   *   InvalidRequestError, AbortError
   */
  async join(
    where: SharedEngine | string | URL,
    { timeoutMs = JOIN_MS, signal }: JoinOptions = {},
  ): Promise<RemoteEngine> {
    const isRelay = typeof where === "string" || where instanceof URL;
    const address = isRelay
      ? { relay: String(where), timeoutMs: Math.min(timeoutMs, LONGEST_MS) }
      : { tab: where.id };
    const { engine, model } = await this.call.connectPeer(address, { signal });
    return new RemoteEngine(this.call, engine, model);
  }
}
