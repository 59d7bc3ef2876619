/** Peers that say what is no message, and engines that are linked twice. */
import { expect, test } from "vitest";
import { PeerLost, PeerUnknown } from "../errors.js";
import { type PeerMethods, PROTOCOL_VERSION } from "../worker/protocol.js";
import { Hub } from "./hub.js";
import type { Link } from "./link.js";
import { PEER_VERSION, Peer } from "./peer.js";

const never = new AbortController().signal;
const card = (engine: string) => ({ engine, model: "m", kv: "kv" });

/** A link of which the test is the other end. */
function scripted() {
  const heard: ((event: { data: unknown }) => void)[] = [];
  const state = { closed: false };
  const link: Link = {
    port: { postMessage() {}, addEventListener: (_, listener) => void heard.push(listener) },
    lost: new Promise(() => {}),
    close() {
      state.closed = true;
    },
  };
  const say = (data: unknown) => {
    for (const listener of heard) listener({ data });
  };
  return { link, say, state };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test.each([
  [null],
  ["text"],
  [{ ask: null }],
  [{ bye: null }],
  [{ answer: { id: 1, error: null } }],
])("%j ends the link by name, and throws at nobody", async (message) => {
  const { link, say, state } = scripted();
  const handlers = {} as never;
  const connecting = Peer.connect<PeerMethods>(link, { card: card("a"), handlers });
  say({ hello: PEER_VERSION, card: card("b") });
  await settled();
  say({ answer: { hello: PROTOCOL_VERSION } });
  const peer = await connecting;
  const call = (peer.call as unknown as { stats: (args: null) => Promise<unknown> }).stats(null);
  const outcome = call.catch((error: Error) => error);
  say(message);
  expect(await outcome).toBeInstanceOf(PeerLost);
  expect(state.closed).toBe(true);
});

test("a greeting that does not say who greets ends the link by name", async () => {
  const { link, say, state } = scripted();
  const handlers = {} as never;
  const connecting = Peer.connect<PeerMethods>(link, { card: card("a"), handlers });
  say({ hello: PEER_VERSION });
  await expect(connecting).rejects.toBeInstanceOf(PeerLost);
  expect(state.closed).toBe(true);
});

test("of two links to one engine one may end; leaving it ends both", async () => {
  const hub = (engine: string) =>
    new Hub(
      card(engine),
      () => ({}) as never,
      () => {},
    );
  const [a, b] = [hub("a"), hub("b")];
  const join = async () => {
    const { port1, port2 } = new MessageChannel();
    await Promise.all([a.connect({ port: port1 }, never), b.connect({ port: port2 }, never)]);
  };
  await join();
  await join();
  expect(a.size).toBe(2);
  a.get("b").close();
  await expect.poll(() => a.size).toBe(1);
  expect(a.get("b").card.engine).toBe("b");
  await join();
  a.leave("b");
  await expect.poll(() => [a.size, b.size]).toEqual([0, 0]);
  expect(() => a.get("b")).toThrow(PeerUnknown);
});
