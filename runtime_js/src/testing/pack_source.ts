/** A pack's files over HTTP, kept in a store, as a load reads them. */
import { PackCache } from "../store/pack_cache.js";
import { PackSource, type SourceOptions } from "../store/pack_source.js";
import type { Store } from "../store/store.js";

export function sourceAt(
  base: string,
  store: Store,
  options: Partial<SourceOptions> = {},
): PackSource {
  return new PackSource(base, {
    fetch: (url, init) => fetch(url, init),
    cache: new PackCache(store),
    signal: new AbortController().signal,
    revalidate: false,
    verifyCache: false,
    ...options,
  });
}
