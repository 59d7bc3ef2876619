/** Several engines behind one `chat.completions.create`. */
import type { RequestOptions } from "../api/chat.js";
import type { ChatPrompt, Prompt } from "../api/prompt.js";
import type {
  PrepRecvOptions,
  RemoteSendOptions,
  ServingEngine,
  StartGenerateOptions,
} from "../api/serving_engine.js";
import type { ChatCompletionStream } from "../api/stream.js";
import type {
  ChatCompletion,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
} from "../api/types.js";
import { ContextLengthExceeded } from "../errors.js";

/** A request on its way to an engine: hand `options` on to `startGenerate`, and its `signal` to the other calls. */
export interface Job {
  /** Messages, with what else the prompt depends on. */
  prompt: Prompt;
  options: StartGenerateOptions;
}

/** Decides which engines do what, and answers by what `startGenerate` of one of them gives. */
export type Strategy = (
  job: Job,
  engines: readonly RoutedEngine[],
) => Promise<ChatCompletion | ChatCompletionStream>;

/** An engine as strategies see it: the three calls, and how busy this router keeps it. */
export class RoutedEngine {
  #active = 0;

  constructor(readonly engine: ServingEngine) {}

  /** Calls of this router that are under way: answers, streams that have not ended, sends. */
  get active(): number {
    return this.#active;
  }

  prepRecv(
    prompt: Prompt,
    options: PrepRecvOptions & { reserve: false },
  ): ReturnType<ServingEngine["prepRecv"]>;
  prepRecv(prompt: Prompt, options?: PrepRecvOptions): ReturnType<ServingEngine["prepRecv"]>;
  prepRecv(prompt: Prompt, options?: PrepRecvOptions) {
    return this.engine.prepRecv(prompt, options);
  }

  remoteSend(
    prompt: Prompt,
    { to, ...options }: Omit<RemoteSendOptions, "to"> & { to: RoutedEngine },
  ): Promise<void> {
    return this.#during(this.engine.remoteSend(prompt, { ...options, to: to.engine }));
  }

  startGenerate(
    prompt: Prompt,
    options: StartGenerateOptions,
  ): Promise<ChatCompletion | ChatCompletionStream> {
    const answer = this.engine.startGenerate(prompt, options);
    this.#during(answer.then((said) => ("ended" in said ? said.ended : undefined))).catch(() => {});
    return answer;
  }

  #during<T>(work: Promise<T>): Promise<T> {
    this.#active++;
    return work.finally(() => this.#active--);
  }
}

/**
 * Offers what an engine offers, over several of one pack.
 *
 * @example
 * import { prefillDecode, Router } from "webbuild/router";
 * const router = new Router([await Engine.load(pack), await Engine.load(pack)], prefillDecode());
 * await router.chat.completions.create({ messages, stream: true });
 */
export class Router {
  readonly chat: { readonly completions: { create: Create } };
  readonly engines: readonly RoutedEngine[];

  /** @param engines at least one; in this page, or linked with it */
  constructor(
    engines: readonly ServingEngine[],
    readonly strategy: Strategy,
  ) {
    if (engines.length === 0) throw new RangeError("a router needs an engine");
    this.engines = engines.map((engine) => new RoutedEngine(engine));
    this.chat = { completions: { create: this.#create.bind(this) as Create } };
  }

  async #create(
    params: ChatCompletionCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatCompletionStream> {
    this.engines[0]?.engine.check(params);
    const { messages: _, ...rest } = params;
    const prompt = chatPrompt(params);
    const job = { prompt, options: { ...rest, signal } };
    const { overflow = "error" } = params.webbuild?.context ?? {};
    if (overflow === "error" || (await this.#fits(prompt, signal))) {
      return this.strategy(job, this.engines);
    }
    return leastBusy(this.engines).startGenerate(prompt, job.options); // which makes it fit
  }

  async #fits(prompt: Prompt, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await leastBusy(this.engines).prepRecv(prompt, { reserve: false, signal });
      return true;
    } catch (error) {
      if (error instanceof ContextLengthExceeded) return false;
      throw error;
    }
  }
}

/** What of a request makes its prompt. */
function chatPrompt(params: ChatCompletionCreateParams): ChatPrompt {
  const { messages, tools, tool_choice, reasoning_effort, webbuild } = params;
  const template = webbuild?.template;
  return {
    messages,
    ...(tools ? { tools, tool_choice } : {}),
    ...(reasoning_effort ? { reasoning_effort } : {}),
    ...(template ? { webbuild: { template } } : {}),
  };
}

/** The one with the fewest requests under way. */
export function leastBusy(engines: readonly RoutedEngine[]): RoutedEngine {
  if (engines.length === 0) throw new RangeError("this strategy needs more engines");
  return engines.reduce((best, engine) => (engine.active < best.active ? engine : best));
}

/** As of an engine's chat completions. */
interface Create {
  (
    params: ChatCompletionCreateParamsNonStreaming,
    options?: RequestOptions,
  ): Promise<ChatCompletion>;
  (
    params: ChatCompletionCreateParamsStreaming,
    options?: RequestOptions,
  ): Promise<ChatCompletionStream>;
  (
    params: ChatCompletionCreateParams,
    options?: RequestOptions,
  ): Promise<ChatCompletion | ChatCompletionStream>;
}
