/** Several engines behind one `chat.completions.create`. */
import type { RequestOptions } from "../api/chat.js";
import type { ChatPrompt, Prompt } from "../api/prompt.js";
import type { ServingEngine, StartGenerateOptions } from "../api/serving_engine.js";
import type { ChatCompletionStream } from "../api/stream.js";
import type {
  ChatCompletion,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
} from "../api/types.js";
import { isNamed, leastBusy, RoutedEngine, TooFewEngines } from "./routed_engine.js";
import { RoutedRequest } from "./routed_request.js";

/** A request on its way to an engine: hand `options` on to `startGenerate`, and its `signal` to the other calls. */
export interface Job {
  /** Messages, with what else the prompt depends on. */
  prompt: Prompt;
  options: StartGenerateOptions & { signal: AbortSignal };
}

/**
 * Decides which engines do what, and answers by what `startGenerate` of one of them gives. Engines that were lost are not
 * among them for a while (`index` tells which ones these are); when one is lost meanwhile, it is called again without that one.
 */
export type Strategy = (
  job: Job,
  engines: readonly RoutedEngine[],
) => Promise<ChatCompletion | ChatCompletionStream>;

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
    if (typeof strategy !== "function")
      throw new TypeError("a router needs a strategy: roundRobin(), or one of yours");
    this.engines = engines.map((engine, index) => new RoutedEngine(engine, index));
    this.chat = { completions: { create: this.#create.bind(this) as Create } };
  }

  async #create(
    params: ChatCompletionCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatCompletionStream> {
    this.engines[0]?.engine.check(params);
    const { messages: _, ...rest } = params;
    const request = new RoutedRequest(this.engines, signal);
    const job = { prompt: chatPrompt(params), options: { ...rest, signal: request.signal } };
    const { overflow = "error" } = params.webbuild?.context ?? {};
    return request.answer(async (engines) => {
      if (overflow !== "error" && !(await fits(job, engines))) return answerAlone(job, engines); // which makes it fit
      try {
        return await this.strategy(job, engines);
      } catch (error) {
        const isLacking = engines.length < this.engines.length; // else the strategy never works
        if (!(isLacking && error instanceof TooFewEngines)) throw error;
        request.release();
        return answerAlone(job, engines);
      }
    });
  }
}

/** The least busy engine does all of it. */
function answerAlone({ prompt, options }: Job, engines: readonly RoutedEngine[]) {
  return leastBusy(engines).startGenerate(prompt, options);
}

/** Whether the context has room for the prompt. */
async function fits(
  { prompt, options: { signal } }: Job,
  engines: readonly RoutedEngine[],
): Promise<boolean> {
  try {
    await leastBusy(engines).prepRecv(prompt, { reserve: false, signal });
    return true;
  } catch (error) {
    if (isNamed(error, "ContextLengthExceeded")) return false;
    throw error;
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
