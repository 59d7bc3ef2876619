/** Which engines other tabs of this origin offer: one BroadcastChannel on which who looks asks, and who offers answers. */

import type { Card } from "./address.js";
import { broadcastLink } from "./broadcast.js";
import type { Link } from "./link.js";
import { PEER_VERSION } from "./peer.js";

const CHANNEL = `webbuild.engines.${PEER_VERSION}`;

type Notice = { find: true } | { here: Card } | { join: string; pair: string };

/**
 * Offers an engine to other tabs.
 *
 * @param accept gets a link to each that joins
 * @returns ends the offer; links stay
 */
export function announce(card: Card, accept: (link: Link) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  const answer = () => channel.postMessage({ here: card } satisfies Notice);
  channel.addEventListener("message", async ({ data }: MessageEvent<Notice>) => {
    if ("find" in data) answer();
    else if ("join" in data && data.join === card.engine)
      accept(await broadcastLink(data.pair, "b"));
  });
  return () => channel.close();
}

/** Engines that other tabs offer and that answer within `ms`. A channel hears no message of its own. */
export async function findEngines(ms: number): Promise<Card[]> {
  const channel = new BroadcastChannel(CHANNEL);
  const found = new Map<string, Card>();
  channel.addEventListener("message", ({ data }: MessageEvent<Notice>) => {
    if ("here" in data) found.set(data.here.engine, data.here);
  });
  channel.postMessage({ find: true } satisfies Notice);
  await new Promise((resolve) => setTimeout(resolve, ms));
  channel.close();
  return [...found.values()];
}

/** A link to an offered engine; its greeting comes over it, or PeerTimeout in whoever waits for that. */
export async function joinEngine(engine: string): Promise<Link> {
  const pair = `webbuild.pair.${crypto.randomUUID()}`;
  const link = await broadcastLink(pair, "a");
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ join: engine, pair } satisfies Notice);
  channel.close();
  return link;
}
