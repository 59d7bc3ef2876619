/** Server-sent events, as OpenAI's API streams its answers. */
import { errorBody } from "./error_body.js";

export interface EventFormat {
  /** Events have their `type` for a name, and the last of them tells the end (responses); else `[DONE]` does (completions). */
  named: boolean;
}

/**
 * One event for each chunk, taken when the reader wants one. An error becomes an event `error`, after which the stream ends.
 *
 * @param cancel ends the work when the reader leaves
 * @param signal the caller's: the body breaks off with its reason, as that of `fetch` does
 */
export function eventStream(
  chunks: AsyncIterable<unknown>,
  { named }: EventFormat,
  cancel: () => void,
  signal: AbortSignal | null | undefined,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const iterator = chunks[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let onAbort = () => {};
  const done = () => signal?.removeEventListener("abort", onAbort);
  return new ReadableStream({
    start(controller) {
      onAbort = () => {
        controller.error(signal?.reason);
        cancel();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
    },
    async pull(controller) {
      const send = (data: string, name?: string) => {
        const event = name === undefined ? "" : `event: ${name}\n`;
        controller.enqueue(encoder.encode(`${event}data: ${data}\n\n`));
      };
      try {
        const { done: ended, value } = await iterator.next();
        if (signal?.aborted) return;
        if (!ended) {
          send(JSON.stringify(value), named ? (value as { type?: string }).type : undefined);
          return;
        }
        if (!named) send("[DONE]");
      } catch (error) {
        if (signal?.aborted) return;
        const { body } = errorBody(error);
        // A stream of responses has an event of this name, whose data are the error itself.
        send(JSON.stringify(named ? { ...body.error, type: "error" } : body), "error");
      }
      done();
      controller.close();
    },
    cancel() {
      done();
      cancel();
    },
  });
}
