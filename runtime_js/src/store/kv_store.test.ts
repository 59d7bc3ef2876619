import { expect, test, vi } from "vitest";
import { InvalidKvFile, StaleKvFile, StorageError } from "../errors.js";
import { type KvFormat, KvStore } from "./kv_store.js";
import { MemoryStore } from "./memory.js";
import { PackCache } from "./pack_cache.js";
import { put, type Store } from "./store.js";

const URL = "https://packs.test/a/";
const format: KvFormat = { pack: "p1", tier: "f16", dtype: "f16", pageSize: 4, pageBytes: 24 };
const ids = Int32Array.of(5, -1, 70_000, 3, 9);
/** Two pages: five tokens. */
const content = Uint8Array.from({ length: 48 }, (_, i) => i * 5);

async function* pieces(bytes = content, size = 24): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function readBack(saves: KvStore, name: string, expected = format, most = 1) {
  const file = await saves.open(name, expected);
  if (!file) return undefined;
  const bytes: number[] = [];
  for await (const piece of file.pages(most)) bytes.push(...piece);
  file.close();
  return { ids: [...file.ids], bytes };
}

const whole = { ids: [...ids], bytes: [...content] };

/** The key of the only file, and of its record. */
async function keys(store: Store): Promise<{ file: string; record: string }> {
  const [file, record, ...others] = (await store.keys()).sort();
  expect(others).toEqual([]);
  expect(record).toBe(`${file}.ok`);
  return { file: file as string, record: record as string };
}

/** A store without the quick way to read. */
function plain(): Store {
  const store: Store = new MemoryStore();
  delete (store as { open?: unknown }).open;
  return Object.assign(store, { open: undefined as never });
}

test("what was saved is read, however many pages at a time, in any store", async () => {
  for (const store of [new MemoryStore(), plain()]) {
    const saves = new KvStore(store, URL);
    const saved = await saves.save("chat", format, ids, pieces());
    const { file } = await keys(store);
    expect(saved).toEqual({ name: "chat", tokens: 5, bytes: await store.size(file) });
    for (const most of [1, 2, 100])
      expect(await readBack(saves, "chat", format, most)).toEqual(whole);
    expect(await saves.open("other", format)).toBeUndefined();
  }
});

test("saves are listed and deleted by name, and are their pack's alone", async () => {
  const store = new MemoryStore();
  const a = new KvStore(store, URL);
  const b = new KvStore(store, "https://packs.test/b/");
  await a.save("one", format, ids, pieces());
  await a.save("two", format, ids, pieces());
  await b.save("one", format, ids, pieces());
  expect((await a.list()).map(({ name }) => name).sort()).toEqual(["one", "two"]);
  await a.delete("one");
  await a.delete("never saved");
  expect((await a.list()).map(({ name }) => name)).toEqual(["two"]);
  expect(await readBack(b, "one")).toEqual(whole);
  await new PackCache(store).prune();
  expect((await a.list()).length).toBe(1);
  await new PackCache(store).forget(URL);
  expect(await a.list()).toEqual([]);
  expect(await readBack(b, "one")).toEqual(whole);
  await b.delete("one");
  expect(await store.keys()).toEqual([]);
});

test("a later save takes the place of an earlier one, also of one that broke off", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  await saves.save("chat", format, ids, pieces());
  const other = content.map((b) => b + 1);
  await saves.save("chat", format, ids, pieces(other));
  await keys(store); // two
  expect(await readBack(saves, "chat")).toEqual({ ids: [...ids], bytes: [...other] });
});

test("a save that breaks off leaves the earlier one, and nothing of its own", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  await saves.save("chat", format, ids, pieces());
  const before = await store.keys();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield content.slice(0, 24);
    throw new Error("the GPU is gone");
  }
  await expect(saves.save("chat", format, ids, broken())).rejects.toThrow("the GPU is gone");
  expect(await store.keys()).toEqual(before);
  expect(await readBack(saves, "chat")).toEqual(whole);
});

test("a store that is full, at whatever byte, says what to delete, and keeps the earlier save", async () => {
  const store = new MemoryStore();
  await new KvStore(store, URL).save("chat", format, ids, pieces());
  const { file, record } = await keys(store);
  const bytes = [file, record].map((key) => store.size(key) as Promise<number>);
  const once = (await Promise.all(bytes)).reduce((a, b) => a + b);
  for (let quota = once; quota < 2 * once; quota += 3) {
    const store = new MemoryStore(quota);
    const saves = new KvStore(store, URL);
    await saves.save("chat", format, ids, pieces());
    const other = saves.save("chat", format, ids, pieces(content.slice().reverse()));
    const error = await other.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(StorageError);
    expect((error as Error).message).toContain("engine.kv.delete");
    await keys(store); // two
    expect(await readBack(saves, "chat")).toEqual(whole);
  }
});

test("a save of another pack, tier, type or page is stale", async () => {
  const saves = new KvStore(new MemoryStore(), URL);
  await saves.save("chat", format, ids, pieces());
  for (const [field, value] of Object.entries({
    pack: "p2",
    tier: "f32",
    dtype: "f32",
    pageSize: 8,
    pageBytes: 48,
  })) {
    const error = await saves.open("chat", { ...format, [field]: value }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(StaleKvFile);
    const saved = format[field as keyof KvFormat];
    expect((error as StaleKvFile).data).toEqual({ name: "chat", field, saved, expected: value });
  }
});

test("a save by another version of the format is stale", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  await saves.save("chat", format, ids, pieces());
  const { file } = await keys(store);
  const bytes = (await store.get(file)) as Uint8Array;
  bytes[4] = 2;
  await put(store, file, bytes);
  await expect(saves.open("chat", format)).rejects.toThrow(/format version/);
});

test("no damaged file is taken for a whole one, wherever the damage is", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  await saves.save("chat", format, ids, pieces());
  const { file } = await keys(store);
  const good = (await store.get(file)) as Uint8Array;
  for (let at = 0; at < good.length; at++) {
    await put(
      store,
      file,
      good.map((byte, i) => (i === at ? byte ^ 1 : byte)),
    );
    const error = await readBack(saves, "chat").catch((e: unknown) => e);
    // In the header a flipped bit can also look like another pack's save.
    const classes = [InvalidKvFile, StaleKvFile].filter((c) => error instanceof c);
    expect(classes, `byte ${at}`).toHaveLength(1);
  }
  for (let length = 0; length < good.length; length++) {
    await put(store, file, good.slice(0, length));
    await expect(readBack(saves, "chat"), `${length} bytes`).rejects.toBeInstanceOf(InvalidKvFile);
  }
  await put(store, file, Uint8Array.from([...good, 0]));
  await expect(readBack(saves, "chat")).rejects.toBeInstanceOf(InvalidKvFile);
  await store.remove(file);
  await expect(readBack(saves, "chat")).rejects.toBeInstanceOf(InvalidKvFile);
  await saves.save("chat", format, ids, pieces());
  expect(await readBack(saves, "chat")).toEqual(whole);
});

test("a save whose record was half written is none, and goes with the next one", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  await saves.save("chat", format, ids, pieces());
  const { record } = await keys(store);
  await put(store, record, ((await store.get(record)) as Uint8Array).slice(0, 9));
  expect(await saves.list()).toEqual([]);
  expect(await saves.open("chat", format)).toBeUndefined();
  await saves.save("chat", format, ids, pieces());
  await keys(store); // nothing is left of the first
  expect(await readBack(saves, "chat")).toEqual(whole);
});

test.each([
  ["one after the other", [0, 1]],
  ["the later one first", [1, 0]],
  ["both at once", [0, 0]],
])("of two saves of a name at once, in two tabs, one is there: they end %s", async (_, order) => {
  const store = new MemoryStore();
  const ends: (() => void)[] = [];
  const saves = order.map((_, i) => {
    async function* slow(): AsyncGenerator<Uint8Array> {
      await new Promise<void>((resolve) => {
        ends[i] = resolve;
      });
      yield* pieces();
    }
    return new KvStore(store, URL).save("chat", format, ids, slow());
  });
  await vi.waitFor(() => expect(Object.keys(ends)).toHaveLength(2));
  for (const turn of [0, 1]) {
    const ending = saves.filter((_, i) => order[i] === turn);
    order.forEach((o, i) => {
      if (o === turn) ends[i]?.();
    });
    await Promise.all(ending);
  }
  const saved = new KvStore(store, URL);
  expect(await readBack(saved, "chat")).toEqual(whole);
  expect(await saved.list()).toHaveLength(1);
  await saved.save("chat", format, ids, pieces());
  await keys(store); // nothing is left of the two
});

test("a save whose file is removed before it ends is refused, and leaves no record", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  async function* removed(): AsyncGenerator<Uint8Array> {
    yield* pieces();
    for (const key of await store.keys()) await store.remove(key);
  }
  await expect(saves.save("chat", format, ids, removed())).rejects.toBeInstanceOf(InvalidKvFile);
  expect(await store.keys()).toEqual([]);
});

test("what a closed tab left of a save goes after an hour, what is just being written stays", async () => {
  const store = new MemoryStore();
  const saves = new KvStore(store, URL);
  const now = vi.spyOn(Date, "now");
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield content;
    await new Promise(() => {});
  }
  const begun = Date.now();
  void saves.save("closed", format, ids, endless());
  await vi.waitFor(async () => expect(await store.keys()).toHaveLength(1));
  const [closed] = await store.keys();
  await saves.save("chat", format, ids, pieces());
  for (const [minutes, left] of [
    [0, true],
    [59, true],
    [61, false],
  ] as const) {
    now.mockReturnValue(begun + minutes * 60_000);
    await new PackCache(store).prune();
    expect((await store.keys()).includes(closed as string)).toBe(left);
  }
  now.mockRestore();
  await keys(store); // those of the finished one
  expect(await readBack(saves, "chat")).toEqual(whole);
});
