/**
 * Packs in a store. Blobs are named by their SHA-256, so a new version of a pack downloads only the files that changed; a
 * record per pack URL names the manifest and files that belong to it.
 *
 * `<sha>` is complete once `<sha>.ok` exists, which is written after its hash was verified.
 */
import type { PackManifest } from "../generated/pack.js";
import { readManifest } from "../program/manifest.js";
import { KV, removeSaved, removeSaves } from "./kv_store.js";
import { sha256 } from "./sha256.js";
import { fromJson, put, type Store, toJson } from "./store.js";

const RECORD = "pack-";
/** Before the hash of a kernels.json: the tunings that were measured here for its kernels. */
const TUNED = "tuned-";
const COMPLETE = ".ok";

/** What `Engine.listCached` tells of a pack. */
export interface CachedPack {
  url: string;
  name: string;
  /** Bytes of all its files. */
  totalBytes: number;
  /** Bytes of them that are stored. */
  storedBytes: number;
}

interface PackRecord {
  url: string;
  name: string;
  manifest: string;
  files: { sha256: string; nbytes: number }[];
}

export class PackCache {
  constructor(readonly store: Store) {}

  /**
   * The manifest of a pack that is stored whole, or undefined. Of a pack that is stored in part it would be of no use:
   * the server may have a newer version by now, whose files are others.
   */
  async wholePack(url: string): Promise<PackManifest | undefined> {
    const [record, names] = await Promise.all([
      recordKey(url).then((key) => this.#parse(key)),
      this.store.keys(),
    ]);
    const keys = new Set(names);
    if (!record || !keys.has(record.manifest + COMPLETE)) return undefined;
    const bytes = await this.store.get(record.manifest);
    if (!bytes || (await sha256(bytes)) !== record.manifest) return undefined;
    const manifest = readManifest(bytes);
    return manifest.files.every((f) => keys.has(f.sha256 + COMPLETE)) ? manifest : undefined;
  }

  /** Remembers a pack's manifest and files, before any of them is there: another tab may prune at any time. */
  async remember(url: string, bytes: Uint8Array, manifest: PackManifest): Promise<void> {
    const key = await sha256(bytes);
    const files = manifest.files.map(({ sha256, nbytes }) => ({ sha256, nbytes }));
    const record: PackRecord = { url, name: manifest.model.name, manifest: key, files };
    await put(this.store, await recordKey(url), toJson(record));
    if (await put(this.store, key, bytes)) await this.complete(key);
  }

  /** Removes a pack and the prefixes saved of it; files that another pack uses stay. */
  async forget(url: string): Promise<void> {
    await removeSaved(this.store, url);
    await this.store.remove(await recordKey(url));
    await this.prune();
  }

  async list(): Promise<CachedPack[]> {
    const records = await this.#records(await this.store.keys());
    return Promise.all(
      records
        .flatMap((r) => r ?? [])
        .map(async ({ url, name, files }) => {
          // Some browsers don't tell of what another tab is just writing.
          const sizes = files.map((f) => this.store.size(f.sha256).catch(() => 0));
          const stored = await Promise.all(sizes);
          return {
            url,
            name,
            totalBytes: files.reduce((n, f) => n + f.nbytes, 0),
            storedBytes: stored.reduce<number>((n, size) => n + (size ?? 0), 0),
          };
        }),
    );
  }

  /** Removes every blob that no pack names, but for saved prefixes: of these, what broke off. */
  async prune(): Promise<void> {
    // Keys first: what is there has its record by then, so nothing that another tab begins to store is removed.
    const keys = await this.store.keys();
    await removeSaves(this.store, keys, KV, false);
    const records = await this.#records(keys);
    if (records.includes(undefined)) return; // another tab is just writing it: who knows what it names
    const used = records.flatMap((r) => (r ? [r.manifest, ...r.files.map((f) => f.sha256)] : []));
    for (const key of keys) {
      if (key.startsWith(RECORD) || key.startsWith(KV)) continue;
      if (!used.some((sha) => key.includes(sha))) await this.store.remove(key);
    }
  }

  /** What was kept of a device for the kernels.json of that hash; undefined when nothing was. */
  async tuning(kernels: string, device: string): Promise<unknown> {
    return this.#parse(await tunedKey(kernels, device));
  }

  async keepTuning(kernels: string, device: string, value: unknown): Promise<void> {
    await put(this.store, await tunedKey(kernels, device), toJson(value));
  }

  async isComplete(sha: string): Promise<boolean> {
    return (await this.store.size(sha + COMPLETE)) !== undefined;
  }

  async complete(sha: string): Promise<void> {
    await put(this.store, sha + COMPLETE, new Uint8Array(0));
  }

  async discard(sha: string): Promise<void> {
    await this.store.remove(sha + COMPLETE);
    await this.store.remove(sha);
  }

  /** Of the packs among `keys`; undefined what can't be read. */
  #records(keys: string[]): Promise<(PackRecord | undefined)[]> {
    return Promise.all(keys.filter((k) => k.startsWith(RECORD)).map((k) => this.#parse(k)));
  }

  /** Undefined what another tab is just writing, which some browsers refuse to read, and what a crash left a part of. */
  async #parse(key: string): Promise<PackRecord | undefined> {
    return fromJson(await this.store.get(key).catch(() => undefined)) as PackRecord | undefined;
  }
}

const tunedKey = async (kernels: string, device: string): Promise<string> =>
  `${TUNED}${kernels}-${(await sha256(device)).slice(0, 16)}`;

const recordKey = async (url: string): Promise<string> => RECORD + (await sha256(url));
