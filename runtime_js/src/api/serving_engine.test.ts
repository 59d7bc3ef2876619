import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  ContextLengthExceeded,
  Engine,
  InvalidRequestError,
  type KvAddress,
  KvRefused,
  PeerUnknown,
} from "../index.js";
import { dawn } from "../testing/host.js";
import { nextToken, tinyPack } from "../testing/tiny_pack.js";
import type { ChatCompletion } from "./types.js";

let folder: string;
let gpu: GPU;
let a: Engine;
let b: Engine;

/** An engine with pages for one whole context. */
const load = () => Engine.load(folder, { worker: false, gpu, tier: "f32", kvTokens: 64 });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  gpu = await dawn();
  [a, b] = await Promise.all([load(), load()]);
});

afterAll(async () => {
  await Promise.all([a.unload(), b.unload()]);
  rmSync(folder, { recursive: true });
});

/** Neither engine holds a page for anybody, once the time of what was reserved is over. */
afterEach(async () => {
  await vi.waitFor(
    async () => {
      for (const engine of [a, b]) {
        const { pages, running, waiting } = await engine.stats();
        expect({ held: pages.running, running, waiting }).toEqual({
          held: 0,
          running: 0,
          waiting: 0,
        });
      }
    },
    { timeout: 5000 },
  );
});

/** A chat template that names its tools, and has a variable. */
const TOLD =
  "{% if tools %}[{% for t in tools %}{{ t.function.name }}{% endfor %}]{% endif %}{{ mood }}" +
  "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}";

/** Token ids that no other prompt begins with. */
let salt = 0;
const prompt = (length: number): number[] => {
  salt++;
  return Array.from({ length }, (_, i) => (i * 37 + salt * 11 + ((i * salt) >> 2)) % 200);
};

/** The twin's greedy answer. */
function expected(tokens: readonly number[], count: number): number[] {
  const all = [...tokens];
  for (let i = 0; i < count; i++) all.push(nextToken(all));
  return all.slice(tokens.length);
}

/** Greedy answer as ids, by the log-probabilities' bytes. */
async function answer(engine: Engine, tokens: readonly number[], begin = 0) {
  const said = (await engine.startGenerate(tokens, {
    begin,
    temperature: 0,
    max_tokens: 4,
    logprobs: true,
  })) as ChatCompletion;
  return {
    ids: said.choices[0]?.logprobs?.content?.flatMap(({ bytes }) => bytes),
    usage: said.usage,
  };
}

describe("the three calls", () => {
  test("a prefix of k tokens that was sent leaves exactly n - k to compute", async () => {
    for (const n of [5, 8, 13, 14]) {
      for (const k of [1, 3, 4, 7, n - 1].filter((k) => k < n)) {
        const tokens = prompt(n);
        const { kvAddr, matched, tokens: count } = await b.prepRecv(tokens, { end: k });
        expect({ matched, count, begin: kvAddr.begin, end: kvAddr.end }).toEqual({
          matched: 0,
          count: n,
          begin: 0,
          end: k,
        });
        expect(structuredClone(kvAddr)).toEqual(JSON.parse(JSON.stringify(kvAddr)));
        await a.remoteSend(tokens, { kvAddr, to: b, begin: matched, end: k });
        const { ids, usage } = await answer(b, tokens, k);
        expect(usage.prompt_tokens_details?.cached_tokens).toBe(k);
        expect(ids).toEqual(expected(tokens, 4));
        expect(usage.prompt_tokens).toBe(n);
      }
    }
  });

  test("what is cached at the receiver is not sent; what is cached at the sender is not computed", async () => {
    const tokens = prompt(20);
    await answer(b, tokens.slice(0, 10));
    await answer(a, tokens.slice(0, 14));
    const steps = async () => (await a.stats()).pages.cached;
    const before = await steps();
    const { kvAddr, matched } = await b.prepRecv(tokens, { end: 12 });
    expect(matched).toBe(10);
    await a.remoteSend(tokens, { kvAddr, to: b });
    expect(await steps()).toBe(before);
    const { ids, usage } = await answer(b, tokens, 12);
    expect(usage.prompt_tokens_details?.cached_tokens).toBe(12);
    expect(ids).toEqual(expected(tokens, 4));

    const all = await b.prepRecv(tokens);
    expect(all.matched).toBe(19);
    await a.remoteSend(tokens, { kvAddr: all.kvAddr, to: b });
    expect((await answer(b, tokens, -1)).ids).toEqual(expected(tokens, 4));
  });

  test("only asking reserves nothing", async () => {
    const tokens = prompt(9);
    await answer(a, tokens);
    expect(await a.prepRecv(tokens, { reserve: false })).toEqual({
      kvAddr: null,
      matched: 8,
      tokens: 9,
    });
    expect((await a.stats()).pages.running).toBe(0);
  });

  test("messages, a text and token ids are the same prompt", async () => {
    const messages = [{ role: "user" as const, content: "which?" }];
    const whole = await a.chat.completions.create({ messages, max_tokens: 5, temperature: 0 });
    const said = await a.startGenerate(messages, { max_tokens: 5, temperature: 0 });
    expect(said.choices).toEqual(whole.choices);
    const text = "a text";
    const ids = await a.tokenize(text);
    const [one, other] = [await a.startGenerate(text, { max_tokens: 5 }), await answer(a, ids)];
    expect(one.usage.prompt_tokens).toBe(other.usage.prompt_tokens);
    expect(other.ids).toEqual(expected(ids, 4));
    const stream = await a.startGenerate(messages, { max_tokens: 5, temperature: 0, stream: true });
    let streamed = "";
    for await (const chunk of stream) streamed += chunk.choices[0]?.delta.content ?? "";
    expect(streamed).toBe(whole.choices[0]?.message.content);
  });

  test("a chat's prompt is that of the request: with tools, and variables of the template", async () => {
    const packed = mkdtempSync(join(tmpdir(), "pack-"));
    for (const [name, bytes] of tinyPack(128, TOLD)) writeFileSync(join(packed, name), bytes);
    const options = { worker: false, gpu, tier: "f32" } as const;
    const [from, to] = await Promise.all([0, 1].map(() => Engine.load(packed, options)));
    if (!from || !to) throw new Error("no engines");
    try {
      const tools = [{ type: "function" as const, function: { name: "get_weather" } }];
      const messages = [{ role: "user" as const, content: "rain?" }];
      const chat = { messages, tools, webbuild: { template: { mood: "gay" } } };
      const { kvAddr, tokens, matched } = await to.prepRecv(chat);
      expect(matched).toBe(0);
      expect(await from.countTokens(chat)).toBe(tokens);
      const { tools: _, ...told } = chat;
      expect(await from.countTokens(told, { tools })).toBe(tokens);
      await from.remoteSend(chat, { kvAddr, to });
      const rest = { max_tokens: 4, temperature: 0 };
      const constrained = { ...chat.webbuild, constrain_tools: false };
      const whole = await to.chat.completions.create({ ...chat, ...rest, webbuild: constrained });
      expect(whole.usage.prompt_tokens).toBe(tokens);
      expect(whole.usage.prompt_tokens_details.cached_tokens).toBe(tokens - 1);
      const free = { ...rest, webbuild: { constrain_tools: false } };
      const said = await from.startGenerate(chat, { ...free, begin: kvAddr.end });
      expect(said.choices).toEqual(whole.choices);
      expect(said.usage).toEqual(whole.usage);

      const without = await to.prepRecv({ ...chat, tool_choice: "none" }, { reserve: false });
      expect(without.tokens).toBe(tokens - "[get_weather]".length);
      const alone = await to.prepRecv(messages, { reserve: false });
      expect(alone.tokens).toBe(without.tokens - "gay".length);
      expect(alone.matched).toBe(0);
    } finally {
      await Promise.all([from.unload(), to.unload()]);
      rmSync(packed, { recursive: true });
    }
  });

  test("what makes no sense is refused by name, before any work", async () => {
    const tokens = prompt(9);
    const refused = async (call: Promise<unknown>, Class: unknown, param?: string) => {
      const error = await call.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(Class);
      if (param) expect(error).toMatchObject({ param });
    };
    await refused(a.prepRecv(tokens, { end: 10 }), InvalidRequestError, "end");
    await refused(a.prepRecv(tokens, { end: -10 }), InvalidRequestError, "end");
    await refused(a.prepRecv(tokens, { end: 1.5 }), InvalidRequestError, "end");
    await refused(a.prepRecv(tokens, { timeoutMs: 0 }), InvalidRequestError, "timeoutMs");
    await refused(a.prepRecv(tokens, { roomMs: -1 }), InvalidRequestError, "roomMs");
    await refused(a.prepRecv([]), InvalidRequestError, "messages");
    await refused(a.prepRecv([1, 2.5]), InvalidRequestError, "prompt");
    const messages = [{ role: "user" as const, content: "?" }];
    const chat = { messages, temperature: 0 };
    await refused(a.prepRecv(chat), InvalidRequestError, "prompt.temperature");
    await refused(a.startGenerate(chat), InvalidRequestError, "prompt.temperature");
    const set = { messages, webbuild: { template: {}, top_k: 1 } };
    await refused(a.countTokens(set), InvalidRequestError, "prompt.webbuild.top_k");
    await refused(a.prepRecv({ messages, tools: [] }), InvalidRequestError, "tools");
    await refused(a.prepRecv([1, 100_000]), InvalidRequestError, "prompt");
    await refused(a.prepRecv(prompt(500)), ContextLengthExceeded);
    await refused(a.startGenerate(tokens, { begin: 10 }), InvalidRequestError, "begin");
    await refused(a.startGenerate(tokens, { max_tokens: -1 }), InvalidRequestError, "max_tokens");
    const { kvAddr } = await b.prepRecv(tokens, { end: 8, timeoutMs: 100 });
    await refused(a.remoteSend(tokens, { kvAddr, to: a }), InvalidRequestError, "to");
    await refused(a.remoteSend(tokens, { kvAddr, to: "nobody" }), PeerUnknown);
    await refused(a.remoteSend(tokens, { kvAddr, to: b, end: 9 }), InvalidRequestError, "end");
    await refused(a.remoteSend(tokens, { kvAddr, to: b }), KvRefused); // the failed one gave it back
  });
});

describe("what is reserved and not used", () => {
  test("is held for as long as a timer takes, if asked to be held for ever", async () => {
    const tokens = prompt(11);
    const { kvAddr } = await b.prepRecv(tokens, { timeoutMs: Number.POSITIVE_INFINITY });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await a.remoteSend(tokens, { kvAddr, to: b });
    expect((await b.startGenerate(tokens, { max_tokens: 1 })).choices).toHaveLength(1);
  });

  test("is given back when its time is over, filled or not", async () => {
    const tokens = prompt(9);
    const empty = await b.prepRecv(tokens, { timeoutMs: 1500 });
    const filled = await b.prepRecv(tokens, { end: 4, timeoutMs: 1500 });
    expect((await b.stats()).pages.running).toBe(3);
    await a.remoteSend(tokens, { kvAddr: filled.kvAddr, to: b });
    await vi.waitFor(async () => expect((await b.stats()).pages.running).toBe(0), 10_000);
    await expect(a.remoteSend(tokens, { kvAddr: empty.kvAddr, to: b })).rejects.toMatchObject({
      name: "KvRefused",
      message: expect.stringContaining("not used in 1500 ms"),
    });
    const { ids, usage } = await answer(b, tokens);
    expect(usage.prompt_tokens_details?.cached_tokens).toBe(4); // what had come stays cached
    expect(ids).toEqual(expected(tokens, 4));
  });

  test("gives way, oldest first, to a request that runs alone and needs its pages", async () => {
    const { total } = (await b.stats()).pages;
    const held: KvAddress[] = [];
    const tokens = prompt(12); // three pages
    for (let pages = 3; pages + 2 <= total; pages += 3) {
      held.push((await b.prepRecv(tokens, { end: 12, timeoutMs: 1000 })).kvAddr);
    }
    await expect(b.prepRecv(tokens, { end: 12, timeoutMs: 30 })).rejects.toMatchObject({
      name: "KvRefused",
      message: expect.stringContaining("no room"),
    });
    const long = prompt(30);
    expect((await answer(b, long)).ids).toEqual(expected(long, 4));
    const [oldest, newest] = [held[0] as KvAddress, held.at(-1) as KvAddress];
    await expect(a.remoteSend(tokens, { kvAddr: oldest, to: b })).rejects.toMatchObject({
      name: "KvRefused",
      message: expect.stringContaining("needed its pages"),
    });
    await a.remoteSend(tokens, { kvAddr: newest, to: b });
    expect((await answer(b, tokens)).ids).toEqual(expected(tokens, 4));
  });

  test("waits for room, which a request that ends makes", async () => {
    const { total } = (await b.stats()).pages;
    const big = prompt(4 * (total - 6));
    const stream = await b.startGenerate(big, { stream: true, temperature: 0, max_tokens: 12 });
    const waiting = b.prepRecv(prompt(28), { timeoutMs: 20_000 });
    for await (const _ of stream);
    const { kvAddr } = await waiting;
    await expect(
      a.remoteSend(prompt(28), { kvAddr, to: b, begin: 9, end: 3 }),
    ).rejects.toBeInstanceOf(InvalidRequestError); // and so gives it back
    await expect(b.prepRecv(big, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});
