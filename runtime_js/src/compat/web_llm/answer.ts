/** One answer under way: its chunks, its text so far, its statistics, and its interruption. */
import type { ChatCompletionStream, ChatCompletionChunk as Chunk, Engine } from "../../index.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequestBase,
  CompletionUsage,
} from "./types.js";

type Message = ChatCompletion["choices"][number]["message"];
type Delta = Chunk["choices"][number]["delta"];

/** Adds a delta to what came before: texts are joined, tool calls by their index. */
function append(message: Record<string, unknown>, delta: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(delta)) {
    if (value === undefined || key === "role") continue;
    const before = message[key];
    if (typeof value === "string" && typeof before === "string" && key !== "id" && key !== "type") {
      message[key] = before + value;
    } else if (Array.isArray(value)) {
      message[key] ??= [];
      const list = message[key] as Record<string, unknown>[];
      for (const { index, ...part } of value) {
        list[index] ??= {};
        append(list[index], part);
      }
    } else if (typeof value === "object" && value !== null) {
      message[key] ??= {};
      append(message[key] as Record<string, unknown>, value as Record<string, unknown>);
    } else {
      message[key] = value;
    }
  }
}

/** What it needs to know of a request; `prompt`: of a text completion. */
export type Asked = Pick<ChatCompletionRequestBase, "n" | "stream" | "stream_options"> &
  (
    | { messages: ChatCompletionRequestBase["messages"] }
    | { prompt: string | string[] | number[] | number[][] }
  );

export class Answer {
  /** Of the first choice, as far as it has come. */
  text = "";
  usage: CompletionUsage | undefined;
  #interrupted = false;
  #stream: ChatCompletionStream | undefined;
  #firstAt: number | undefined;
  readonly #began = performance.now();
  /** Choices that have not ended, with their text. */
  readonly #open: Map<number, string>;

  constructor(
    private readonly engine: Engine,
    private readonly request: Asked,
  ) {
    const prompts = "prompt" in request && Array.isArray(request.prompt) ? request.prompt : [""];
    const many = (typeof prompts[0] === "number" ? 1 : prompts.length) * (request.n ?? 1);
    this.#open = new Map(Array.from({ length: many }, (_, i) => [i, ""]));
  }

  /** Ends it; what has come is kept. */
  interrupt(): void {
    this.#interrupted = true;
    this.#stream?.controller.abort();
  }

  /** The chunks, in WebLLM's shapes. Ends with usage if it was asked for, after an interruption too. */
  async *chunks(stream: ChatCompletionStream): AsyncGenerator<ChatCompletionChunk, void, void> {
    this.#stream = stream;
    if (this.#interrupted) stream.controller.abort();
    const wanted = this.request.stream === true && this.request.stream_options?.include_usage;
    const shape = (
      { usage: _, ...chunk }: Chunk,
      usage: CompletionUsage | null = null,
    ): ChatCompletionChunk => ({ ...chunk, ...(wanted ? { usage } : {}) });
    let last: Chunk | undefined;
    for await (const chunk of stream) {
      last = chunk;
      if (chunk.usage) {
        this.usage = this.#withTimes(chunk.usage);
        if (wanted || !this.request.stream) yield { ...chunk, usage: this.usage };
        continue;
      }
      for (const choice of chunk.choices) this.#note(choice);
      yield shape(chunk);
    }
    if (!this.#interrupted || !last || this.#open.size === 0) return;
    for (const index of this.#open.keys()) {
      const choice = { index, delta: {}, finish_reason: "abort" as const, logprobs: null };
      yield { ...shape(last), choices: [choice] };
    }
    this.usage = this.#withTimes(await this.#counted());
    if (wanted || !this.request.stream) yield { ...last, choices: [], usage: this.usage };
  }

  /** The whole answer. */
  async whole(stream: ChatCompletionStream): Promise<ChatCompletion> {
    const choices: ChatCompletion["choices"] = [];
    let head: ChatCompletionChunk | undefined;
    for await (const chunk of this.chunks(stream)) {
      head = chunk;
      for (const { index, delta, finish_reason, logprobs } of chunk.choices) {
        choices[index] ??= {
          index,
          message: { role: "assistant", content: "", refusal: null } as Message,
          finish_reason: "stop",
          logprobs: null,
        };
        const choice = choices[index];
        append(choice.message as never, delta as never);
        if (finish_reason) choice.finish_reason = finish_reason;
        if (logprobs?.content) {
          choice.logprobs ??= { content: [], refusal: null };
          choice.logprobs.content?.push(...logprobs.content);
        }
      }
    }
    const { choices: _, usage: __, object: ___, ...rest } = head as ChatCompletionChunk;
    const usage = this.usage as CompletionUsage;
    for (const { message } of choices) {
      if (message.content === "" && "tool_calls" in message) message.content = null;
    }
    return { ...rest, object: "chat.completion", choices, usage };
  }

  #note({ index, delta, finish_reason }: Chunk["choices"][number]): void {
    const text = (delta as Delta).content ?? "";
    if (text !== "") this.#firstAt ??= performance.now();
    if (index === 0) this.text += text;
    if (finish_reason) this.#open.delete(index);
    else this.#open.set(index, (this.#open.get(index) ?? "") + text);
  }

  /** Tokens of an answer that was interrupted, whose end with the counts never came. */
  async #counted(): Promise<NonNullable<Chunk["usage"]>> {
    const texts = [...this.#open.values()];
    const [prompt, ...answers] = await Promise.all([
      this.#promptTokens(),
      ...texts.map(async (text) => (await this.engine.tokenize(text)).length),
    ]);
    const completion = answers.reduce((sum, n) => sum + n, 0);
    return {
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      prompt_tokens_details: { cached_tokens: 0 },
    };
  }

  async #promptTokens(): Promise<number> {
    if ("messages" in this.request) return this.engine.countTokens(this.request.messages);
    const { prompt } = this.request;
    const prompts = typeof prompt === "string" || typeof prompt[0] === "number" ? [prompt] : prompt;
    const counts = prompts.map(async (one) =>
      typeof one === "string" ? this.engine.countTokens(one) : (one as number[]).length,
    );
    return (await Promise.all(counts)).reduce((sum, n) => sum + n, 0);
  }

  #withTimes(usage: NonNullable<Chunk["usage"]>): CompletionUsage {
    const now = performance.now();
    const first = ((this.#firstAt ?? now) - this.#began) / 1000;
    const total = (now - this.#began) / 1000;
    const decoded = Math.max(0, usage.completion_tokens - 1);
    const computed = usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens;
    const per = (count: number, seconds: number) => (seconds > 0 ? count / seconds : 0);
    return {
      ...usage,
      extra: {
        e2e_latency_s: total,
        prefill_tokens_per_s: per(computed, first),
        decode_tokens_per_s: per(decoded, total - first),
        time_to_first_token_s: first,
        time_per_output_token_s: decoded > 0 ? (total - first) / decoded : 0,
      },
    };
  }
}
