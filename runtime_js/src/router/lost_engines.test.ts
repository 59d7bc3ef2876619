/** Engines that go away, are full, or are asked all at once: fakes, as only the router's choices matter. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ServingEngine } from "../api/serving_engine.js";
import { CompletionStream } from "../api/stream.js";
import type { ChatCompletionChunk } from "../api/types.js";
import {
  EngineUnloaded,
  InvalidRequestError,
  KvRefused,
  PeerLost,
  WorkerFailed,
} from "../errors.js";
import { balancedSplit, cacheAware, kvMigration, prefillDecode, roundRobin } from "./index.js";
import { Router, type Strategy } from "./router.js";

afterEach(() => vi.useRealTimers());

const messages = [{ role: "user" as const, content: "?" }];
const tick = () => new Promise<void>((resolve) => setTimeout(resolve));

/** What an engine does, and what it was asked. */
class Fake {
  /** Thrown by every call. */
  lost: Error | undefined;
  /** Thrown by reservations. */
  full: Error | undefined;
  /** Thrown by a stream after so many chunks, of which the first is the head. */
  breaks: { after: number; error: Error } | undefined;
  matched = 0;
  readonly calls = { asked: 0, prepRecv: 0, remoteSend: 0, startGenerate: 0 };
  readonly begins: unknown[] = [];
  readonly roomMs: unknown[] = [];

  constructor(readonly id: string) {}

  check() {}

  async prepRecv(_: unknown, { reserve = true, roomMs = 0 } = {}) {
    this.calls[reserve ? "prepRecv" : "asked"]++;
    await tick();
    if (this.lost) throw this.lost;
    if (reserve) this.roomMs.push(roomMs);
    if (reserve && this.full) throw this.full;
    return { kvAddr: reserve ? { end: 999 } : null, matched: this.matched, tokens: 1000 };
  }

  async remoteSend() {
    this.calls.remoteSend++;
    await tick();
    if (this.lost) throw this.lost;
  }

  async startGenerate(_: unknown, { stream, begin, signal }: Record<string, unknown>) {
    this.calls.startGenerate++;
    await tick();
    if (this.lost) throw this.lost;
    (signal as AbortSignal).throwIfAborted();
    this.begins.push(begin);
    const said = { choices: [{ message: { content: this.id } }] };
    return stream ? this.#stream() : said;
  }

  #stream() {
    const stream = new CompletionStream<ChatCompletionChunk>(new AbortController());
    const deltas = [{ role: "assistant", content: "" }, { content: this.id }, { content: "!" }];
    const run = async () => {
      for (const [i, delta] of deltas.entries()) {
        await tick();
        if (this.breaks?.after === i) return stream.end(this.breaks.error);
        stream.push({ choices: [{ index: 0, delta }] } as unknown as ChatCompletionChunk);
      }
      stream.end();
    };
    run();
    return stream;
  }
}

function routed(names: string, strategy: Strategy) {
  const fakes = [...names].map((name) => new Fake(name));
  const router = new Router(fakes as unknown as ServingEngine[], strategy);
  const { create } = router.chat.completions;
  const ask = async (signal?: AbortSignal) =>
    (await create({ messages }, { signal })).choices[0]?.message.content;
  const stream = async () => {
    const texts: string[] = [];
    for await (const { choices } of await create({ messages, stream: true })) {
      const { role, content } = choices[0]?.delta ?? {};
      texts.push(role ?? content ?? "");
    }
    return texts;
  };
  const active = () => router.engines.map((engine) => engine.active);
  return { fakes: fakes as [Fake, Fake, Fake], ask, stream, active, create };
}

const strategies: [name: string, make: () => Strategy][] = [
  ["roundRobin", () => roundRobin()],
  ["prefillDecode", () => prefillDecode()],
  ["balancedSplit", () => balancedSplit()],
  ["kvMigration", () => kvMigration()],
  ["cacheAware", () => cacheAware()],
];

describe("an engine without room for what is sent", () => {
  test("computes it itself, and does not wait for long", async () => {
    const { fakes, ask, active } = routed("pd", prefillDecode());
    const [p, d] = fakes;
    d.full = new KvRefused("no room");
    expect(await ask()).toBe("d");
    expect(d.begins).toEqual([0]);
    expect(p.calls.remoteSend).toBe(0);
    expect(d.roomMs[0]).toBeGreaterThan(0);
    expect(d.roomMs[0]).toBeLessThan(5000);
    expect(active()).toEqual([0, 0]);
  });

  test("an abort meanwhile is told as such", async () => {
    const { fakes, ask, active } = routed("pd", prefillDecode());
    const controller = new AbortController();
    const refuse = () => {
      controller.abort();
      return new KvRefused("no room");
    };
    Object.defineProperty(fakes[1], "full", { get: refuse });
    await expect(ask(controller.signal)).rejects.toMatchObject({ name: "AbortError" });
    expect(active()).toEqual([0, 0]);
  });

  test("what is wrong with the request is said", async () => {
    const { fakes, ask } = routed("pd", prefillDecode());
    fakes[1].full = new InvalidRequestError("no such position");
    await expect(ask()).rejects.toBeInstanceOf(InvalidRequestError);
  });
});

describe("requests at once are shared", () => {
  test.each([
    ["prefillDecode", () => prefillDecode(), [0, 4, 4]],
    ["prefillDecode, short prompts", () => prefillDecode({ long: 5000 }), [0, 4, 4]],
    ["prefillDecode, two for prompts", () => prefillDecode({ prefill: 2 }), [0, 0, 8]],
    ["balancedSplit", () => balancedSplit(), [3, 3, 2]],
    ["kvMigration", () => kvMigration(), [3, 3, 2]],
    ["cacheAware", () => cacheAware(), [3, 3, 2]],
  ] as const)("%s", async (name, make, shares) => {
    const { fakes, ask, active } = routed("abc", make());
    const all = Promise.all(Array.from({ length: 8 }, () => ask()));
    if (name === "prefillDecode") expect(active()).toEqual([0, 4, 4]); // before anything was awaited
    await all;
    expect(fakes.map(({ calls }) => calls.startGenerate)).toEqual(shares);
    if (name.includes("two")) expect(fakes.map((f) => f.calls.remoteSend)).toEqual([4, 4, 0]);
    expect(active()).toEqual([0, 0, 0]);
  });

  test("a stream keeps its engine busy until it ends, and who sent only until then", async () => {
    const { fakes, create, active } = routed("pd", prefillDecode());
    const stream = await create({ messages, stream: true });
    expect(active()).toEqual([0, 1]);
    for await (const _ of stream);
    expect(active()).toEqual([0, 0]);
    expect(fakes[0].calls.remoteSend).toBe(1);
    for await (const _ of await create({ messages, stream: true })) break;
    await vi.waitFor(() => expect(active()).toEqual([0, 0]));
  });
});

describe("a lost engine", () => {
  for (const [name, make] of strategies) {
    test.each([0, 1, 2])(`fails no request of ${name}: the one at %i`, async (at) => {
      const { fakes, ask, stream, active } = routed("abc", make());
      (fakes[at] as Fake).lost = new PeerLost("gone");
      const others = [..."abc"].filter((_, i) => i !== at);
      for (let i = 0; i < 5; i++) {
        expect(others).toContain(await ask());
        expect((await stream()).slice(1)).toEqual([expect.stringMatching(`[${others}]`), "!"]);
      }
      const calls = Object.values((fakes[at] as Fake).calls).reduce((sum, n) => sum + n);
      expect(calls).toBeLessThanOrEqual(2); // the call that failed, and a look which of two is lost
      expect(active()).toEqual([0, 0, 0]);
    });

    test(`${name} says which error it was when none is left`, async () => {
      const { fakes, ask, stream, active } = routed("ab", make());
      fakes[0].lost = new WorkerFailed("died");
      fakes[1].lost = new EngineUnloaded("unloaded");
      const named = { name: expect.stringMatching("WorkerFailed|EngineUnloaded") };
      for (let i = 0; i < 2; i++) {
        await expect(ask()).rejects.toMatchObject(named);
        await expect(stream()).rejects.toMatchObject(named);
      }
      fakes[1].lost = undefined; // even while it is left out: there is no other
      expect(await ask()).toBe("b");
      expect(active()).toEqual([0, 0]);
    });
  }

  test("errors count by name: built, this entry of the package has classes of its own", async () => {
    const { fakes, ask } = routed("pde", prefillDecode());
    fakes[1].lost = Object.assign(new Error("gone"), { name: "PeerLost" });
    fakes[2].full = Object.assign(new Error("no room"), { name: "KvRefused" });
    expect(await ask()).toBe("e");
  });

  test("other errors are the request's, and reach the caller", async () => {
    const { fakes, ask } = routed("ab", roundRobin());
    fakes[0].lost = new InvalidRequestError("no");
    await expect(ask()).rejects.toBeInstanceOf(InvalidRequestError);
    expect(fakes[1].calls.startGenerate).toBe(0);
  });

  test("a request that its caller aborted is not tried again", async () => {
    const { fakes, ask } = routed("ab", roundRobin());
    const controller = new AbortController();
    fakes[0].lost = new PeerLost("gone");
    const asked = ask(controller.signal);
    controller.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
    expect(fakes[1].calls.startGenerate).toBe(0);
  });

  test("is tried again after a while, and serves again", async () => {
    const { fakes, ask } = routed("pde", prefillDecode());
    const [, d] = fakes;
    d.lost = new PeerLost("gone");
    expect([await ask(), await ask()]).toEqual(["e", "e"]);
    d.lost = undefined;
    expect(await ask()).toBe("e");
    vi.useFakeTimers({ toFake: ["performance"], now: performance.now() });
    vi.advanceTimersByTime(60_000);
    expect([await ask(), await ask()]).toEqual(["d", "d"]);
  });

  test("in a stream: another one answers if nothing was said yet", async () => {
    const { fakes, stream, ask, active } = routed("ab", roundRobin());
    const error = new PeerLost("gone");
    fakes[0].breaks = { after: 1, error };
    expect(await stream()).toEqual(["assistant", "b", "!"]);
    expect([await ask(), await ask()]).toEqual(["b", "b"]);
    expect(active()).toEqual([0, 0]);
  });

  test("in a stream: its error ends what the caller reads already", async () => {
    const { fakes, create, ask, active } = routed("ab", roundRobin());
    fakes[0].breaks = { after: 2, error: new PeerLost("gone") };
    const texts: unknown[] = [];
    const read = async () => {
      const stream = await create({ messages, stream: true });
      for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content);
    };
    await expect(read()).rejects.toBeInstanceOf(PeerLost);
    expect(texts).toEqual(["", "a"]);
    expect([await ask(), await ask()]).toEqual(["b", "b"]);
    expect(active()).toEqual([0, 0]);
  });

  test("roles stay where they are when one of three is left out", async () => {
    const { fakes, ask } = routed("pde", prefillDecode());
    const [p, d, e] = fakes;
    p.lost = new PeerLost("gone");
    const answers = await Promise.all([ask(), ask(), ask(), ask()]);
    expect(answers.sort()).toEqual(["d", "d", "e", "e"]);
    expect(d.calls.remoteSend + e.calls.remoteSend).toBe(0);
  });
});

test("a router without a strategy says so when it is made", () => {
  const engines = [new Fake("a")] as unknown as ServingEngine[];
  expect(() => new Router(engines, undefined as unknown as Strategy)).toThrow(/needs a strategy/);
});
