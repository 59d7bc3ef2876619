/** Requests and answers as messages, for where whoever asks can't hold the engine: service workers, servers. */
import type { Fetch } from "./fetch.js";

/** A request as plain data. */
export interface WireRequest {
  method: string;
  url: string;
  headers: [string, string][];
  /** The text of the body, "" if there is none. */
  body: string;
}

/** From who asks. `cancel`: the caller is gone. */
export type AskMessage = { id: number } & ({ request: WireRequest } | { cancel: true });

/** From who answers: a head, then any number of pieces of text, then the end; or an error at any time. */
export type AnswerMessage = { id: number } & (
  | { head: { status: number; headers: [string, string][] } }
  | { text: string }
  | { end: true }
  | { error: string }
);

/** Messages that can be cloned, or made JSON of. */
export interface MessageChannelLike {
  send(message: AnswerMessage): void;
  /** Calls `listener` with every message that arrives. */
  listen(listener: (message: AskMessage) => void): void;
}

/**
 * Answers the requests that arrive at a channel, any number at a time.
 *
 * @param fetch of `createFetch`
 * @returns ends the requests under way, for when the other side is gone
 */
export function serveRequests(channel: MessageChannelLike, fetch: Fetch): () => void {
  const running = new Map<number, AbortController>();
  channel.listen((message) => {
    const { id } = message;
    if ("cancel" in message) {
      running.get(id)?.abort();
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    void answer(channel, id, fetch, message.request, controller.signal).finally(() =>
      running.delete(id),
    );
  });
  return () => {
    for (const controller of running.values()) controller.abort();
  };
}

async function answer(
  channel: MessageChannelLike,
  id: number,
  fetch: Fetch,
  { url, method, headers, body }: WireRequest,
  signal: AbortSignal,
): Promise<void> {
  try {
    const init = { method, headers, signal, ...(body === "" ? {} : { body }) };
    const response = await fetch(url, init);
    channel.send({ id, head: { status: response.status, headers: [...response.headers] } });
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let piece = await reader?.read();
    while (piece && !piece.done) {
      channel.send({ id, text: decoder.decode(piece.value, { stream: true }) });
      piece = await reader?.read();
    }
    channel.send({ id, end: true });
  } catch (error) {
    if (!signal.aborted) channel.send({ id, error: (error as Error).message });
  }
}
