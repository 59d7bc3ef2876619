/** The Cache API, where OPFS is missing: a blob is a list of numbered parts, each one response. */
import type { Appender, Store } from "./store.js";

const CACHE = "webbuild";

/** Cache keys must be URLs; nothing is ever fetched from this host. */
const ORIGIN = "https://webbuild.invalid/";

/** @returns undefined where there is no Cache API (insecure contexts, Node) */
export async function openCacheApi(): Promise<Store | undefined> {
  if (typeof caches === "undefined") return undefined;
  try {
    return new CacheStore(await caches.open(CACHE));
  } catch {
    return undefined;
  }
}

class CacheStore implements Store {
  readonly kind = "cache";

  constructor(private readonly cache: Cache) {}

  /** Sizes of a blob's parts, in order. */
  async #parts(key: string): Promise<number[]> {
    const sizes: number[] = [];
    while (true) {
      const part = await this.cache.match(partUrl(key, sizes.length));
      if (!part) return sizes;
      sizes.push(Number(part.headers.get("x-nbytes")));
    }
  }

  async size(key: string): Promise<number | undefined> {
    const parts = await this.#parts(key);
    return parts.length === 0 ? undefined : parts.reduce((a, b) => a + b, 0);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const size = await this.size(key);
    return size === undefined ? undefined : this.read(key, 0, size);
  }

  async read(key: string, at: number, length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let filled = 0;
    let skip = at;
    for (let i = 0; filled < length; i++) {
      const part = await this.cache.match(partUrl(key, i));
      if (!part) break; // another tab may be removing them
      const size = Number(part.headers.get("x-nbytes"));
      if (skip < size) {
        const bytes = new Uint8Array(await part.arrayBuffer());
        const wanted = bytes.subarray(skip, skip + length - filled);
        out.set(wanted, filled);
        filled += wanted.length;
      }
      skip = Math.max(skip - size, 0);
    }
    return out.subarray(0, filled);
  }

  /** Of a blob that is written anew, the first part takes the place of the old one; there is no other. */
  async append(key: string, anew?: boolean): Promise<Appender | undefined> {
    const release = await take(`${CACHE}.store.${key}`);
    if (!release) return undefined;
    let parts: number[];
    try {
      parts = anew ? [] : await this.#parts(key);
    } catch (error) {
      await release();
      throw error;
    }
    const { cache } = this;
    let size = parts.reduce((a, b) => a + b, 0);
    let count = parts.length;
    const store = async (bytes: Uint8Array) => {
      const headers = { "x-nbytes": String(bytes.length) };
      await cache.put(partUrl(key, count), new Response(bytes.slice(), { headers }));
      count++;
      size += bytes.length;
    };
    return {
      get size() {
        return size;
      },
      append: store,
      async close() {
        try {
          if (count === 0) await store(new Uint8Array(0)); // so that an empty blob exists
        } finally {
          await release();
        }
      },
    };
  }

  async remove(key: string): Promise<void> {
    // All there are, as one that another tab appends to meanwhile has a hole where those before were removed.
    const begin = partUrl(key, "");
    const urls = (await this.cache.keys()).map(({ url }) => url).filter((u) => u.startsWith(begin));
    const number = (url: string) => Number(url.slice(begin.length));
    // From the end: what an interruption leaves is a shorter blob.
    for (const url of urls.sort((a, b) => number(b) - number(a))) await this.cache.delete(url);
  }

  async keys(): Promise<string[]> {
    const requests = await this.cache.keys();
    return [
      ...new Set(
        requests.map((r) => decodeURIComponent(new URL(r.url).pathname.split("/")[1] as string)),
      ),
    ];
  }
}

const partUrl = (key: string, part: number | ""): string =>
  `${ORIGIN}${encodeURIComponent(key)}/${part}`;

/**
 * Takes a lock, as caches have none: parts of two tabs would take the place of each other.
 *
 * @returns lets go of it; undefined when another tab has it. Where there are no locks (outside of https) anybody gets it
 */
async function take(name: string): Promise<(() => Promise<void>) | undefined> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  if (!locks) return async () => {};
  return new Promise((resolve, reject) => {
    const hold = (lock: Lock | null) => {
      if (!lock) return resolve(undefined);
      return new Promise<void>((letGo) => {
        resolve(async () => {
          letGo();
          await request; // before that Chromium refuses it, also to this tab
        });
      });
    };
    const request = locks.request(name, { ifAvailable: true }, hold);
    request.catch(reject);
  });
}
