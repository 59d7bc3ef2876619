/** A store in which any operation may fail: loads go on without it, and nothing that it keeps is wrong or locked. */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { PackFile } from "../generated/pack.js";
import { random } from "../testing/grammar_walk.js";
import { FileServer } from "../testing/http_server.js";
import { sourceAt } from "../testing/pack_source.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { KvStore } from "./kv_store.js";
import { MemoryStore } from "./memory.js";
import { PackCache } from "./pack_cache.js";
import type { SourceOptions } from "./pack_source.js";
import { type Appender, put, type Store } from "./store.js";

const data = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const file: PackFile = {
  path: "w.bin",
  role: "weights",
  nbytes: data.length,
  sha256: digest(data),
};

let server: FileServer;
let base: string;

beforeEach(async () => {
  const files = new Map([...tinyPack(), ["w.bin", data]]);
  const manifest = JSON.parse(new TextDecoder().decode(files.get("pack.json")));
  manifest.files.push(file);
  files.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
  server = new FileServer(files);
  base = await server.start();
});
afterEach(() => server.stop());

/** @param fails is asked before each operation */
function faulty(store: MemoryStore, fails: (operation: string) => boolean): Store {
  const may = (operation: string) => {
    if (fails(operation)) throw new DOMException(`${operation} failed`, "InvalidStateError");
  };
  return {
    kind: "memory",
    async size(key) {
      may("size");
      return store.size(key);
    },
    async get(key) {
      may("get");
      return store.get(key);
    },
    async read(key, at, length) {
      may("read");
      return store.read(key, at, length);
    },
    async open(key) {
      return fails("open") ? undefined : store.open(key);
    },
    async append(key, anew): Promise<Appender | undefined> {
      may("append");
      const appender = await store.append(key, anew);
      return (
        appender && {
          get size() {
            return appender.size;
          },
          async append(bytes) {
            may("write");
            await appender.append(bytes);
          },
          async close() {
            await appender.close();
            may("close");
          },
        }
      );
    },
    async remove(key) {
      may("remove");
      await store.remove(key);
    },
    async keys() {
      may("keys");
      return store.keys();
    },
  };
}

const source = (store: Store, options?: Partial<SourceOptions>) => sourceAt(base, store, options);

/** What is marked complete and has its size is right, and nothing is locked. */
async function check(store: MemoryStore): Promise<void> {
  for (const key of await store.keys()) {
    const appender = await store.append(key);
    expect(appender, key).toBeDefined();
    await appender?.close();
  }
  const bytes = await store.get(file.sha256);
  const complete = await new PackCache(store).isComplete(file.sha256);
  if (complete && bytes?.length === file.nbytes) expect(digest(bytes)).toBe(file.sha256);
}

async function load(store: Store, options: Partial<SourceOptions> = {}): Promise<void> {
  const s = source(store, options);
  for (const f of (await s.manifest()).files) expect(digest(await s.read(f))).toBe(f.sha256);
  await s.tidy();
}

const OPERATIONS = ["size", "get", "read", "open", "append", "write", "close", "remove", "keys"];

test.each(OPERATIONS)("a load is right though every %s fails", async (operation) => {
  for (const kept of ["nothing", "all", "part", "wrong part", "more"]) {
    for (const verifyCache of [false, true]) {
      const store = new MemoryStore();
      if (kept === "all") await load(store);
      else if (kept !== "nothing") {
        const stored = kept === "more" ? new Uint8Array(data.length + 9) : data.slice(0, 50_000);
        if (kept === "wrong part") stored.fill(0, 0, 9);
        await put(store, file.sha256, stored);
      }
      const options = { verifyCache };
      await load(
        faulty(store, (what) => what === operation),
        options,
      );
      await check(store);
    }
  }
});

test("a load is right though anything fails at random", async () => {
  const next = random(1);
  for (let round = 0; round < 60; round++) {
    const store = new MemoryStore();
    const rate = next() * 0.3;
    for (let visit = 0; visit < 3; visit++) {
      await load(
        faulty(store, () => next() < rate),
        { verifyCache: next() < 0.3 },
      );
      await check(store);
    }
  }
});

test("packs and prefixes are listed without what another tab is just writing, which some browsers refuse to look at", async () => {
  const store = new MemoryStore();
  await load(store);
  const format = { pack: "p", tier: "f16", dtype: "f16", pageSize: 4, pageBytes: 4 };
  await new KvStore(store, base).save("chat", format, Int32Array.of(1), pages());
  const refuses = faulty(store, () => false);
  const written = (await store.keys()).filter((key) => key === file.sha256 || /^kv-/.test(key));
  const { size, get } = refuses;
  refuses.size = async (key) => size(written.includes(key) ? refuse() : key);
  refuses.get = async (key) => get(written.includes(key) ? refuse() : key);
  expect(await new PackCache(refuses).list()).toMatchObject([{ url: base }]);
  expect(await new KvStore(refuses, base).list()).toEqual([]);
});

async function* pages(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(4);
}

function refuse(): never {
  throw new DOMException("it is being written", "NoModificationAllowedError");
}
