/** SHA-256 in WebAssembly, as a chunk of its own: loaded when something is downloaded, checked again, saved or restored. */
import { createSHA256 } from "hash-wasm";

export interface Hasher {
  update(bytes: Uint8Array): void;
  /** 64 hex digits. */
  digest(): string;
}

export async function hashInPieces(): Promise<Hasher> {
  const hash = await createSHA256();
  hash.init();
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest("hex"),
  };
}
