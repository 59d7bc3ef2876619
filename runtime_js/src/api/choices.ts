/** The choices of one request: each a call of its own, all side by side. */
import type { GenerateRequest } from "../engine/request.js";
import { abortError, throwIfAborted } from "../errors.js";
import { CompletionStream } from "./stream.js";

/** Runs one call for each choice; the first that fails ends the others. */
export async function answerAll<T>(
  choices: readonly GenerateRequest[],
  signal: AbortSignal | undefined,
  answer: (request: GenerateRequest, index: number, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  throwIfAborted(signal);
  const all = new AbortController();
  const onAbort = () => all.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.all(choices.map((request, i) => answer(request, i, all.signal)));
  } catch (error) {
    all.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Where the answers to a streamed request go. */
export interface Streamed<Chunk> {
  push(chunk: Chunk): void;
  /** The engine has accepted one more of the choices. */
  accept(): void;
}

/**
 * The same as a stream. Resolves once the engine has accepted all choices, so that a refusal rejects here and not while
 * iterating.
 *
 * @param finish is called when all are answered, before the stream ends
 */
export async function streamAll<Chunk, T>(
  choices: readonly GenerateRequest[],
  signal: AbortSignal | undefined,
  answer: (
    to: Streamed<Chunk>,
    request: GenerateRequest,
    index: number,
    signal: AbortSignal,
  ) => Promise<T>,
  finish: (to: Streamed<Chunk>, results: T[]) => void,
): Promise<CompletionStream<Chunk>> {
  throwIfAborted(signal);
  const stream = new CompletionStream<Chunk>(new AbortController());
  const onAbort = () => {
    stream.end(abortError(signal));
    stream.controller.abort(signal?.reason);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  let waiting = choices.length;
  let resolveAccepted = () => {};
  const accepted = new Promise<void>((resolve) => {
    resolveAccepted = resolve;
  });
  const to: Streamed<Chunk> = {
    push: (chunk) => stream.push(chunk),
    accept() {
      if (--waiting === 0) resolveAccepted();
    },
  };
  const running = answerAll(choices, stream.controller.signal, (...call) => answer(to, ...call))
    .then((results) => {
      finish(to, results);
      stream.end();
    })
    .finally(() => signal?.removeEventListener("abort", onAbort));
  running.catch((error: unknown) => stream.end(error));
  await Promise.race([accepted, running]);
  return stream;
}
