/** WebLLM's engine over this package's: models by id, one interface whether they run in a worker of ours or of the page's. */
import {
  AbortError,
  type CreateEmbeddingResponse,
  Engine,
  type EngineOptions,
  InvalidRequestError,
  type LoadProgress,
  ModelNotLoaded,
  NoWebGPU,
  Unsupported,
} from "../../index.js";
import { Answer, type Asked } from "./answer.js";
import { asChat, toCompletion, toCompletionRequest } from "./completion.js";
import {
  type AppConfig,
  type ChatOptions,
  findRecord,
  prebuiltAppConfig,
  type RequestDefaults,
  readChatOptions,
} from "./config.js";
import { toRequest } from "./request.js";
import type {
  ChatCompletionChunk,
  ChatCompletionRequestBase,
  ChatCompletionsCreate,
  Completion,
  CompletionCreateParamsBase,
  CompletionsCreate,
  EmbeddingCreateParams,
  InitProgressCallback,
  LogLevel,
  MLCEngineConfig,
  MLCEngineInterface,
} from "./types.js";

/** A model that answers. */
interface Loaded {
  engine: Engine;
  defaults: RequestDefaults;
  last: Answer | undefined;
}

export class MLCEngine implements MLCEngineInterface {
  readonly chat: { readonly completions: { create: ChatCompletionsCreate } };
  readonly completions: { readonly create: CompletionsCreate };
  readonly embeddings: { readonly create: MLCEngineInterface["embedding"] };
  readonly #loaded = new Map<string, Loaded>();
  readonly #answers = new Set<Answer>();
  #appConfig: AppConfig;
  #onProgress: InitProgressCallback | undefined;
  #reloading: AbortController | undefined;

  /** @throws Unsupported */
  constructor(config: MLCEngineConfig = {}) {
    if (config.logitProcessorRegistry?.size) {
      throw new Unsupported(
        "logit processors are not supported, as logits stay on the GPU: use logit_bias, or a grammar as response_format",
        { param: "logitProcessorRegistry" },
      );
    }
    this.#appConfig = config.appConfig ?? prebuiltAppConfig;
    this.#onProgress = config.initProgressCallback;
    this.chat = { completions: { create: this.chatCompletion } };
    this.completions = { create: this.completion };
    this.embeddings = { create: (request) => this.embedding(request) };
  }

  setInitProgressCallback(callback: InitProgressCallback | undefined): void {
    this.#onProgress = callback;
  }

  getInitProgressCallback(): InitProgressCallback | undefined {
    return this.#onProgress;
  }

  setAppConfig(appConfig: AppConfig): void {
    this.#appConfig = appConfig;
  }

  /** Of no effect: this package logs nothing. */
  setLogLevel(_: LogLevel): void {}

  async reload(
    modelId: string | string[],
    chatOpts: ChatOptions | ChatOptions[] = [],
  ): Promise<void> {
    const ids = [modelId].flat();
    const given = Array.isArray(chatOpts) ? chatOpts : [chatOpts];
    if (given.length > 0 && given.length !== ids.length) {
      throw new InvalidRequestError(`there are ${ids.length} models and ${given.length} chatOpts`, {
        param: "chatOpts",
      });
    }
    if (new Set(ids).size < ids.length) {
      throw new InvalidRequestError("a model is named twice", { param: "modelId" });
    }
    // All are checked before any is loaded.
    const models = ids.map((id, i) => {
      const record = findRecord(id, this.#appConfig);
      return { id, ...record, ...readChatOptions({ ...record.overrides, ...given[i] }) };
    });
    this.#reloading?.abort();
    const reloading = new AbortController();
    this.#reloading = reloading;
    try {
      await this.#free();
      for (const { id, model, load, defaults } of models) {
        const onProgress = this.#reporter(id);
        const options = { ...load, onProgress, signal: reloading.signal };
        const engine = await this.load(model, options);
        this.#loaded.set(id, { engine, defaults, last: undefined });
      }
    } catch (error) {
      if (error instanceof AbortError && reloading.signal.aborted) return;
      throw error;
    } finally {
      if (this.#reloading === reloading) this.#reloading = undefined;
    }
  }

  /** Loads a pack; subclasses do it elsewhere. */
  protected load(url: string, options: EngineOptions): Promise<Engine> {
    return Engine.load(url, options);
  }

  async unload(): Promise<void> {
    this.#reloading?.abort();
    await this.#free();
  }

  async #free(): Promise<void> {
    const loaded = [...this.#loaded.values()];
    this.#loaded.clear();
    await Promise.all(loaded.map(({ engine }) => engine.unload()));
  }

  readonly chatCompletion = (async (request: ChatCompletionRequestBase) => {
    const model = this.#select(request.model);
    const asked = toRequest(request, model.defaults);
    const { answer, ended } = this.#answer(model, request);
    try {
      const stream = await model.engine.chat.completions.create(asked);
      stream.ended.then(ended);
      return request.stream ? answer.chunks(stream) : await answer.whole(stream);
    } catch (error) {
      ended();
      throw error;
    }
  }) as ChatCompletionsCreate;

  readonly completion = (async (request: CompletionCreateParamsBase) => {
    const model = this.#select(request.model);
    const { contextLength } = model.engine.info;
    const asked = toCompletionRequest(request, model.defaults, contextLength);
    const { answer, ended } = this.#answer(model, request);
    try {
      const stream = await model.engine.completions.create(asked);
      stream.ended.then(ended);
      const chat = asChat(stream, request.top_logprobs ?? 0);
      return request.stream ? texts(answer.chunks(chat)) : toCompletion(await answer.whole(chat));
    } catch (error) {
      ended();
      throw error;
    }
  }) as CompletionsCreate;

  #answer(model: Loaded, request: Asked): { answer: Answer; ended: () => void } {
    const answer = new Answer(model.engine, request);
    model.last = answer;
    this.#answers.add(answer);
    return { answer, ended: () => void this.#answers.delete(answer) };
  }

  async embedding({ model, ...request }: EmbeddingCreateParams): Promise<CreateEmbeddingResponse> {
    return this.#select(model).engine.embeddings.create(request);
  }

  interruptGenerate(): void {
    for (const answer of this.#answers) answer.interrupt();
  }

  async resetChat(keepStats = false, modelId?: string): Promise<void> {
    if (this.#loaded.size === 0) return;
    const { last } = this.#select(modelId);
    if (!last) return;
    last.text = "";
    if (!keepStats) last.usage = undefined;
  }

  async getMessage(modelId?: string): Promise<string> {
    return this.#select(modelId).last?.text ?? "";
  }

  async runtimeStatsText(modelId?: string): Promise<string> {
    const extra = this.#select(modelId).last?.usage?.extra;
    const rate = (value = 0) => `${value.toFixed(4)} tokens/sec`;
    return `prefill: ${rate(extra?.prefill_tokens_per_s)}, decoding: ${rate(extra?.decode_tokens_per_s)}`;
  }

  async getMaxStorageBufferBindingSize(): Promise<number> {
    const [model] = this.#loaded.values();
    if (model) return model.engine.info.adapter.limits.maxStorageBufferBindingSize;
    return (await adapter()).limits.maxStorageBufferBindingSize;
  }

  async getGPUVendor(): Promise<string> {
    const [model] = this.#loaded.values();
    return model ? model.engine.info.adapter.vendor : (await adapter()).info.vendor;
  }

  async forwardTokensAndSample(): Promise<number> {
    throw new Unsupported(
      "forwardTokensAndSample is not supported, as requests share steps: use chat.completions.create",
      { method: "forwardTokensAndSample" },
    );
  }

  /** The model that a request names, or the only one. @throws ModelNotLoaded */
  #select(modelId: string | null | undefined): Loaded {
    const [first, second] = this.#loaded.values();
    if (!first) throw new ModelNotLoaded("no model is loaded: call reload(modelId) first");
    if (!modelId && second) {
      const ids = [...this.#loaded.keys()];
      throw new ModelNotLoaded(`name one of the loaded models: ${ids.join(", ")}`, { ids });
    }
    const model = modelId ? this.#loaded.get(modelId) : first;
    if (model) return model;
    throw new ModelNotLoaded(`${modelId} is not loaded: call reload(${JSON.stringify(modelId)})`, {
      modelId,
    });
  }

  #reporter(modelId: string) {
    const began = performance.now();
    return ({ phase, loadedBytes, totalBytes }: LoadProgress) => {
      const read = totalBytes > 0 ? loadedBytes / totalBytes : 0;
      // Only a model that is ready is at 1: pages wait for that.
      const progress = phase === "ready" ? 1 : Math.min(read, 0.99);
      const timeElapsed = (performance.now() - began) / 1000;
      const size = `${megabytes(loadedBytes)} of ${megabytes(totalBytes)} MB`;
      const text = `${modelId}: ${PHASES[phase]}, ${size}, ${Math.floor(progress * 100)} %, ${Math.round(timeElapsed)} s`;
      this.#onProgress?.({ progress, timeElapsed, text });
    };
  }
}

async function* texts(
  chunks: AsyncIterable<ChatCompletionChunk>,
): AsyncGenerator<Completion, void, void> {
  for await (const chunk of chunks) yield toCompletion(chunk);
}

const PHASES: Record<LoadProgress["phase"], string> = {
  fetch: "fetching",
  upload: "loading from the browser's storage",
  compile: "compiling kernels",
  warmup: "running a first step",
  tune: "measuring kernels",
  ready: "ready",
};

const megabytes = (bytes: number) => Math.round(bytes / 1e6);

async function adapter(): Promise<GPUAdapter> {
  const found = await globalThis.navigator?.gpu?.requestAdapter();
  if (!found) throw new NoWebGPU("this browser has no WebGPU here");
  return found;
}

/**
 * Loads a model, or several, in a worker of this package.
 *
 * @example
 * const appConfig = { model_list: [{ model_id: "mine", model: "packs/mine/" }] };
 * const engine = await CreateMLCEngine("mine", { appConfig, initProgressCallback: ({ text }) => show(text) });
 * @throws ModelNotFound, Unsupported, and what `Engine.load` throws
 */
export async function CreateMLCEngine(
  modelId: string | string[],
  engineConfig?: MLCEngineConfig,
  chatOpts?: ChatOptions | ChatOptions[],
): Promise<MLCEngine> {
  const engine = new MLCEngine(engineConfig);
  await engine.reload(modelId, chatOpts);
  return engine;
}
