/**
 * Saved prefixes: the KV pages of a pack's prompts, kept between visits.
 *
 * Each save is a file of its own, named after the pack's URL, the prefix's name and the time; it counts once a small record
 * is beside it, and then the earlier ones go. So a save that breaks off leaves what was saved before. A file is `WBKV`, u32 format version, u32 bytes of a header, the header (JSON),
 * i32 token ids, pages, and the SHA-256 of all that as 64 hex digits; numbers are little endian.
 */
import { InvalidKvFile, StaleKvFile, StorageError } from "../errors.js";
import { newHasher, sha256 } from "./sha256.js";
import { fromJson, plainReader, put, type Reader, type Store, toJson } from "./store.js";

/** Every key of a saved prefix begins with this. */
export const KV = "kv-";

/** Ends the keys of records. */
const RECORD = ".ok";

/** Longer than a save takes: what has no record after that broke off. */
const UNFINISHED_MS = 3_600_000;

const MAGIC = 0x564b4257; // "WBKV"
const VERSION = 1;
const DIGEST_BYTES = 64;

/** What pages must have in common with the model that uses them. */
export interface KvFormat {
  /** SHA-256 of the pack's manifest. */
  pack: string;
  tier: string;
  /** Of keys and values. */
  dtype: string;
  pageSize: number;
  pageBytes: number;
}

interface Header extends KvFormat {
  /** How many. */
  tokens: number;
}

/** A saved prefix, as `engine.kv.list` tells of it. */
export interface SavedPrefix {
  name: string;
  /** Tokens of prompt that need not be computed again. */
  tokens: number;
  /** Of the file. */
  bytes: number;
}

/** A saved prefix, open for reading. */
export interface KvFile extends SavedPrefix {
  ids: Int32Array;
  /**
   * All pages, some at a time. They may be used once the last has come without an error.
   *
   * @param most pages at a time
   * @throws InvalidKvFile at the end when the file's bytes are not those that were saved
   */
  pages(most: number): AsyncGenerator<Uint8Array>;
  close(): void;
}

export class KvStore {
  /** @param url the pack's folder */
  constructor(
    private readonly store: Store,
    private readonly url: string,
  ) {}

  /**
   * Saves a prefix in place of an earlier one of that name.
   *
   * @param ids of its tokens
   * @param pages their pages, any number of them at a time
   * @throws StorageError
   * @throws InvalidKvFile when the file is removed meanwhile
   */
  async save(
    name: string,
    format: KvFormat,
    ids: Int32Array,
    pages: AsyncIterable<Uint8Array>,
  ): Promise<SavedPrefix> {
    const key = await saveKey(this.url, name);
    const file = `${key}${Date.now()}-${crypto.randomUUID()}`;
    try {
      const bytes = await this.#write(file, format, ids, pages);
      const saved: SavedPrefix = { name, tokens: ids.length, bytes };
      // Another tab may be saving this name too: what both found is earlier than either, so neither removes the other.
      const earlier = (await this.store.keys()).filter((k) => k !== file);
      if ((await this.store.size(file)) !== bytes) throw damaged(name, "its file is missing");
      await put(this.store, file + RECORD, toJson(saved));
      await removeSaves(this.store, earlier, key);
      return saved;
    } catch (error) {
      await removeSaves(this.store, [file + RECORD], file).catch(() => {});
      if ((error as Error).name !== "QuotaExceededError") throw error;
      throw new StorageError(
        `the browser's storage for this site is too full to save ${quoted(name)}: delete other prefixes ` +
          "(engine.kv.delete) or packs (Engine.deleteCached)",
        { name },
        { cause: error },
      );
    }
  }

  async #write(
    file: string,
    format: KvFormat,
    ids: Int32Array,
    pages: AsyncIterable<Uint8Array>,
  ): Promise<number> {
    const appender = await this.store.append(file);
    if (!appender) throw new StorageError("the browser's storage refuses a new file", { file });
    try {
      const hasher = await newHasher();
      const append = (bytes: Uint8Array) => {
        hasher.update(bytes);
        return appender.append(bytes);
      };
      await append(encodeHead({ ...format, tokens: ids.length }, ids));
      for await (const bytes of pages) await append(bytes);
      await appender.append(new TextEncoder().encode(hasher.digest()));
      return appender.size;
    } finally {
      await appender.close();
    }
  }

  /**
   * Opens what was saved under a name; undefined when nothing was.
   *
   * @throws StaleKvFile when it is of another pack, tier or format
   * @throws InvalidKvFile when it is damaged
   */
  async open(name: string, format: KvFormat): Promise<KvFile | undefined> {
    const saves = await this.#saves(await saveKey(this.url, name));
    const file = saves.get(name)?.file;
    if (file === undefined) return undefined;
    const bytes = await this.store.size(file);
    if (bytes === undefined) throw damaged(name, "its file is missing");
    const reader = (await this.store.open?.(file)) ?? plainReader(this.store, file);
    try {
      return await read(reader, name, bytes, format);
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /** What is saved of this pack, whether it can still be used or not. */
  async list(): Promise<SavedPrefix[]> {
    const saves = await this.#saves(await packKey(this.url));
    return [...saves.values()].map(({ saved }) => saved);
  }

  /** By name, the latest of the saves whose keys begin so. */
  async #saves(prefix: string): Promise<Map<string, { file: string; saved: SavedPrefix }>> {
    const found = new Map<string, { file: string; saved: SavedPrefix }>();
    const keys = await this.store.keys();
    for (const key of keys.filter((k) => k.startsWith(prefix) && k.endsWith(RECORD)).sort()) {
      // Some browsers refuse to read what another tab is just writing.
      const bytes = await this.store.get(key).catch(() => undefined);
      const saved = fromJson(bytes) as SavedPrefix | undefined;
      if (saved) found.set(saved.name, { file: key.replace(RECORD, ""), saved });
    }
    return found;
  }

  /** Deletes a prefix, if there is one of that name. */
  async delete(name: string): Promise<void> {
    await removeSaves(this.store, await this.store.keys(), await saveKey(this.url, name));
  }
}

/** Removes all that is saved of a pack. */
export async function removeSaved(store: Store, url: string): Promise<void> {
  await removeSaves(store, await store.keys(), await packKey(url));
}

/**
 * Removes, of `keys`, those that begin so: files that broke off, and saves if they are `finished`. What has no record yet
 * may be just being written; its key says since when.
 */
export async function removeSaves(
  store: Store,
  keys: string[],
  prefix: string,
  finished = true,
): Promise<void> {
  for (const key of keys.filter((k) => k.startsWith(prefix))) {
    const file = key.replace(RECORD, "");
    const brokeOff = Number(file.split("-")[3]) < Date.now() - UNFINISHED_MS;
    if (keys.includes(file + RECORD) ? finished : brokeOff) {
      await store.remove(file + RECORD); // first: what an interruption leaves is no save
      await store.remove(file);
    }
  }
}

const shortHash = async (text: string): Promise<string> => (await sha256(text)).slice(0, 16);

const packKey = async (url: string): Promise<string> => `${KV}${await shortHash(url)}-`;

const saveKey = async (url: string, name: string): Promise<string> =>
  `${await packKey(url)}${await shortHash(name)}-`;

const quoted = (name: string): string => JSON.stringify(name);

function encodeHead(header: Header, ids: Int32Array): Uint8Array {
  const json = toJson(header);
  const bytes = new Uint8Array(12 + json.length + ids.length * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(8, json.length, true);
  bytes.set(json, 12);
  ids.forEach((id, i) => {
    view.setInt32(12 + json.length + 4 * i, id, true);
  });
  return bytes;
}

async function read(
  reader: Omit<Reader, "size">,
  name: string,
  bytes: number,
  format: KvFormat,
): Promise<KvFile> {
  const hasher = await newHasher();
  let at = 0;
  const next = async (length: number): Promise<Uint8Array> => {
    const piece = new Uint8Array(Math.min(length, bytes - at));
    if (piece.length < length || (await reader.read(piece, at)) < length) {
      throw damaged(name, "its file ends early");
    }
    at += length;
    return piece;
  };
  const hashed = async (length: number): Promise<Uint8Array> => {
    const piece = await next(length);
    hasher.update(piece);
    return piece;
  };

  const head = new DataView((await hashed(12)).buffer);
  if (head.getUint32(0, true) !== MAGIC) throw damaged(name, "its file is none of webbuild's");
  const version = head.getUint32(4, true);
  if (version !== VERSION) throw stale(name, "format version", version, VERSION);
  const header = fromJson(await hashed(head.getUint32(8, true))) as Header | undefined;
  if (!header || !Number.isSafeInteger(header.tokens) || header.tokens <= 0)
    throw damaged(name, "its header can't be read");
  for (const field of ["pack", "tier", "dtype", "pageSize", "pageBytes"] as const) {
    if (header[field] !== format[field]) throw stale(name, field, header[field], format[field]);
  }
  const pages = Math.ceil(header.tokens / format.pageSize);
  if (at + header.tokens * 4 + pages * format.pageBytes + DIGEST_BYTES !== bytes) {
    throw damaged(name, "its file has another size than its header says");
  }
  const tokens = new DataView((await hashed(header.tokens * 4)).buffer);
  const ids = Int32Array.from({ length: header.tokens }, (_, i) => tokens.getInt32(4 * i, true));
  return {
    name,
    tokens: header.tokens,
    bytes,
    ids,
    async *pages(most) {
      for (let left = pages; left > 0; left -= most) {
        yield await hashed(Math.min(left, most) * format.pageBytes);
      }
      const digest = new TextDecoder().decode(await next(DIGEST_BYTES));
      if (hasher.digest() !== digest) throw damaged(name, "its SHA-256 differs");
    },
    close: () => reader.close(),
  };
}

const AGAIN = "save it again with engine.kv.save, or remove it with engine.kv.delete";

const damaged = (name: string, problem: string): InvalidKvFile =>
  new InvalidKvFile(`the saved prefix ${quoted(name)} is damaged, ${problem}: ${AGAIN}`, {
    name,
    problem,
  });

const stale = (name: string, field: string, saved: unknown, expected: unknown): StaleKvFile =>
  new StaleKvFile(
    `the saved prefix ${quoted(name)} is of another ${field} than the loaded model: ${AGAIN}`,
    { name, field, saved, expected },
  );
