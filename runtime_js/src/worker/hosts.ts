/** Hosts: what the engine finds in a worker, in a page, in Node. */
import type { Host } from "../engine/host.js";
import { NetworkError } from "../errors.js";
import { openCacheApi } from "../store/cache_api.js";
import { MemoryStore } from "../store/memory.js";
import { openOpfs } from "../store/opfs.js";
import type { Store } from "../store/store.js";

/** A browser's worker or page. */
export function browserHost(gpu: GPU | undefined = globalThis.navigator?.gpu): Host {
  return {
    gpu,
    fetch: (url, init) => fetch(url, init),
    openStore: async () => (await openOpfs()) ?? (await openCacheApi()),
  };
}

/** Lives as long as the process, so that a second load in it reads nothing from the network. */
let processStore: Store | undefined;

/** Node, Deno or Bun with a WebGPU implementation; reads `file:` URLs too. */
export function nativeHost(gpu: GPU | undefined): Host {
  processStore ??= new MemoryStore();
  const store = processStore;
  return {
    gpu,
    fetch: (url, init) => (url.startsWith("file:") ? fetchFile(url, init) : fetch(url, init)),
    openStore: async () => store,
  };
}

/** `fetch` for files, with open-ended ranges. Node's modules are asked for at run time, so that bundlers see none. */
async function fetchFile(url: string, init?: RequestInit): Promise<Response> {
  const fs = process.getBuiltinModule("node:fs");
  const { Readable } = process.getBuiltinModule("node:stream");
  const from = Number(
    /^bytes=(\d+)-$/.exec(new Headers(init?.headers).get("range") ?? "")?.[1] ?? 0,
  );
  let handle: Awaited<ReturnType<typeof fs.promises.open>>;
  try {
    handle = await fs.promises.open(new URL(url));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      return new Response(null, { status: 404 });
    throw new NetworkError(
      `${url} can't be opened: ${(cause as Error).message}`,
      { url },
      { cause },
    );
  }
  const { size } = await handle.stat();
  if (from > 0 && from >= size) {
    await handle.close();
    return new Response(null, { status: 416 });
  }
  const stream = handle.createReadStream({ start: from, highWaterMark: 1 << 20 });
  return new Response(Readable.toWeb(stream) as ReadableStream<Uint8Array<ArrayBuffer>>, {
    status: from > 0 ? 206 : 200,
  });
}
