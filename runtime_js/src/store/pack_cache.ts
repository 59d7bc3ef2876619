/**
 * Packs in a store. Blobs are named by their SHA-256, so a new version of a pack downloads only the files that changed; a
 * record per pack URL names the manifest and files that belong to it.
 *
 * `<sha>` is complete once `<sha>.ok` exists, which is written after its hash was verified.
 */
import type { PackManifest } from "../generated/pack.js";
import { readManifest } from "../program/manifest.js";
import { KV, removeSaved } from "./kv_store.js";
import { sha256 } from "./sha256.js";
import { put, type Store } from "./store.js";

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
    const [record, names] = await Promise.all([this.#record(url), this.store.keys()]);
    const keys = new Set(names);
    if (!record || !keys.has(record.manifest + COMPLETE)) return undefined;
    const bytes = await this.store.get(record.manifest);
    if (!bytes || (await sha256(bytes)) !== record.manifest) return undefined;
    const manifest = readManifest(bytes);
    return manifest.files.every((f) => keys.has(f.sha256 + COMPLETE)) ? manifest : undefined;
  }

  /** Remembers a pack's manifest and files, before the files are there. */
  async remember(url: string, bytes: Uint8Array, manifest: PackManifest): Promise<void> {
    const key = await sha256(bytes);
    const files = manifest.files.map(({ sha256, nbytes }) => ({ sha256, nbytes }));
    const record: PackRecord = { url, name: manifest.model.name, manifest: key, files };
    if (await put(this.store, key, bytes)) await this.complete(key);
    await put(this.store, await recordKey(url), new TextEncoder().encode(JSON.stringify(record)));
  }

  /** Removes a pack and the prefixes saved of it; files that another pack uses stay. */
  async forget(url: string): Promise<void> {
    await removeSaved(this.store, url);
    await this.store.remove(await recordKey(url));
    await this.prune();
  }

  async list(): Promise<CachedPack[]> {
    const records = await this.#records();
    return Promise.all(
      records.map(async ({ url, name, files }) => {
        const stored = await Promise.all(files.map((f) => this.store.size(f.sha256)));
        return {
          url,
          name,
          totalBytes: files.reduce((n, f) => n + f.nbytes, 0),
          storedBytes: stored.reduce<number>((n, size) => n + (size ?? 0), 0),
        };
      }),
    );
  }

  /** Removes every blob that no pack names, but for saved prefixes. */
  async prune(): Promise<void> {
    const records = await this.#records();
    const used = new Set(records.flatMap((r) => [r.manifest, ...r.files.map((f) => f.sha256)]));
    for (const key of await this.store.keys()) {
      if (key.startsWith(RECORD) || key.startsWith(KV)) continue;
      const blob = key.endsWith(COMPLETE) ? key.slice(0, -COMPLETE.length) : key;
      const [tuned] = key.startsWith(TUNED) ? key.slice(TUNED.length).split("-") : [blob];
      if (!used.has(tuned as string)) await this.store.remove(key);
    }
  }

  /** What was kept of a device for the kernels.json of that hash; undefined when nothing was. */
  async tuning(kernels: string, device: string): Promise<unknown> {
    try {
      const bytes = await this.store.get(await tunedKey(kernels, device));
      return bytes && JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return undefined; // half written: as good as not there
    }
  }

  async keepTuning(kernels: string, device: string, value: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    await put(this.store, await tunedKey(kernels, device), bytes);
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

  async #record(url: string): Promise<PackRecord | undefined> {
    return this.#parse(await recordKey(url));
  }

  async #records(): Promise<PackRecord[]> {
    const keys = (await this.store.keys()).filter((k) => k.startsWith(RECORD));
    const records = await Promise.all(keys.map((k) => this.#parse(k)));
    return records.filter((r) => r !== undefined);
  }

  async #parse(key: string): Promise<PackRecord | undefined> {
    const bytes = await this.store.get(key);
    try {
      return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as PackRecord);
    } catch {
      return undefined; // a crash while writing it: as good as not there
    }
  }
}

const tunedKey = async (kernels: string, device: string): Promise<string> =>
  `${TUNED}${kernels}-${(await sha256(new TextEncoder().encode(device))).slice(0, 16)}`;

const recordKey = async (url: string): Promise<string> => RECORD + (await sha256(url));
