/** `engine.responses`: OpenAI's Responses API over chat completions. */
import { abortError } from "../../errors.js";
import type { ChatCompletions, RequestOptions } from "../chat.js";
import { CompletionStream } from "../stream.js";
import type { ChatCompletionChunk } from "../types.js";
import { ResponseHistory } from "./history.js";
import { type ParsedResponse, parseResponse } from "./params.js";
import type {
  InputItem,
  ResponseCreateParams,
  ResponseCreateParamsNonStreaming,
  ResponseCreateParamsStreaming,
  ResponseEventBody,
  ResponseObject,
  ResponseStreamEvent,
} from "./types.js";
import { newId, ResponseWriter } from "./writer.js";

/** An async iterable of events. */
export type ResponseStream = CompletionStream<ResponseStreamEvent>;

export class Responses {
  readonly #history = new ResponseHistory();

  constructor(
    private readonly chat: ChatCompletions,
    private readonly model: string,
  ) {}

  /**
   * Answers a conversation: `input` after that of `previous_response_id`, if one is named.
   *
   * A stream tells `response.created` and `response.in_progress`, of each item of the output that it begins, its pieces and
   * that it is done, and at last `response.completed`, `response.incomplete` (cut for its length), or `response.failed`, after
   * which the iteration throws the error.
   *
   * @throws InvalidRequestError, ContextLengthExceeded, TemplateError, ToolsUnsupported, GrammarError, AbortError, DeviceLostError,
   *   EngineUnloaded
   */
  create(
    params: ResponseCreateParamsNonStreaming,
    options?: RequestOptions,
  ): Promise<ResponseObject>;
  create(params: ResponseCreateParamsStreaming, options?: RequestOptions): Promise<ResponseStream>;
  create(
    params: ResponseCreateParams,
    options?: RequestOptions,
  ): Promise<ResponseObject | ResponseStream>;
  async create(
    params: ResponseCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<ResponseObject | ResponseStream> {
    const request = parseResponse(params, this.#history);
    if (signal?.aborted) throw abortError(signal);
    const chunks = (await this.chat.answer(
      request.chat,
      request.messages,
      signal,
    )) as CompletionStream<ChatCompletionChunk>;
    return request.stream ? this.#stream(request, chunks) : this.#whole(request, chunks);
  }

  /** A response that is kept. @throws InvalidRequestError */
  async retrieve(id: string): Promise<ResponseObject> {
    return structuredClone(this.#history.get(id).response);
  }

  /** Forgets a response. @throws InvalidRequestError when it is not kept */
  async delete(id: string): Promise<{ id: string; object: "response"; deleted: true }> {
    this.#history.delete(id);
    return { id, object: "response", deleted: true };
  }

  /** The items of the conversation that a response was the answer to. @throws InvalidRequestError */
  async inputItems(id: string): Promise<InputItem[]> {
    const { items, response } = this.#history.get(id);
    return structuredClone(items.slice(0, items.length - response.output.length));
  }

  async #whole(
    request: ParsedResponse,
    chunks: CompletionStream<ChatCompletionChunk>,
  ): Promise<ResponseObject> {
    const writer = this.#writer(request, () => {});
    for await (const chunk of chunks) writer.write(chunk);
    writer.end();
    return this.#kept(request, writer);
  }

  #stream(request: ParsedResponse, chunks: CompletionStream<ChatCompletionChunk>): ResponseStream {
    const controller = new AbortController();
    controller.signal.addEventListener("abort", () => chunks.controller.abort(), { once: true });
    const stream: ResponseStream = new CompletionStream(controller);
    let sequence_number = 0;
    const writer = this.#writer(request, (event) =>
      stream.push({ ...event, sequence_number: sequence_number++ }),
    );
    const pump = async () => {
      writer.begin();
      for await (const chunk of chunks) writer.write(chunk);
      if (controller.signal.aborted) return;
      writer.end();
      this.#kept(request, writer);
    };
    pump().then(
      () => stream.end(),
      (error: Error) => {
        if (error.name !== "AbortError") writer.fail(error);
        stream.end(error);
      },
    );
    return stream;
  }

  #writer(
    { echo, chat }: ParsedResponse,
    tell: (event: ResponseEventBody) => void,
  ): ResponseWriter {
    const response: ResponseObject = {
      id: newId("resp"),
      object: "response",
      created_at: Math.floor(Date.now() / 1000),
      completed_at: null,
      status: "in_progress",
      error: null,
      incomplete_details: null,
      model: this.model,
      output: [],
      output_text: "",
      ...echo,
    };
    return new ResponseWriter(response, tell, chat.choices[0].sampling.logprobs !== null);
  }

  #kept({ items, store }: ParsedResponse, { response }: ResponseWriter): ResponseObject {
    if (store) this.#history.keep(structuredClone(response), items);
    return response;
  }
}
