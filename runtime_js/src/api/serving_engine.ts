/** What an engine does for whoever routes requests, wherever it runs: whole chats, and the three parts they are made of. */

import type { EngineStats } from "../engine/info.js";
import type { PrepRecvResult } from "../engine/kv_exchange.js";
import type { KvAddress } from "../engine/reservations.js";
import { InvalidRequestError } from "../errors.js";
import type { Calls } from "../worker/client.js";
import type { ServingMethods } from "../worker/protocol.js";
import { ChatCompletions, type RequestOptions } from "./chat.js";
import { Completions } from "./completions.js";
import { invalid, LONGEST_MS } from "./fields.js";
import { Models } from "./models.js";
import {
  isTokens,
  NO_MESSAGES,
  type Prompt,
  parseGiven,
  parsePrompt,
  settingsOf,
  withSettings,
} from "./prompt.js";
import { parseRequest } from "./request.js";
import { Responses } from "./responses/responses.js";
import type { ChatCompletionStream } from "./stream.js";
import type { ChatCompletion, ChatCompletionCreateParams, StreamOptions } from "./types.js";

export interface PrepRecvOptions extends RequestOptions {
  /** Receive up to this position, exclusive; negative from the prompt's end. Default -1: the last token is never received. */
  end?: number | undefined;
  /** false: only say what is cached; `kvAddr` is null then. Default true. */
  reserve?: boolean | undefined;
  /** Milliseconds to wait for room, and to hold the pages until they have come and are used. Default 30,000. */
  timeoutMs?: number | undefined;
  /** Milliseconds to wait for room, if that is to be less. Default `timeoutMs`. */
  roomMs?: number | undefined;
}

export interface RemoteSendOptions extends RequestOptions {
  /** From `prepRecv` of `to`. */
  kvAddr: KvAddress;
  /** The engine that waits, or its id. */
  to: ServingEngine | string;
  /**
   * The positions to send, of those that `kvAddr` waits for (the default: all); negative from the prompt's end. Several engines may send
   * a part each, also at once: the positions are cached when all of them have come.
   */
  begin?: number | undefined;
  end?: number | undefined;
}

/** All parameters of a chat completion but its messages. */
export type StartGenerateOptions = Omit<ChatCompletionCreateParams, "messages" | "stream"> &
  RequestOptions & {
    /** Where to go on; what comes before is expected in the cache, and computed where it is not. Default 0. */
    begin?: number | undefined;
    stream?: boolean | null | undefined;
    stream_options?: StreamOptions | null | undefined;
  };

const TIMEOUT_MS = 30_000;

/** An engine in this page ({@link Engine}), or elsewhere ({@link RemoteEngine}). */
export abstract class ServingEngine {
  readonly chat: { readonly completions: ChatCompletions };
  /** Texts that go on with a prompt, without a chat template. */
  readonly completions: Completions;
  readonly models: Models;
  /** OpenAI's Responses API: conversations whose turns this page keeps. */
  readonly responses: Responses;

  constructor(
    protected readonly serving: Calls<ServingMethods>,
    /** Which engine: a random text, as of the load. */
    readonly id: string,
    model: string,
  ) {
    this.chat = { completions: new ChatCompletions(serving, model) };
    this.completions = new Completions(serving, model);
    this.models = new Models(model);
    this.responses = new Responses(this.chat.completions, model);
  }

  /** The state now, and counts since the load began. */
  stats(): Promise<EngineStats> {
    return this.serving.stats(null);
  }

  /**
   * Gets ready to receive the keys and values of `prompt[matched, end)`: finds what is cached, reserves pages for the rest.
   * They are given back when they are not used in time, when what was to come fails, and when this engine's page goes away.
   *
   * @returns `kvAddr`, plain data, for {@link remoteSend} of another engine; `matched`, how many tokens are cached here;
   *   `tokens`, how many the prompt has
   * @throws InvalidRequestError, ContextLengthExceeded, TemplateError · KvRefused when there was no room in time, or can never be (at once) ·
   *   AbortError, EngineUnloaded, PeerLost, PeerUnknown
   */
  async prepRecv(
    prompt: Prompt,
    options: PrepRecvOptions & { reserve: false },
  ): Promise<PrepRecvResult>;
  async prepRecv(
    prompt: Prompt,
    options?: PrepRecvOptions,
  ): Promise<PrepRecvResult & { kvAddr: KvAddress }>;
  async prepRecv(
    prompt: Prompt,
    {
      end = -1,
      reserve = true,
      timeoutMs = TIMEOUT_MS,
      roomMs = timeoutMs,
      signal,
    }: PrepRecvOptions = {},
  ): Promise<PrepRecvResult> {
    for (const [param, ms] of Object.entries({ timeoutMs, roomMs })) {
      if (!(ms > 0))
        throw new InvalidRequestError(`${param} must be more than 0, not ${ms}`, { param });
    }
    return this.serving.prepRecv(
      {
        prompt: parsePrompt(prompt),
        end,
        reserve,
        timeoutMs: Math.min(timeoutMs, LONGEST_MS),
        roomMs,
      },
      { signal },
    );
  }

  /**
   * Sends another engine the keys and values that it waits for. What this engine's cache lacks of them it computes first, and
   * of what comes before them too. Resolves when all are in the other engine's cache, where they are held until it goes on
   * from there ({@link startGenerate}) or `prepRecv`'s time is over.
   *
   * @throws InvalidRequestError, ContextLengthExceeded, TemplateError · KvRefused when the engines run another pack or tier, or
   *   the reserved pages are gone · PeerUnknown, PeerLost, PeerTimeout · AbortError, EngineUnloaded, DeviceLostError
   */
  async remoteSend(prompt: Prompt, options: RemoteSendOptions): Promise<void> {
    const { to, kvAddr } = options;
    try {
      await this.transfer(prompt, options);
    } catch (error) {
      // It may not have come so far that this engine tells the other.
      if (typeof to !== "string") to.cancelRecv(kvAddr).catch(() => {});
      throw error;
    }
  }

  /**
   * Gives the pages of an address of {@link prepRecv} back: nothing will be sent there. A {@link remoteSend} that fails does it
   * itself; nothing happens when they are gone already.
   */
  async cancelRecv(kvAddr: KvAddress): Promise<void> {
    await this.serving.cancelRecv(kvAddr.transfer);
  }

  protected async transfer(prompt: Prompt, options: RemoteSendOptions): Promise<void> {
    const { kvAddr, to, begin = kvAddr.begin, end = kvAddr.end, signal } = options;
    const id = typeof to === "string" ? to : to.id;
    await this.serving.remoteSend(
      { prompt: parsePrompt(prompt), kvAddr, to: id, begin, end },
      { signal },
    );
  }

  /**
   * Answers, going on from what is cached: computes the prompt from `begin` on and generates. The answer is that of
   * `chat.completions.create`, whichever engine computed the beginning; its usage tells in `cached_tokens` how much was here.
   *
   * @throws as `chat.completions.create`
   */
  startGenerate(
    prompt: Prompt,
    options: StartGenerateOptions & { stream: true },
  ): Promise<ChatCompletionStream>;
  startGenerate(
    prompt: Prompt,
    options?: StartGenerateOptions & { stream?: false | null },
  ): Promise<ChatCompletion>;
  startGenerate(
    prompt: Prompt,
    options?: StartGenerateOptions,
  ): Promise<ChatCompletion | ChatCompletionStream>;
  async startGenerate(
    prompt: Prompt,
    { begin = 0, signal, ...params }: StartGenerateOptions = {},
  ): Promise<ChatCompletion | ChatCompletionStream> {
    const { given, settings } = settingsOf(prompt);
    const parsed = parseRequest({ ...withSettings(params, settings), messages: NO_MESSAGES });
    const messages = parseGiven(given);
    for (const choice of parsed.choices) Object.assign(choice, { messages, begin });
    const chat = typeof given === "string" || isTokens(given) ? undefined : given;
    if (!chat) {
      const needs = "can be given only with messages";
      if (parsed.summarise) throw invalid("webbuild.context.overflow", `as a function ${needs}`);
      if (params.reasoning_effort) throw invalid("reasoning_effort", needs);
      if (parsed.choices[0].template) throw invalid("webbuild.template", needs);
    }
    return this.chat.completions.answer(parsed, chat, signal);
  }

  /** Whether these are parameters of `chat.completions.create`, before any work is done. @throws InvalidRequestError */
  check(params: ChatCompletionCreateParams): void {
    parseRequest(params);
  }
}
