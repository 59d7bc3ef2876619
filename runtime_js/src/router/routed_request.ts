/** One request on its way through a router: when an engine is lost before anything was streamed, others are tried. */
import type { ChatCompletionStream } from "../api/stream.js";
import type { ChatCompletion, ChatCompletionChunk } from "../api/types.js";
import { isLost, type RoutedEngine } from "./routed_engine.js";

type Answer = ChatCompletion | ChatCompletionStream;

export class RoutedRequest {
  /** Ends it when the caller leaves its stream. */
  readonly #left = new AbortController();
  /** Of all its calls: by it engines know what they are busy with. */
  readonly signal: AbortSignal;
  /** How often each engine was lost before. */
  readonly #losses: ReadonlyMap<RoutedEngine, number>;
  #tried = Number.POSITIVE_INFINITY;

  /** @param signal the caller's */
  constructor(
    private readonly engines: readonly RoutedEngine[],
    signal: AbortSignal | undefined,
  ) {
    this.signal = AbortSignal.any([this.#left.signal, ...(signal ? [signal] : [])]);
    this.#losses = new Map(engines.map((engine) => [engine, engine.losses]));
  }

  /** @param ask has some of these engines answer @throws what the last one that was tried said */
  async answer(ask: (engines: readonly RoutedEngine[]) => Promise<Answer>): Promise<Answer> {
    const said = await this.#next(ask);
    if (!("ended" in said)) {
      this.release();
      return said;
    }
    // Of the engine's class, as `webbuild/router` is bundled with one of its own.
    const Stream = said.constructor as new (controller: AbortController) => ChatCompletionStream;
    const stream = new Stream(this.#left);
    stream.ended.then(() => this.release());
    this.#relay(said, stream, ask).catch((error: unknown) => stream.end(error));
    return stream;
  }

  /** No engine is busy with it any more. */
  release(): void {
    for (const engine of this.engines) engine.release(this.signal);
  }

  /** The answer of those that were not lost meanwhile. @param failed why one is wanted again */
  async #next(
    ask: (engines: readonly RoutedEngine[]) => Promise<Answer>,
    failed?: { error: unknown },
  ): Promise<Answer> {
    for (let last = failed; ; ) {
      const left = this.engines.filter((engine) => engine.losses === this.#losses.get(engine));
      // Each try finds one that is lost, or the next would be no better.
      const isOver = left.length === 0 || left.length >= this.#tried;
      if (last && !isLost(last.error)) throw last.error;
      if (last && this.signal.aborted) throw this.signal.reason; // as fetch does
      if (last && isOver) throw last.error;
      this.#tried = left.length;
      const working = left.filter(({ works }) => works);
      try {
        return await ask(working.length > 0 ? working : left);
      } catch (error) {
        this.release();
        last = { error };
      }
    }
  }

  async #relay(
    first: ChatCompletionStream,
    to: ChatCompletionStream,
    ask: (engines: readonly RoutedEngine[]) => Promise<Answer>,
  ): Promise<void> {
    for (let from = first; ; ) {
      let heads: ChatCompletionChunk[] | undefined = []; // they say nothing yet
      try {
        for await (const chunk of from) {
          if (heads && isHead(chunk)) {
            heads.push(chunk);
            continue;
          }
          for (const head of heads ?? []) to.push(head);
          heads = undefined;
          to.push(chunk);
        }
        for (const head of heads ?? []) to.push(head);
        return to.end();
      } catch (error) {
        for (const engine of this.engines) engine.streamFailed(from, error);
        if (!heads) throw error;
        from = (await this.#next(ask, { error })) as typeof from;
      }
    }
  }
}

/** Whether a chunk only says that an answer begins. */
function isHead({ choices }: ChatCompletionChunk): boolean {
  return choices.length > 0 && choices.every(({ delta }) => delta.role && !delta.content);
}
