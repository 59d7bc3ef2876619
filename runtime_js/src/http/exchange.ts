/** Requests and answers as messages, for where whoever asks can't hold the engine: service workers, servers. */
import { type ErrorBody, errorBody, HttpError } from "./error_body.js";
import type { Fetch, Head } from "./fetch.js";

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

/** A head, then any number of pieces of text, then the end; or an error at any time. */
type Answer = { head: Head } | { text: string } | { end: true } | { error: string };

/** From who answers. */
export type AnswerMessage = { id: number } & Answer;

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
 * @param early tells the head of an answer before it is there, for askers that learn only then that their caller has gone. If the engine
 *   fails after that, the answer breaks off with an error
 * @returns ends the requests under way, for when the other side is gone
 */
export function serveRequests(
  channel: MessageChannelLike,
  fetch: Fetch,
  { early = false }: { early?: boolean } = {},
): () => void {
  const running = new Map<number, AbortController>();
  channel.listen((message) => {
    const { id } = message;
    if ("cancel" in message) {
      running.get(id)?.abort();
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    const tell = (what: Answer) => channel.send({ id, ...what });
    void answer(message.request, fetch, tell, { signal, early }).finally(() => running.delete(id));
  });
  return () => {
    for (const controller of running.values()) controller.abort();
  };
}

async function answer(
  asked: WireRequest,
  fetch: Fetch,
  tell: (what: Answer) => void,
  { signal, early }: { signal: AbortSignal; early: boolean },
): Promise<void> {
  let told = false;
  const begin = (head: Head) => {
    if (!told) tell({ head });
    told = true;
  };
  try {
    const request = toRequest(asked);
    const response =
      request instanceof Request
        ? await fetch(request, { signal }, early ? begin : undefined)
        : request;
    if (told && !response.ok) {
      const { error } = (await response.json()) as ErrorBody;
      return tell({ error: error.message });
    }
    begin({ status: response.status, headers: [...response.headers] });
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    let piece = await reader?.read();
    while (piece && !piece.done) {
      tell({ text: decoder.decode(piece.value, { stream: true }) });
      piece = await reader?.read();
    }
    tell({ end: true });
  } catch (error) {
    if (!signal.aborted) tell({ error: (error as Error).message });
  }
}

/** The request, or the answer to what none can be made of: it is the asker's mistake, not this side's end. */
function toRequest({ url, method, headers, body }: WireRequest): Request | Response {
  try {
    const init = { method, headers, ...(body === "" || method === "GET" ? {} : { body }) };
    return new Request(new URL(url, "http://localhost"), init);
  } catch (error) {
    const what = `this is no request: ${(error as Error).message}`;
    const { status, body } = errorBody(new HttpError(400, what, "invalid_request"));
    return Response.json(body, { status });
  }
}
