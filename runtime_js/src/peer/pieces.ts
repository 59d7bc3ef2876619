/** Flow control of a transfer: how many bytes may be on their way at once. */
import { throwIfAborted } from "../errors.js";

/** Bytes sent and not yet acknowledged. Enough to keep a relay across a room busy, little enough for a phone's memory. */
export const WINDOW_BYTES = 8 << 20;

/**
 * Sends pieces in order, the next one only when with it at most `windowBytes` are unacknowledged (a larger one goes alone).
 * When a piece fails, or the signal aborts, no other is sent; it rejects when all that were sent have settled.
 *
 * @param pieces made as they are needed, so that no more than the window is held
 * @param send resolves when the other side has taken the piece
 */
export async function sendPieces<P extends { bytes: Uint8Array }>(
  pieces: AsyncIterable<P>,
  send: (piece: P) => Promise<unknown>,
  signal: AbortSignal,
  windowBytes = WINDOW_BYTES,
): Promise<void> {
  const sent = new Set<Promise<void>>();
  let unacknowledged = 0;
  let failure: { error: unknown } | undefined;
  try {
    for await (const piece of pieces) {
      const { byteLength } = piece.bytes; // 0 once it is transferred
      while (!failure && sent.size > 0 && unacknowledged + byteLength > windowBytes) {
        await Promise.race(sent);
      }
      throwIfAborted(signal);
      if (failure) throw failure.error;
      unacknowledged += byteLength;
      const sending: Promise<void> = send(piece)
        .then(
          () => {},
          (error) => {
            failure ??= { error };
          },
        )
        .then(() => {
          unacknowledged -= byteLength;
          sent.delete(sending);
        });
      sent.add(sending);
    }
  } finally {
    await Promise.all(sent);
  }
  if (failure) throw failure.error;
}
