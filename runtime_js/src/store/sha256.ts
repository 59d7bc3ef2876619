/** SHA-256 in pieces (crypto.subtle takes only whole messages). */
import { createSHA256 } from "hash-wasm";

export interface Hasher {
  update(bytes: Uint8Array): void;
  /** 64 hex digits. */
  digest(): string;
}

export async function newHasher(): Promise<Hasher> {
  const hash = await createSHA256();
  hash.init();
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest("hex"),
  };
}

export async function sha256(bytes: Uint8Array | string): Promise<string> {
  const hasher = await newHasher();
  hasher.update(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  return hasher.digest();
}
