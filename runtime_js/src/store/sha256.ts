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

/** Of a whole message, by the browser's own code: a cached start needs no other. 64 hex digits. */
export async function sha256(bytes: Uint8Array | string): Promise<string> {
  const message = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const hash = await crypto.subtle.digest("SHA-256", message as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
