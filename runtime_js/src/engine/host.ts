/** What the engine needs from where it runs: a browser's worker, a page, or Node with Dawn. */
import type { Fetch } from "../store/download.js";
import type { Hasher } from "../store/sha256.js";
import type { Store } from "../store/store.js";

export type {} from "#webgpu"; // whoever has types of this package has WebGPU's: they lead here

export interface Host {
  gpu: GPU | undefined;
  fetch: Fetch;
  /** undefined: nothing is kept between loads. */
  openStore(): Promise<Store | undefined>;
  /** Instead of the package's own SHA-256, e.g. one that measures itself. */
  newHasher?: () => Promise<Hasher>;
}
