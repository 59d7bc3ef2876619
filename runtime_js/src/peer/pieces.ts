/** Flow control of a transfer: how many bytes may be on their way at once. */
import { PeerTimeout, throwIfAborted } from "../errors.js";

/** Bytes sent and not yet acknowledged. Enough to keep a relay across a room busy, little enough for a phone's memory. */
const WINDOW_BYTES = 8 << 20;
/** Milliseconds in which one of the pieces that are on their way must be acknowledged, however many there are. */
const SILENT_MS = 30_000;

/**
 * Sends pieces in order, the next one only when with it at most `windowBytes` are unacknowledged (a larger one goes alone).
 * When a piece fails, none is acknowledged for `silentMs`, or the signal aborts, no other is sent; it rejects when all that
 * were sent have settled.
 *
 * @param pieces made as they are needed, so that no more than the window is held
 * @param send resolves when the other side has taken the piece, rejects when its signal aborts
 * @throws PeerTimeout, AbortError, what `send` rejects with
 */
export async function sendPieces<P extends { bytes: Uint8Array }>(
  pieces: AsyncIterable<P>,
  send: (piece: P, signal: AbortSignal) => Promise<unknown>,
  signal: AbortSignal,
  { windowBytes = WINDOW_BYTES, silentMs = SILENT_MS } = {},
): Promise<void> {
  const sent = new Set<Promise<void>>();
  let unacknowledged = 0;
  let failure: { error: unknown } | undefined;
  const giveUp = new AbortController();
  const until = AbortSignal.any([signal, giveUp.signal]);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    clearTimeout(timer);
    if (sent.size === 0) return;
    timer = setTimeout(() => {
      failure ??= { error: new PeerTimeout(`no piece was acknowledged in ${silentMs} ms`) };
      giveUp.abort();
    }, silentMs);
  };
  try {
    for await (const piece of pieces) {
      const { byteLength } = piece.bytes; // 0 once it is transferred
      while (!failure && sent.size > 0 && unacknowledged + byteLength > windowBytes) {
        await Promise.race(sent);
      }
      throwIfAborted(signal);
      if (failure) throw failure.error;
      unacknowledged += byteLength;
      const sending: Promise<void> = send(piece, until)
        .then(
          () => {},
          (error) => {
            failure ??= { error };
          },
        )
        .then(() => {
          unacknowledged -= byteLength;
          sent.delete(sending);
          listen();
        });
      sent.add(sending);
      if (sent.size === 1) listen();
    }
  } finally {
    await Promise.all(sent);
  }
  if (failure) throw failure.error;
}
