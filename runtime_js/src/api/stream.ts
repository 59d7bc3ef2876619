/** A streamed completion: an async iterable of chunks, as in the `openai` package. */
import type { ChatCompletionChunk } from "./types.js";

export type ChatCompletionStream = CompletionStream<ChatCompletionChunk>;

export class CompletionStream<Chunk> implements AsyncIterable<Chunk> {
  readonly #chunks: Chunk[] = [];
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;
  #taken = false;
  #resolveEnded: () => void = () => {};
  /** Resolves when no more chunks will come, whether by the end, an abort or an error. */
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#resolveEnded = resolve;
  });

  /** @param controller `controller.abort()` ends the generation; the iteration then ends without an error */
  constructor(readonly controller: AbortController) {
    controller.signal.addEventListener("abort", () => this.end(), { once: true });
  }

  /** Adds a chunk. For the producer. */
  push(chunk: Chunk): void {
    if (this.#ended) return;
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** Ends the stream, with an error if there is one. For the producer. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#resolveEnded();
    this.#wake?.();
  }

  /** Chunks as they come. Leaving the loop early ends the generation. A stream can be read once. */
  [Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    const chunks = this.#read();
    const leave = chunks.return.bind(chunks);
    // A generator that is left before it has begun runs no `finally`.
    chunks.return = (value) => {
      if (!this.#ended) this.controller.abort();
      return leave(value);
    };
    return chunks;
  }

  async *#read(): AsyncGenerator<Chunk, void, undefined> {
    if (this.#taken) throw new Error("this stream has been read already");
    this.#taken = true;
    try {
      while (true) {
        const chunk = this.#chunks.shift();
        if (chunk) {
          yield chunk;
        } else if (this.#ended) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      if (!this.#ended) this.controller.abort();
    }
  }

  /** The chunks as JSON lines (UTF-8), e.g. for a `Response`. Cancelling it ends the generation. */
  toReadableStream(): ReadableStream<Uint8Array> {
    const chunks = this[Symbol.asyncIterator]();
    const encoder = new TextEncoder();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
      },
      async cancel() {
        await chunks.return();
      },
    });
  }
}
