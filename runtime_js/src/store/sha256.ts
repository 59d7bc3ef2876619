/** SHA-256 of what is stored and downloaded. */
import { onDemand } from "../on_demand.js";
import type { Hasher } from "./hash_in_pieces.js";

export type { Hasher };

/**
 * Of a message that comes in pieces; crypto.subtle takes only whole ones. A stored pack is loaded without: a file of its own in
 * the built package.
 */
export async function newHasher(): Promise<Hasher> {
  const { hashInPieces } = await onDemand(() => import("./hash_in_pieces.js"));
  return hashInPieces();
}

/** Of a whole message, by the browser's own code: a cached start needs no other. 64 hex digits. */
export async function sha256(bytes: Uint8Array | string): Promise<string> {
  const message = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const hash = await crypto.subtle.digest("SHA-256", message as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
