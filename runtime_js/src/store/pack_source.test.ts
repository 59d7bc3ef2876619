import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  AbortError,
  HashMismatch,
  InvalidPack,
  MissingFile,
  NetworkError,
  TruncatedFile,
} from "../errors.js";
import type { PackFile } from "../generated/pack.js";
import { FileServer } from "../testing/http_server.js";
import { sourceAt } from "../testing/pack_source.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { MemoryStore } from "./memory.js";
import { PackCache } from "./pack_cache.js";
import type { PackSource, SourceOptions } from "./pack_source.js";
import { put, type Store } from "./store.js";

const SIZE = 300_000;
const data = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) & 255);
const file: PackFile = {
  path: "w.bin",
  role: "weights",
  nbytes: SIZE,
  sha256: createHash("sha256").update(data).digest("hex"),
};

let server: FileServer;
let base: string;
let store: MemoryStore;

beforeEach(async () => {
  server = new FileServer(new Map([...tinyPack(), ["w.bin", data]]));
  base = await server.start();
  store = new MemoryStore();
});
afterEach(() => server.stop());

const source = (options?: Partial<SourceOptions>) => sourceAt(base, store, options);

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

describe("a pack's files", () => {
  test("the second read takes nothing from the network", async () => {
    const first = source();
    for (const f of (await first.manifest()).files) await first.read(f);
    expect(same(await first.read(file), data)).toBe(true);
    const all = [...server.files.values()].reduce((n, bytes) => n + bytes.length, 0);
    expect(first.networkBytes).toBe(all);
    server.requests.length = 0;
    const second = source();
    await second.manifest();
    expect(same(await second.read(file), data)).toBe(true);
    expect([second.networkBytes, second.cacheBytes, server.requests]).toEqual([0, SIZE, []]);
  });

  test("revalidating asks for pack.json and nothing else", async () => {
    const first = source();
    await first.manifest();
    await first.read(file);
    server.requests.length = 0;
    const second = source({ revalidate: true });
    await second.manifest();
    await second.read(file);
    expect(server.requests).toEqual(["pack.json"]);
  });

  test("without an answer to revalidating, what is stored whole is taken", async () => {
    const first = source();
    for (const f of (await first.manifest()).files) await first.read(f);
    const ask = () => source({ revalidate: true }).manifest();
    server.faults.set("pack.json", { status: 503 });
    expect(await ask()).toEqual(await first.manifest());
    // The server's word on it is another matter, and so is a pack of which a part is missing.
    server.faults.set("pack.json", { status: 403 });
    await expect(ask()).rejects.toMatchObject({ name: "NetworkError", data: { status: 403 } });
    server.faults.set("pack.json", { status: 404 });
    await expect(ask()).rejects.toMatchObject({ name: "MissingFile" });
    server.faults.set("pack.json", { status: 503 });
    const [some] = (await first.manifest()).files;
    await store.remove(`${some?.sha256}.ok`);
    await expect(ask()).rejects.toMatchObject({ name: "NetworkError", data: { status: 503 } });
  });

  test("a pack stored in part is asked for again: the server may have a newer one", async () => {
    const first = source();
    const [some] = (await first.manifest()).files;
    await first.read(some as PackFile);
    server.requests.length = 0;
    const second = source();
    await second.manifest();
    await second.read(some as PackFile);
    expect(server.requests).toEqual(["pack.json"]);
  });

  test("a new version fetches what changed and removes what it replaced", async () => {
    const read = async (s: PackSource) => {
      for (const f of (await s.manifest()).files) await s.read(f);
      await s.tidy();
    };
    await read(source());
    const before = new Set(await store.keys());
    const json = JSON.parse(new TextDecoder().decode(server.files.get("pack.json")));
    const template = new TextEncoder().encode("new template");
    server.files.set("chat_template.jinja", template);
    const entry = json.files.find((f: PackFile) => f.path === "chat_template.jinja");
    const old = entry.sha256;
    entry.sha256 = createHash("sha256").update(template).digest("hex");
    entry.nbytes = template.length;
    server.files.set("pack.json", new TextEncoder().encode(JSON.stringify(json)));
    server.requests.length = 0;
    await read(source({ revalidate: true }));
    expect(server.requests).toEqual(["pack.json", "chat_template.jinja"]);
    const after = await store.keys();
    expect(after).toHaveLength(before.size);
    expect(after).not.toContain(old);
  });

  test("a broken connection goes on where it broke", async () => {
    server.faults.set("w.bin", { dropAfter: 100_000, times: 2 });
    const s = source();
    expect(same(await s.read(file), data)).toBe(true);
    expect(server.requests).toHaveLength(3);
    expect(server.requests[0]).toBe("w.bin");
    for (const r of server.requests.slice(1)) expect(r).toMatch(/^w\.bin@\d+$/);
    expect(s.networkBytes).toBe(SIZE);
  });

  test("an aborted download rejects by name and resumes in the next load", async () => {
    server.faults.set("w.bin", { stallAfter: 120_000, times: 1 });
    const controller = new AbortController();
    const aborted = source({
      signal: controller.signal,
      onBytes: () => setTimeout(() => controller.abort(), 50),
    });
    await expect(aborted.read(file)).rejects.toBeInstanceOf(AbortError);
    const kept = (await store.size(file.sha256)) as number;
    expect(kept).toBeGreaterThan(0);
    server.requests.length = 0;
    const resumed = source();
    expect(same(await resumed.read(file), data)).toBe(true);
    expect(server.requests).toEqual([`w.bin@${kept}`]);
    expect([resumed.cacheBytes, resumed.networkBytes]).toEqual([kept, SIZE - kept]);
  });

  test("a server without ranges is read from the start again", async () => {
    server.faults.set("w.bin", { dropAfter: 100_000, times: 1, noRanges: true });
    expect(same(await source().read(file), data)).toBe(true);
  });

  test("a stored part that is broken is fetched anew, once", async () => {
    const appender = await store.append(file.sha256);
    await appender?.append(new Uint8Array(1000));
    await appender?.close();
    const s = source();
    expect(same(await s.read(file), data)).toBe(true);
    expect(server.requests).toEqual(["w.bin@1000", "w.bin"]);
    expect(s.fileBytes).toBe(SIZE);
  });

  test("a stored file that is longer is fetched anew, once", async () => {
    const appender = await store.append(file.sha256);
    await appender?.append(new Uint8Array([...data, 0]));
    await appender?.close();
    for (let load = 0; load < 2; load++) expect(same(await source().read(file), data)).toBe(true);
    expect(server.requests).toEqual(["w.bin"]);
  });

  /** The store, with something happening before it is read for the `at`-th time. */
  function disturbed(at: number, happens: () => Promise<void>): Store {
    const watched = new MemoryStore();
    for (const of of ["size", "get", "append", "remove", "keys"] as const)
      watched[of] = store[of].bind(store) as never;
    let reads = 0;
    watched.read = async (...range) => {
      if (++reads === at) await happens();
      return store.read(...range);
    };
    watched.open = async (key) => {
      const size = await store.size(key);
      const read = async (into: Uint8Array, from: number) => {
        const bytes = await watched.read(key, from, into.length);
        into.set(bytes);
        return bytes.length;
      };
      return size === undefined ? undefined : { size, read, close() {} };
    };
    return watched;
  }

  const happenings: [string, () => Promise<void>][] = [
    ["another tab removes", () => new PackCache(store).discard(file.sha256)],
    ["the disk refuses", () => Promise.reject(new DOMException("gone", "NotReadableError"))],
  ];
  describe.each(happenings)("a stored file that %s", (_, happens) => {
    test.each([1, 3])("while it is read, at read %d, is fetched", async (at) => {
      await source().read(file);
      const s = source({ cache: new PackCache(disturbed(at, happens)) });
      const whole = new Uint8Array(SIZE);
      let end = 0;
      await s.stream(file, {
        begin: () => {
          end = 0;
        },
        room: async () => new Uint8Array(70_000),
        bytes: (bytes) => {
          whole.set(bytes, end);
          end += bytes.length;
        },
      });
      expect(same(whole, data)).toBe(true);
      expect([s.fileBytes, s.networkBytes, s.cacheBytes]).toEqual([SIZE, SIZE, (at - 1) * 70_000]);
      server.requests.length = 0;
      expect(same(await source().read(file), data)).toBe(true);
      expect(server.requests).toEqual([]); // it is stored again
    });

    test("in part, before it is gone on with, is fetched from its start", async () => {
      const appender = await store.append(file.sha256);
      await appender?.append(data.slice(0, 1000));
      await appender?.close();
      const s = source({ cache: new PackCache(disturbed(1, happens)) });
      expect(same(await s.read(file), data)).toBe(true);
      expect([s.fileBytes, s.networkBytes, s.cacheBytes]).toEqual([SIZE, SIZE, 0]);
      expect(server.requests).toEqual(["w.bin"]);
    });
  });

  test("code for hashing that can't be loaded leaves no file locked", async () => {
    const newHasher = () => Promise.reject(new TypeError("Failed to fetch"));
    await expect(source({ newHasher }).read(file)).rejects.toThrow("Failed to fetch");
    expect(await store.append(file.sha256)).toBeDefined();
  });

  test("a server that sends a file in parts is asked until it has sent all", async () => {
    const asked: number[] = [];
    const inParts: SourceOptions["fetch"] = async (_, init) => {
      const range = new Headers(init?.headers).get("range");
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
      asked.push(from);
      const status = from > 0 ? 206 : 200;
      return new Response(data.slice(from, from + SIZE / 5), { status });
    };
    expect(same(await source({ fetch: inParts }).read(file), data)).toBe(true);
    expect(asked).toEqual([0, 1, 2, 3, 4].map((i) => (i * SIZE) / 5));
  });

  test("a stored file that has rotted is noticed when asked to, and fetched again", async () => {
    await source().read(file);
    await store.remove(file.sha256);
    const appender = await store.append(file.sha256);
    await appender?.append(new Uint8Array(SIZE));
    await appender?.close();
    expect(same(await source({ verifyCache: true }).read(file), data)).toBe(true);
    expect(same(await source({ verifyCache: true }).read(file), data)).toBe(true);
    expect(server.requests).toEqual(["w.bin", "w.bin"]);
  });

  const faults: [
    string,
    Parameters<Map<string, object>["set"]>[1],
    new (...a: never[]) => Error,
    RegExp,
  ][] = [
    ["missing", { status: 404 }, MissingFile, /w\.bin does not exist/],
    ["forbidden", { status: 403 }, NetworkError, /HTTP 403/],
    [
      "truncated",
      { replaceBy: data.subarray(0, 1000) },
      TruncatedFile,
      /has 1000 bytes, pack.json promises 300000/,
    ],
    ["empty", { replaceBy: new Uint8Array(0) }, TruncatedFile, /has 0 bytes/],
    [
      "tampered",
      { replaceBy: Uint8Array.from(data, (b, i) => (i === 77 ? b ^ 1 : b)) },
      HashMismatch,
      /not the file/,
    ],
    [
      "too long",
      { replaceBy: new Uint8Array([...data, 0]) },
      HashMismatch,
      /longer than pack.json says/,
    ],
  ];
  test.each(faults)(
    "%s: a named error, and nothing of it is used later",
    async (_, fault, error, message) => {
      server.faults.set("w.bin", fault);
      const failed = source().read(file);
      await expect(failed).rejects.toBeInstanceOf(error);
      await expect(failed).rejects.toThrow(message);
      server.faults.clear();
      expect(same(await source().read(file), data)).toBe(true);
    },
  );

  test("a server that fails for ever is a NetworkError after a few tries", async () => {
    server.faults.set("w.bin", { status: 503 });
    await expect(source().read(file)).rejects.toBeInstanceOf(NetworkError);
    expect(server.requests).toHaveLength(3);
  });

  test("no server at all is a NetworkError", async () => {
    server.stop();
    await expect(source().manifest()).rejects.toBeInstanceOf(NetworkError);
  });

  test("a missing or meaningless pack.json is named and not kept", async () => {
    server.faults.set("pack.json", { status: 404 });
    await expect(source().manifest()).rejects.toBeInstanceOf(MissingFile);
    server.faults.set("pack.json", { replaceBy: new TextEncoder().encode("<html>") });
    await expect(source().manifest()).rejects.toBeInstanceOf(InvalidPack);
    server.faults.clear();
    expect((await source().manifest()).model.name).toBe("tiny");
  });

  test("a full disk ends caching, not the load", async () => {
    store = new MemoryStore(50_000);
    const s = source();
    expect(same(await s.read(file), data)).toBe(true);
    expect(s.cacheProblem).toMatch(/storage for this site is full/);
    expect(await store.size(file.sha256)).toBeUndefined();
  });

  test("a store that reads ranges only serves as well", async () => {
    await source().read(file);
    const { kind } = store;
    const ranges: Store = {
      kind,
      size: (key) => store.size(key),
      get: (key) => store.get(key),
      read: (key, at, length) => store.read(key, at, length),
      append: (key) => store.append(key),
      remove: (key) => store.remove(key),
      keys: () => store.keys(),
    };
    const s = source({ cache: new PackCache(ranges) });
    expect(same(await s.read(file), data)).toBe(true);
    expect([s.networkBytes, s.cacheBytes]).toEqual([0, SIZE]);
  });

  test.each([
    ["as they are", {}, true],
    // Memory of a GPU may be slow to read.
    ["when they are to be hashed", { verifyCache: true }, false],
  ])("stored bytes go into the consumer's memory, if it has any: %s", async (_, options, own) => {
    await source().read(file); // and into the source's from the network
    const room = new Uint8Array(70_000);
    const whole = new Uint8Array(SIZE);
    const memory = new Set<ArrayBufferLike>();
    let [at, asked] = [0, 0];
    await source(options).stream(file, {
      begin: () => {
        at = 0;
      },
      room: async () => {
        asked++;
        return room.fill(0);
      },
      bytes: (bytes) => {
        memory.add(bytes.buffer);
        whole.set(bytes, at);
        at += bytes.length;
      },
    });
    expect(same(whole, data)).toBe(true);
    expect([memory.size, memory.has(room.buffer), asked]).toEqual([1, own, own ? 5 : 0]);
  });

  test("without a store everything still arrives", async () => {
    expect(same(await source({ cache: undefined }).read(file), data)).toBe(true);
  });
});

describe("PackCache", () => {
  test("lists packs, and forgetting one keeps what another shares", async () => {
    const cache = new PackCache(store);
    const s = source();
    const manifest = await s.manifest();
    for (const f of manifest.files) await s.read(f);
    const pack = server.files.get("pack.json") as Uint8Array;
    await cache.remember("https://other.test/", pack, manifest);
    const totalBytes = manifest.files.reduce((n, f) => n + f.nbytes, 0);
    const entry = { name: "tiny", totalBytes, storedBytes: totalBytes };
    expect(await cache.list()).toEqual(
      expect.arrayContaining([
        { ...entry, url: base },
        { ...entry, url: "https://other.test/" },
      ]),
    );
    await cache.forget(base);
    expect(await cache.list()).toEqual([{ ...entry, url: "https://other.test/" }]);
    await cache.forget("https://other.test/");
    expect(await store.keys()).toEqual([]);
  });

  test("a manifest whose stored bytes changed is fetched again", async () => {
    const s = source();
    for (const f of (await s.manifest()).files) await s.read(f);
    const key = createHash("sha256")
      .update(server.files.get("pack.json") as Uint8Array)
      .digest("hex");
    await store.remove(key);
    server.requests.length = 0;
    await source().manifest();
    expect(server.requests).toEqual(["pack.json"]);
  });

  test("another tab prunes at any moment while a pack is remembered: nothing of it goes", async () => {
    const s = source();
    for (const f of (await s.manifest()).files) await s.read(f);
    const other = new PackCache(store);
    const before = await store.keys();
    const watched = new MemoryStore();
    for (const of of ["size", "get", "read", "keys"] as const)
      watched[of] = store[of].bind(store) as never;
    watched.remove = async (key) => {
      await store.remove(key);
      await other.prune();
    };
    watched.append = async (...of) => {
      const appender = await store.append(...of);
      await other.prune();
      return (
        appender && {
          size: appender.size,
          append: (bytes) => appender.append(bytes).then(() => other.prune()),
          close: () => appender.close().then(() => other.prune()),
        }
      );
    };
    const again = source({ cache: new PackCache(watched), revalidate: true });
    const manifest = await again.manifest();
    expect(await store.keys()).toEqual(before);
    expect(await other.wholePack(base)).toEqual(manifest);
    const pack = server.files.get("pack.json") as Uint8Array;
    await other.forget(base);
    await new PackCache(watched).remember("https://new.test/", pack, manifest);
    expect(await store.keys()).toHaveLength(3); // the record, pack.json, and that it is whole
  });

  test("what another tab stores while this one prunes stays", async () => {
    const s = source();
    const manifest = await s.manifest();
    await s.read(manifest.files[0] as PackFile);
    const get = store.get.bind(store);
    store.get = async (key) => {
      store.get = get;
      const bytes = await get(key);
      const cache = new PackCache(store);
      const larger = { ...manifest, files: [file] };
      await cache.remember("https://new.test/", new Uint8Array(1), larger);
      await cache.complete(file.sha256);
      return bytes;
    };
    await new PackCache(store).prune();
    expect(await new PackCache(store).isComplete(file.sha256)).toBe(true);
  });

  test("a record that can't be read may name anything: nothing is pruned until it can", async () => {
    const s = source();
    await s.manifest();
    const before = await store.keys();
    const record = before.find((key) => key.startsWith("pack-")) as string;
    const bytes = (await store.get(record)) as Uint8Array;
    await put(store, "abc", new Uint8Array(1));
    for (const broken of [bytes.slice(0, 0), bytes.slice(0, 20)]) {
      await put(store, record, broken);
      await new PackCache(store).prune();
      expect(await store.keys()).toEqual([...before, "abc"]);
    }
    await put(store, record, bytes);
    const get = store.get.bind(store);
    store.get = () => Promise.reject(new DOMException("just being written", "NotReadableError"));
    await new PackCache(store).prune();
    expect(await store.keys()).toEqual([...before, "abc"]);
    store.get = get;
    await new PackCache(store).prune();
    expect(await store.keys()).toEqual(before);
  });
});
