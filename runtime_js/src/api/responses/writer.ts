/** What a chat completion tells chunk by chunk becomes the items of a response, and the events that tell of them. */
import type {
  ChatCompletionChunk,
  ChatCompletionTokenLogprob,
  CompletionUsage,
  ToolCallChunk,
} from "../types.js";
import type {
  FunctionCall,
  ItemStatus,
  OutputItem,
  OutputLogprob,
  OutputMessage,
  OutputText,
  ReasoningItem,
  ResponseEventBody,
  ResponseObject,
} from "./types.js";

/** An item with an id. */
type Item = OutputMessage | ReasoningItem | (FunctionCall & { id: string });

export class ResponseWriter {
  /** The item that is being written, the last of the output. */
  #open: Item | undefined;
  /** Which of the answer's calls it is. */
  #call = -1;
  #finish: string | null = null;
  /** Of tokens whose text is still held back, or is no message's. */
  #untold: OutputLogprob[] = [];

  /** @param tell is told of events in their order; what it gets is a copy */
  constructor(
    readonly response: ResponseObject,
    private readonly tell: (event: ResponseEventBody) => void,
    private readonly withLogprobs: boolean,
  ) {}

  begin(): void {
    this.#tellAll("response.created");
    this.#tellAll("response.in_progress");
  }

  write({ choices, usage }: ChatCompletionChunk): void {
    if (usage) this.response.usage = usageOf(usage);
    for (const { delta, logprobs, finish_reason } of choices) {
      if (delta.reasoning_content) this.#think(delta.reasoning_content);
      if (this.withLogprobs) this.#untold.push(...(logprobs?.content ?? []).map(logprobOf));
      if (delta.content) this.#say(delta.content);
      for (const call of delta.tool_calls ?? []) this.#callTool(call);
      this.#finish = finish_reason ?? this.#finish;
    }
  }

  /** The answer is complete, or was cut for its length. */
  end(): void {
    const cut = this.#finish === "length";
    this.#close(cut ? "incomplete" : "completed");
    this.#complete(cut ? "incomplete" : "completed");
    if (cut) this.response.incomplete_details = { reason: "max_output_tokens" };
    this.#tellAll(cut ? "response.incomplete" : "response.completed");
  }

  fail(error: Error): void {
    this.#close("incomplete");
    this.#complete("failed");
    this.response.error = { code: "server_error", message: `${error.name}: ${error.message}` };
    this.#tellAll("response.failed");
  }

  #complete(status: ResponseObject["status"]): void {
    this.response.status = status;
    this.response.completed_at = status === "completed" ? Math.floor(Date.now() / 1000) : null;
    this.response.output_text = textOf(this.response.output);
  }

  #think(delta: string): void {
    let item = this.#open;
    if (item?.type !== "reasoning") {
      item = {
        id: newId("rs"),
        type: "reasoning",
        summary: [],
        content: [{ type: "reasoning_text", text: "" }],
        status: "in_progress",
      };
      this.#add({ ...item, content: [] }, item);
      this.tell({
        type: "response.content_part.added",
        ...this.#place(),
        content_index: 0,
        part: { type: "reasoning_text", text: "" },
      });
    }
    const [part] = item.content as [{ type: "reasoning_text"; text: string }];
    part.text += delta;
    this.tell({ type: "response.reasoning_text.delta", ...this.#place(), content_index: 0, delta });
  }

  #say(delta: string): void {
    let item = this.#open;
    if (item?.type !== "message") {
      const part: OutputText = {
        type: "output_text",
        text: "",
        annotations: [],
        ...(this.withLogprobs ? { logprobs: [] } : {}),
      };
      item = {
        id: newId("msg"),
        type: "message",
        role: "assistant",
        status: "in_progress",
        content: [part],
      };
      this.#add({ ...item, content: [] }, item);
      this.tell({
        type: "response.content_part.added",
        ...this.#place(),
        content_index: 0,
        part: structuredClone(part),
      });
    }
    const [part] = item.content as [OutputText];
    part.text += delta;
    const logprobs = this.#untold.splice(0);
    part.logprobs?.push(...logprobs);
    this.tell({
      type: "response.output_text.delta",
      ...this.#place(),
      content_index: 0,
      delta,
      logprobs,
    });
  }

  #callTool({ index, id, function: { name, arguments: delta } }: ToolCallChunk): void {
    if (index !== this.#call || this.#open?.type !== "function_call") {
      const item = {
        id: newId("fc"),
        type: "function_call" as const,
        call_id: id ?? newId("call"),
        name: name ?? "",
        arguments: "",
        status: "in_progress" as const,
      };
      this.#add(item, item);
      this.#call = index;
    }
    if (!delta) return;
    (this.#open as FunctionCall).arguments += delta;
    this.tell({ type: "response.function_call_arguments.delta", ...this.#place(), delta });
  }

  #add(told: Item, item: Item): void {
    this.#close("completed");
    this.#open = item;
    this.response.output.push(item);
    this.tell({
      type: "response.output_item.added",
      output_index: this.response.output.length - 1,
      item: structuredClone(told),
    });
  }

  #close(status: ItemStatus): void {
    const item = this.#open;
    if (!item) return;
    const place = this.#place();
    item.status = status;
    if (item.type === "message") {
      const [part] = item.content as [OutputText];
      part.logprobs?.push(...this.#untold.splice(0));
      this.tell({
        type: "response.output_text.done",
        ...place,
        content_index: 0,
        text: part.text,
        logprobs: [...(part.logprobs ?? [])],
      });
      this.tell({
        type: "response.content_part.done",
        ...place,
        content_index: 0,
        part: structuredClone(part),
      });
    } else if (item.type === "reasoning") {
      const [part] = item.content as [{ type: "reasoning_text"; text: string }];
      this.tell({
        type: "response.reasoning_text.done",
        ...place,
        content_index: 0,
        text: part.text,
      });
      this.tell({
        type: "response.content_part.done",
        ...place,
        content_index: 0,
        part: { ...part },
      });
    } else {
      const { name, arguments: text } = item;
      this.tell({ type: "response.function_call_arguments.done", ...place, name, arguments: text });
    }
    this.tell({
      type: "response.output_item.done",
      output_index: place.output_index,
      item: structuredClone(item),
    });
    this.#open = undefined;
    this.#untold.length = 0;
  }

  #place() {
    return { item_id: (this.#open as Item).id, output_index: this.response.output.length - 1 };
  }

  #tellAll(type: Extract<ResponseEventBody, { response: ResponseObject }>["type"]): void {
    this.tell({ type, response: structuredClone(this.response) });
  }
}

export function newId(prefix: string): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "")}`;
}

function textOf(output: readonly OutputItem[]): string {
  return output
    .flatMap((item) => (item.type === "message" ? item.content : []))
    .map(({ text }) => text)
    .join("");
}

function logprobOf({
  token,
  bytes,
  logprob,
  top_logprobs,
}: ChatCompletionTokenLogprob): OutputLogprob {
  return {
    token,
    bytes: bytes ?? [],
    logprob,
    top_logprobs: top_logprobs.map((top) => ({ ...top, bytes: top.bytes ?? [] })),
  };
}

function usageOf(usage: CompletionUsage): NonNullable<ResponseObject["usage"]> {
  const {
    prompt_tokens,
    completion_tokens,
    total_tokens,
    prompt_tokens_details,
    completion_tokens_details,
  } = usage;
  return {
    input_tokens: prompt_tokens,
    input_tokens_details: {
      ...prompt_tokens_details,
      cache_write_tokens: prompt_tokens - prompt_tokens_details.cached_tokens,
    },
    output_tokens: completion_tokens,
    output_tokens_details: { reasoning_tokens: completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens,
  };
}
