/** The origin private file system: one file per blob, appended through sync access handles (dedicated workers only). */
import type { Appender, Reader, Store } from "./store.js";

const DIRECTORY = "webbuild";

/** @returns undefined where the file system or its sync access is missing */
export async function openOpfs(): Promise<Store | undefined> {
  const handle = globalThis.FileSystemFileHandle?.prototype as object | undefined;
  if (!handle || !("createSyncAccessHandle" in handle)) return undefined;
  try {
    const root = await navigator.storage.getDirectory();
    const open = () => root.getDirectoryHandle(DIRECTORY, { create: true });
    return new OpfsStore(await ask(root, open));
  } catch {
    return undefined; // private windows of some browsers refuse it
  }
}

const asked = new Set<FileSystemHandle>();

/** Chromium never answers a handle that was collected while it was asked: so somebody holds it until then. */
async function ask<T>(handle: FileSystemHandle, question: () => Promise<T>): Promise<T> {
  asked.add(handle);
  try {
    return await question();
  } finally {
    asked.delete(handle);
  }
}

/** Chrome's addition to the standard. */
interface SharedFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(options?: { mode: "read-only" }): Promise<FileSystemSyncAccessHandle>;
}

/**
 * Lets other tasks have a turn, without the wait of a timer. Somebody must hold it: a channel of which only the posted
 * message is left can be collected with it.
 */
class Turns {
  readonly #channel = new MessageChannel();
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#channel.port1.onmessage = () => this.#waiting.shift()?.();
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#channel.port2.postMessage(null);
    });
  }

  close(): void {
    this.#channel.port1.close();
  }
}

class OpfsStore implements Store {
  readonly kind = "opfs";

  constructor(private readonly directory: FileSystemDirectoryHandle) {}

  async #file(key: string): Promise<File | undefined> {
    try {
      const handle = await this.directory.getFileHandle(key);
      return await ask(handle, () => handle.getFile());
    } catch (error) {
      if (isNamed(error, "NotFoundError")) return undefined;
      throw error;
    }
  }

  async size(key: string): Promise<number | undefined> {
    return (await this.#file(key))?.size;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const file = await this.#file(key);
    return file && new Uint8Array(await file.arrayBuffer());
  }

  async read(key: string, at: number, length: number): Promise<Uint8Array> {
    const file = await this.#file(key);
    return file
      ? new Uint8Array(await file.slice(at, at + length).arrayBuffer())
      : new Uint8Array(0);
  }

  /**
   * Straight from the file: `File.slice` brings the bytes through two more processes. Only where handles can be shared: an
   * exclusive one would keep other tabs from reading.
   */
  async open(key: string): Promise<Reader | undefined> {
    if (!("mode" in FileSystemSyncAccessHandle.prototype)) return undefined;
    let access: FileSystemSyncAccessHandle;
    try {
      const handle = (await this.directory.getFileHandle(key)) as SharedFileHandle;
      access = await ask(handle, () => handle.createSyncAccessHandle({ mode: "read-only" }));
    } catch {
      return undefined; // another tab writes it
    }
    const turns = new Turns();
    return {
      size: access.getSize(),
      async read(into, at) {
        const count = access.read(into as Uint8Array<ArrayBuffer>, { at });
        await turns.next(); // for messages and the GPU's answers
        return count;
      },
      close() {
        turns.close();
        access.close();
      },
    };
  }

  async append(key: string, anew?: boolean): Promise<Appender | undefined> {
    const handle = await this.directory.getFileHandle(key, { create: true });
    let access: FileSystemSyncAccessHandle;
    try {
      access = await ask(handle, () => handle.createSyncAccessHandle());
    } catch (error) {
      if (isNamed(error, "NoModificationAllowedError")) return undefined;
      throw error;
    }
    let size: number;
    try {
      if (anew) access.truncate(0);
      size = access.getSize();
    } catch (error) {
      access.close(); // else the file stays locked as long as this worker lives
      throw error;
    }
    return {
      get size() {
        return size;
      },
      async append(bytes) {
        const written = access.write(bytes as Uint8Array<ArrayBuffer>, { at: size });
        if (written < bytes.length) {
          access.truncate(size);
          throw new DOMException("the disk is full", "QuotaExceededError");
        }
        size += written;
      },
      async close() {
        try {
          access.flush();
        } finally {
          access.close();
        }
      },
    };
  }

  async remove(key: string): Promise<void> {
    try {
      await this.directory.removeEntry(key);
    } catch (error) {
      // Open in another tab: that tab uses it, so it stays.
      if (!isNamed(error, "NotFoundError") && !isNamed(error, "NoModificationAllowedError"))
        throw error;
    }
  }

  async keys(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.directory.keys()) names.push(name);
    return names;
  }
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
