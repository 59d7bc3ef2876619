import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  AbortError,
  ContextLengthExceeded,
  Engine,
  type EngineStats,
  EngineUnloaded,
  InvalidRequestError,
  MissingFile,
} from "../index.js";
import { dawn } from "../testing/host.js";
import { FileServer } from "../testing/http_server.js";
import { tinyPack } from "../testing/tiny_pack.js";
import type { Port } from "../worker/protocol.js";
import { addresses, packFolder } from "./pack_address.js";
import type { ChatCompletionChunk } from "./types.js";

const messages = [{ role: "user" as const, content: "hi" }];

let folder: string;
let engine: Engine;
let gpu: GPU;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack()) writeFileSync(join(folder, name), bytes);
  gpu = await dawn();
  engine = await Engine.load(folder, { worker: false, gpu });
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

async function collect(stream: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("Engine", () => {
  test("a completion is OpenAI's, with usage, time in seconds and the model's name", async () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = await engine.chat.completions.create({ messages, max_tokens: 5 });
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "tiny",
      choices: [
        {
          index: 0,
          message: { role: "assistant", refusal: null },
          finish_reason: "length",
          logprobs: null,
        },
      ],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(answer.created).toBeGreaterThanOrEqual(before);
    expect(answer.created).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000));
    expect(await engine.countTokens(messages)).toBe(10);
  });

  test("a stream has the same text: role first, finish last, usage after it", async () => {
    const whole = await engine.chat.completions.create({ messages, max_tokens: 20 });
    const stream = await engine.chat.completions.create({
      messages,
      max_tokens: 20,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "", refusal: null });
    expect(chunks.map((c) => c.choices[0]?.delta.content ?? "").join("")).toBe(
      whole.choices[0]?.message.content,
    );
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ delta: {}, finish_reason: "length" });
    // The second time all of the prompt but its last token is known.
    const usage = { ...whole.usage, prompt_tokens_details: { cached_tokens: 9 } };
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage });
    expect(chunks.slice(0, -1).every((c) => c.usage === null)).toBe(true);
    expect(new Set(chunks.map((c) => c.id)).size).toBe(1);
  });

  test("log-probabilities in both forms", async () => {
    const params = { messages, max_tokens: 4, logprobs: true, top_logprobs: 2 };
    const whole = await engine.chat.completions.create(params);
    expect(whole.choices[0]?.logprobs?.content?.map((t) => t.top_logprobs.length)).toEqual([
      2, 2, 2, 2,
    ]);
    const chunks = await collect(await engine.chat.completions.create({ ...params, stream: true }));
    const streamed = chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []);
    expect(streamed).toEqual(whole.choices[0]?.logprobs?.content);
    const none = await engine.chat.completions.create({ messages, max_tokens: 1, logprobs: true });
    expect(none.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toEqual([]);
  });

  test("a refused request rejects create(), streaming or not, as an instance of its class", async () => {
    const long = [{ role: "user" as const, content: "x".repeat(200) }];
    for (const stream of [true, false]) {
      const create = (m: typeof long, more = {}) =>
        engine.chat.completions.create({ messages: m, stream, ...more } as Parameters<
          typeof engine.chat.completions.create
        >[0]);
      await expect(create(long)).rejects.toBeInstanceOf(ContextLengthExceeded);
      await expect(create([])).rejects.toBeInstanceOf(InvalidRequestError);
      await expect(create(messages, { max_tokens: -1 })).rejects.toMatchObject({
        param: "max_tokens",
      });
      await expect(create(messages, { logit_bias: { "999": 1 } })).rejects.toMatchObject({
        param: "logit_bias",
      });
    }
  });

  test("leaving a stream early, aborting it or its signal: the next request works", async () => {
    const whole = await engine.chat.completions.create({ messages, max_tokens: 6 });
    const again = async () => {
      const answer = await engine.chat.completions.create({ messages, max_tokens: 6 });
      expect(answer.choices).toEqual(whole.choices);
    };
    for await (const _ of await engine.chat.completions.create({ messages, stream: true })) break;
    await again();
    const stream = await engine.chat.completions.create({ messages, stream: true });
    stream.controller.abort();
    expect((await collect(stream)).length).toBeLessThanOrEqual(1);
    await again();
    const controller = new AbortController();
    const signalled = await engine.chat.completions.create(
      { messages, stream: true },
      { signal: controller.signal },
    );
    controller.abort();
    await expect(collect(signalled)).rejects.toMatchObject({ name: "AbortError" });
    await again();
    const aborted = AbortSignal.abort();
    await expect(
      engine.chat.completions.create({ messages }, { signal: aborted }),
    ).rejects.toMatchObject({ name: "AbortError" });
    await again();
  });

  test("an abort right after the call ends it, whichever call it is", async () => {
    const calls: ((signal: AbortSignal, stream: boolean) => Promise<unknown>)[] = [
      (signal, stream) =>
        engine.chat.completions.create({ messages, max_tokens: 20, stream }, { signal }),
      (signal, stream) =>
        engine.completions.create(
          { prompt: [104, 105], echo: true, max_tokens: 20, stream },
          { signal },
        ),
      (signal, stream) =>
        engine.responses.create({ input: "hi", max_output_tokens: 20, stream }, { signal }),
    ];
    for (const call of calls) {
      for (const stream of [false, true]) {
        const controller = new AbortController();
        const answer = call(controller.signal, stream).then(async (given) => {
          if (stream) for await (const _ of given as AsyncIterable<unknown>);
        });
        controller.abort();
        await expect(answer).rejects.toBeInstanceOf(AbortError);
      }
    }
    await vi.waitFor(async () => expect((await engine.stats()).running).toBe(0));
  });

  test("an iterator that is closed before it has begun ends the generation", async () => {
    const create = { messages, max_tokens: 100, stream: true } as const;
    const stream = await engine.chat.completions.create(create);
    await stream[Symbol.asyncIterator]().return();
    await vi.waitFor(async () => expect((await engine.stats()).running).toBe(0));
    expect((await engine.stats()).completionTokens).toBeLessThan(100_000);
    expect(stream.controller.signal.aborted).toBe(true);
  });

  test("a page's reactive state is taken for what it stands for; what is no data is refused by name", async () => {
    const reactive = <T extends object>(target: T): T =>
      new Proxy(target, {
        get(of, key, receiver) {
          const value = Reflect.get(of, key, receiver);
          return typeof value === "object" && value !== null ? reactive(value) : value;
        },
      });
    const ids = reactive([104, 105]);
    expect(await engine.detokenize(ids)).toBe("hi");
    await engine.completions.create({ prompt: ids, max_tokens: 1 });
    await engine.chat.completions.create(
      reactive({ messages: [{ role: "user" as const, content: "hi" }], max_tokens: 1 }),
    );
    const before = await engine.stats();
    const asked = engine.chat.completions.create({
      messages,
      webbuild: { template: { mood: () => 1 } },
    } as never);
    await expect(asked).rejects.toBeInstanceOf(InvalidRequestError);
    expect((await engine.stats()).requests).toBe(before.requests);
  });

  test("seeds repeat", async () => {
    const draw = async (seed?: number) => {
      const params = {
        messages,
        temperature: 1,
        max_tokens: 8,
        ...(seed === undefined ? {} : { seed }),
      };
      return (await engine.chat.completions.create(params)).choices[0]?.message.content;
    };
    expect(await draw(11)).toBe(await draw(11));
    expect(await draw(11)).not.toBe(await draw(12));
  });

  test("n choices are those of n requests, streamed or not, and share the prompt", async () => {
    const params = {
      messages: [{ role: "user" as const, content: "one of several" }],
      temperature: 1,
      max_tokens: 6,
    };
    const whole = await engine.chat.completions.create({ ...params, n: 3, seed: 20 });
    expect(whole.usage).toMatchObject({ completion_tokens: 18 });
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    const chunks = await collect(
      await engine.chat.completions.create({ ...params, n: 3, seed: 20, stream: true }),
    );
    for (const [i, choice] of whole.choices.entries()) {
      const alone = await engine.chat.completions.create({ ...params, seed: 20 + i });
      expect(choice.message).toEqual(alone.choices[0]?.message);
      const own = chunks.flatMap((c) => c.choices).filter(({ index }) => index === i);
      expect(own[0]?.delta.role).toBe("assistant");
      expect(own.map((c) => c.delta.content ?? "").join("")).toBe(choice.message.content);
      expect(own.at(-1)?.finish_reason).toBe("length");
    }
    const bad = { ...params, n: 2, logit_bias: { "999": 1 } };
    await expect(engine.chat.completions.create(bad)).rejects.toMatchObject({
      param: "logit_bias",
    });
    const stream = await engine.chat.completions.create({ ...params, n: 2, stream: true });
    for await (const _ of stream) break;
    const { running, waiting } = await engine.stats();
    expect({ running, waiting }).toEqual({ running: 0, waiting: 0 });
  });

  test("whoever looks on sees requests run, and the engine at rest", async () => {
    const seen: EngineStats[] = [];
    const end = engine.on("step", (stats) => seen.push(stats), { every: 0 });
    await engine.chat.completions.create({ messages, max_tokens: 12 });
    await vi.waitFor(() => expect(seen.at(-1)).toMatchObject({ running: 0, waiting: 0 }));
    expect(seen.some(({ running }) => running === 1)).toBe(true);
    const { pages, meanBatch, stepMs, cache } = seen.at(-1) as EngineStats;
    expect(pages.cached).toBeGreaterThan(0);
    expect(pages.running).toBe(0);
    expect(meanBatch).toBeGreaterThanOrEqual(1);
    expect(Object.values(stepMs).every((ms) => ms >= 0)).toBe(true);
    expect(cache.hitRate).toBeGreaterThan(0);
    end();
    const told = seen.length;
    await engine.chat.completions.create({ messages, max_tokens: 3 });
    expect(seen).toHaveLength(told);
  });

  test("several engines live side by side, and unloading one rejects what it was doing", async () => {
    const other = await Engine.load(pathToFileURL(folder), { worker: false, gpu });
    expect((await other.stats()).networkBytes).toBe(0);
    const stream = await other.chat.completions.create({ messages, stream: true, temperature: 1 });
    const reading = collect(stream);
    await other.unload();
    await expect(reading).rejects.toBeInstanceOf(EngineUnloaded);
    await expect(other.stats()).rejects.toBeInstanceOf(EngineUnloaded);
    expect(
      (await engine.chat.completions.create({ messages, max_tokens: 2 })).usage.completion_tokens,
    ).toBe(2);
  });

  test("canRun, the cache's list and deletion", async () => {
    const at = { worker: false, gpu };
    expect(await Engine.canRun(folder, at)).toMatchObject({ ok: true, tier: "f32" });
    const url = packFolder(folder);
    expect((await Engine.listCached(at)).map((p) => p.url)).toEqual([url]);
    await Engine.deleteCached(folder, at);
    expect(await Engine.listCached(at)).toEqual([]);
  });

  test("an abort ends a load that nobody answers", async () => {
    const { port1, port2 } = new MessageChannel();
    let left = false;
    const silent = async () => ({
      port: port1 as unknown as Port,
      lost: new Promise<Error>(() => {}),
      close: () => {
        left = true;
      },
    });
    const controller = new AbortController();
    const { signal } = controller;
    const load = Engine.load("https://a.b/c", { worker: silent, signal });
    const can = Engine.canRun("https://a.b/c", { worker: silent, signal });
    setTimeout(() => controller.abort(), 10);
    await expect(load).rejects.toBeInstanceOf(AbortError);
    await expect(can).rejects.toBeInstanceOf(AbortError);
    expect(left).toBe(true);
    for (const port of [port1, port2]) port.close();
  });

  test("a server that asks who it is gets the query and the headers, a broken file's rest too", async () => {
    const server = new FileServer(tinyPack());
    const base = await server.start();
    server.admits = ({ url, headers }) =>
      headers.authorization === "Bearer me" && url?.split("?")[1] === "sig=1";
    const [largest] = [...server.files].sort(([, a], [, b]) => b.length - a.length);
    server.faults.set(largest?.[0] as string, { dropAfter: 100, times: 1 });
    const headers = { Authorization: "Bearer me" };
    const at = { worker: false, gpu };
    const loaded = await Engine.load(`${base}?sig=1`, { ...at, headers });
    expect(server.requests).toContain(`${largest?.[0]}@100`);
    expect((await Engine.listCached(at)).map((p) => p.url)).toContain(base);
    await loaded.unload();
    await Engine.deleteCached(`${base}?sig=2`, at);
    const refused = await Engine.load(`${base}?sig=2`, { ...at, headers }).catch((e) => e);
    expect(refused).toMatchObject({ name: "NetworkError", data: { status: 403 } });
    expect(refused.message).not.toContain("sig=2");
    await server.stop();
  });

  test("what is no pack is named", async () => {
    await expect(
      Engine.load(join(folder, "nothing"), { worker: false, gpu }),
    ).rejects.toBeInstanceOf(MissingFile);
    await expect(Engine.load("http://[", { worker: false, gpu })).rejects.toBeInstanceOf(
      InvalidRequestError,
    );
    const misspelt = { worker: false, gpu, contextLenght: 16 };
    await expect(Engine.load(folder, misspelt)).rejects.toMatchObject({ param: "contextLenght" });
  });
});

test("pack URLs", () => {
  for (const url of [
    "https://a.b/c",
    "https://a.b/c/",
    "https://a.b/c/pack.json",
    "https://a.b/c/#x",
  ]) {
    expect(packFolder(url)).toBe("https://a.b/c/");
  }
  expect(packFolder("/tmp/x y")).toBe("file:///tmp/x%20y/");
});

test("what goes with requests for a pack's files", () => {
  const url = "https://a.b/c/";
  expect(addresses("https://a.b/c/pack.json#x", {})).toEqual({ url });
  const headers = new Headers({ Authorization: "Bearer x" });
  const asked = { headers: { authorization: "Bearer x" }, credentials: "include" };
  expect(addresses("https://a.b/c?sig=1&of=2", { headers, credentials: "include" })).toEqual({
    url,
    requests: { [url]: { query: "?sig=1&of=2", ...asked } },
  });
  // A secret for one server is none of another's.
  const [near, far] = ["https://a.b/d/", "https://d.b/d/"];
  expect(addresses(url, { headers, credentials: "include", draft: `${far}?x` })).toEqual({
    url,
    draft: far,
    requests: { [url]: asked, [far]: { query: "?x" } },
  });
  expect(addresses(url, { headers, draft: near }).requests).toEqual({
    [url]: { headers: asked.headers },
    [near]: { headers: asked.headers },
  });
  const spaced = { headers: { "a b": "c" } };
  expect(() => addresses(url, spaced)).toThrow(expect.objectContaining({ param: "headers" }));
  const misspelt = { credentials: "yes" as RequestCredentials };
  expect(() => addresses(url, misspelt)).toThrow(expect.objectContaining({ param: "credentials" }));
});
