import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openOpfs } from "./opfs.js";
import type { Store } from "./store.js";

/** What an access handle fails in. */
let broken: string | undefined;
let store: Store;

/** One file with exclusive access, as the specification says. */
class FileSystemFileHandle {
  #locked = false;
  #bytes = 0;

  async createSyncAccessHandle() {
    if (this.#locked) throw new DOMException("locked", "NoModificationAllowedError");
    this.#locked = true;
    const may = (operation: string) => {
      if (operation === broken) throw new DOMException("the disk is full", "QuotaExceededError");
    };
    return {
      truncate: (size: number) => {
        may("truncate");
        this.#bytes = size;
      },
      getSize: () => {
        may("getSize");
        return this.#bytes;
      },
      write: (bytes: Uint8Array) => {
        this.#bytes += bytes.length;
        return bytes.length;
      },
      flush: () => may("flush"),
      close: () => {
        this.#locked = false;
      },
    };
  }
}

beforeEach(async () => {
  broken = undefined;
  const file = new FileSystemFileHandle();
  const directory = {
    getDirectoryHandle: async () => directory,
    getFileHandle: async () => file,
  };
  vi.stubGlobal("FileSystemFileHandle", FileSystemFileHandle);
  vi.stubGlobal("navigator", { storage: { getDirectory: async () => directory } });
  store = (await openOpfs()) as Store;
});
afterEach(() => vi.unstubAllGlobals());

test.each(["truncate", "getSize", "flush"])(
  "a %s that fails leaves no file locked",
  async (what) => {
    const write = async () => {
      const appender = await store.append("x", true);
      await appender?.append(new Uint8Array(3));
      await appender?.close();
      return appender?.size;
    };
    broken = what;
    await expect(write()).rejects.toMatchObject({ name: "QuotaExceededError" });
    broken = undefined;
    expect(await write()).toBe(3);
  },
);
