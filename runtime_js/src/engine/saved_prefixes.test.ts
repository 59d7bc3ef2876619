import { afterEach, expect, test } from "vitest";
import { AbortError, InvalidKvFile, OutOfMemory, StaleKvFile } from "../errors.js";
import { MemoryStore } from "../store/memory.js";
import { put, type Store } from "../store/store.js";
import { BASE, dawn, testHost } from "../testing/host.js";
import { nextToken, tinyPack } from "../testing/tiny_pack.js";
import type { PrefixCacheOptions } from "./kv_memory.js";
import type { LanguageModel } from "./language_model.js";
import { load } from "./load.js";
import { SavedPrefixes } from "./saved_prefixes.js";

const never = new AbortController().signal;
const loaded: LanguageModel[] = [];

afterEach(() => {
  for (const model of loaded.splice(0)) model.unload();
});

/** A visit: a model that has answered nothing yet. */
async function visit(
  store: Store,
  pack = tinyPack(),
  prefixCache: PrefixCacheOptions = {},
): Promise<LanguageModel> {
  const host = testHost(pack, await dawn(), store);
  const model = await load(host, { url: BASE, prefixCache }, () => {}, never);
  loaded.push(model);
  return model;
}

const user = (content: string) => [{ role: "user" as const, content }];

/** Asks, and expects the twin's tokens. @returns how many prompt tokens were cached */
async function ask(model: LanguageModel, content: string, maxTokens = 6): Promise<number> {
  const sampling = { temperature: 0, frequencyPenalty: 0, presencePenalty: 0 };
  const drawn: number[] = [];
  const result = await model.generate(
    {
      messages: user(content),
      maxTokens,
      stop: [],
      sampling: { ...sampling, logitBias: [], logprobs: 0 },
    },
    {
      delta: ({ logprobs }) => drawn.push(...logprobs.flatMap(({ bytes }) => bytes)),
    },
    never,
  );
  const { tokens } = model.prompts.render(user(content));
  const expected = [...tokens];
  for (let i = 0; i < maxTokens; i++) expected.push(nextToken(expected));
  expect(drawn).toEqual(expected.slice(tokens.length)); // a token is a byte
  expect(result.completionTokens).toBe(maxTokens);
  return result.cachedTokens;
}

const long = "abcdefghijklmnopqrstu";

/** Pages that nothing but the cache holds. */
function expectClean({ scheduler }: LanguageModel): void {
  const { pool, tree } = scheduler.kv;
  expect(pool.free + tree.held).toBe(pool.pages);
}

/** The key of the only saved file. */
async function savedFile(store: Store): Promise<string> {
  const files = (await store.keys()).filter((k) => k.startsWith("kv-") && !k.endsWith(".ok"));
  expect(files).toHaveLength(1);
  return files[0] as string;
}

test("a prompt that was saved is not computed in a later visit, and answers are the same", async () => {
  const store = new MemoryStore();
  const first = await visit(store);
  const saved = await first.savePrefix(store, "doc", { messages: user(long) }, never);
  const { tokens } = first.prompts.render(user(long));
  expect(saved).toMatchObject({ name: "doc", tokens: tokens.length });
  expect(await first.saves(store).list()).toEqual([saved]);
  expectClean(first);

  const second = await visit(store);
  expect(await second.restorePrefix(store, "doc")).toEqual(saved);
  expectClean(second);
  const before = second.stats().promptTokens;
  // All but the last token of the prompt.
  expect(await ask(second, long)).toBe(tokens.length - 1);
  expect(second.stats().promptTokens - before).toBe(tokens.length);
  // Another prompt, as far as it begins alike.
  expect(await ask(second, `${long.slice(0, 9)}XY`)).toBeGreaterThanOrEqual(9);
  expectClean(second);
});

test("what is cached already is computed and written once", async () => {
  const store = new MemoryStore();
  const model = await visit(store);
  expect(await ask(model, long)).toBe(0);
  const { steps } = model.stats();
  await model.savePrefix(store, "doc", { messages: user(long) }, never);
  expect(model.stats().steps - steps).toBeLessThanOrEqual(2); // for the one token that it generates
  const { held } = model.scheduler.kv.tree;
  await model.restorePrefix(store, "doc");
  expect(model.scheduler.kv.tree.held).toBe(held);
  expectClean(model);
});

test("nothing saved is no error", async () => {
  const store = new MemoryStore();
  const model = await visit(store);
  expect(await model.restorePrefix(store, "doc")).toBeUndefined();
});

test("however few pages go at a time, they arrive in their places", async () => {
  const store = new MemoryStore();
  for (const [save, restore] of [
    [16, 1 << 20],
    [1 << 20, 16],
    [48, 32],
  ]) {
    const first = await visit(store);
    const prefixes = (model: LanguageModel, chunk: number | undefined) =>
      new SavedPrefixes(model.executor, model.scheduler, { pack: "p", tier: "f32" }, chunk);
    const tokens = Int32Array.from(first.prompts.render(user(long)).tokens);
    const compute = () => ask(first, long);
    await prefixes(first, save).save(first.saves(store), "doc", tokens, compute, never);
    const second = await visit(store);
    await ask(second, long.slice(0, 6)); // some of its pages are there
    await prefixes(second, restore).restore(second.saves(store), "doc");
    expect(await ask(second, long)).toBe(tokens.length - 1);
    expectClean(second);
  }
});

test("another version of the pack refuses it by name, and computes", async () => {
  const store = new MemoryStore();
  await (await visit(store)).savePrefix(store, "doc", { messages: user(long) }, never);
  const pack = tinyPack();
  const manifest = JSON.parse(new TextDecoder().decode(pack.get("pack.json")));
  manifest.model.name = "tiny, corrected";
  pack.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
  for (const key of await store.keys()) if (!key.startsWith("kv-")) await store.remove(key);
  const model = await visit(store, pack);
  await expect(model.restorePrefix(store, "doc")).rejects.toBeInstanceOf(StaleKvFile);
  expect(await ask(model, long)).toBe(0);
  await model.savePrefix(store, "doc", { messages: user(long) }, never);
  expect(await model.restorePrefix(store, "doc")).toMatchObject({ name: "doc" });
});

test("a damaged file is refused by name, nothing of it is used, and the pages are free", async () => {
  const store = new MemoryStore();
  await (await visit(store)).savePrefix(store, "doc", { messages: user(long) }, never);
  const file = await savedFile(store);
  const bytes = (await store.get(file)) as Uint8Array;
  const at = bytes.length - 64 - 9; // in the last pages
  bytes[at] = (bytes[at] as number) ^ 4;
  await put(store, file, bytes);
  const model = await visit(store);
  await expect(model.restorePrefix(store, "doc")).rejects.toBeInstanceOf(InvalidKvFile);
  expect(model.scheduler.kv.pool.free).toBe(model.scheduler.kv.pool.pages);
  expect(await ask(model, long)).toBe(0);
});

test("where requests leave few pages, its beginning is restored, and they are not disturbed", async () => {
  const store = new MemoryStore();
  const first = await visit(store);
  const saved = await first.savePrefix(store, "doc", { messages: user(long) }, never);
  const model = await visit(store);
  const { kv } = model.scheduler;
  const taken = kv.take((kv.pool.pages - 3) * kv.pageSize);
  const restored = await model.restorePrefix(store, "doc");
  expect(restored).toEqual({ ...saved, tokens: 3 * kv.pageSize });
  taken?.release();
  expect(await ask(model, long)).toBe(3 * kv.pageSize);
  expectClean(model);
});

test("what the cache may not keep is not saved, and of what is restored it tells what it keeps", async () => {
  const store = new MemoryStore();
  await (await visit(store)).savePrefix(store, "doc", { messages: user(long) }, never);
  const model = await visit(store, tinyPack(), { tokens: 11 });
  const save = model.savePrefix(store, "other", { messages: user(long) }, never);
  await expect(save).rejects.toMatchObject({
    name: "OutOfMemory",
    message: expect.stringContaining("prefixCache.tokens"),
  });
  expect(await model.restorePrefix(store, "doc")).toMatchObject({ tokens: 8 });
  expect(await ask(model, long)).toBe(8);
  expectClean(model);
});

test("saving and restoring beside running requests changes no answer", async () => {
  const store = new MemoryStore();
  const model = await visit(store);
  const work = [
    ask(model, "one", 20),
    model.savePrefix(store, "doc", { messages: user(long) }, never),
    ask(model, "two", 20),
    model.restorePrefix(store, "doc"),
    ask(model, long, 20),
    model.savePrefix(store, "doc", { messages: user(`${long}!`) }, never),
    ask(model, `${long}?`, 20),
  ];
  await Promise.all(work);
  expectClean(model);
  const { tokens } = model.prompts.render(user(`${long}!`));
  expect(await model.saves(store).list()).toMatchObject([{ name: "doc", tokens: tokens.length }]);
});

test("a prompt that others evict at once is computed again, and in the end refused", async () => {
  const store = new MemoryStore();
  const model = await visit(store);
  const prefixes = new SavedPrefixes(model.executor, model.scheduler, { pack: "p", tier: "f32" });
  const tokens = Int32Array.from(model.prompts.render(user(long)).tokens);
  let times = 0;
  const compute = async () => {
    await ask(model, long);
    if (++times < 3) model.scheduler.kv.tree.evict(4);
  };
  const saves = model.saves(store);
  const saved = await prefixes.save(saves, "doc", tokens, compute, never);
  expect(saved).toMatchObject({ tokens: tokens.length });
  expect(times).toBe(3);
  const evicted = async () => void model.scheduler.kv.tree.clear();
  const save = prefixes.save(saves, "other", tokens, evicted, never);
  await expect(save).rejects.toBeInstanceOf(OutOfMemory);
  expect(await saves.list()).toHaveLength(1);
  expectClean(model);
});

test("an abort ends a save that is being written, and leaves nothing", async () => {
  const store = new MemoryStore();
  const model = await visit(store);
  const prefixes = new SavedPrefixes(
    model.executor,
    model.scheduler,
    { pack: "p", tier: "f32" },
    16, // bytes of a piece
  );
  const tokens = Int32Array.from(model.prompts.render(user(long)).tokens);
  const controller = new AbortController();
  const append = store.append.bind(store);
  store.append = async (key) => {
    const appender = await append(key);
    const write = appender?.append.bind(appender);
    if (appender && write) {
      appender.append = async (bytes) => {
        controller.abort();
        return write(bytes);
      };
    }
    return appender;
  };
  const saves = model.saves(store);
  const compute = () => ask(model, long);
  await expect(
    prefixes.save(saves, "doc", tokens, compute, controller.signal),
  ).rejects.toBeInstanceOf(AbortError);
  store.append = append;
  expect(await saves.list()).toEqual([]);
  expect((await store.keys()).filter((key) => key.startsWith("kv-"))).toEqual([]);
  expectClean(model);
});

test("a device that is gone is said to be", async () => {
  const store = new MemoryStore();
  const options = { url: BASE, recovery: { losses: 0 } };
  const model = await load(testHost(tinyPack(), await dawn(), store), options, () => {}, never);
  loaded.push(model);
  await model.savePrefix(store, "doc", { messages: user(long) }, never);
  model.executor.gpu.device.destroy();
  await expect(model.executor.gpu.failed).rejects.toThrow();
  const error = { name: "DeviceLostError" };
  await expect(model.restorePrefix(store, "doc")).rejects.toMatchObject(error);
  await expect(
    model.savePrefix(store, "doc", { messages: user(long) }, never),
  ).rejects.toMatchObject(error);
});
