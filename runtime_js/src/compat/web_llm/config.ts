/** Which models there are, and how each is loaded: WebLLM's records, whose `model` is the URL of a pack. */
import { type EngineOptions, ModelNotFound, Unsupported } from "../../index.js";

/** What a model is for. */
export enum ModelType {
  LLM,
  embedding,
  VLM,
}

/**
 * Overrides of a model's settings. `context_window_size` is the load's `contextLength`; with `sliding_window_size`, conversations
 * and answers may be longer than that many tokens, as with `context: { overflow: "slide" }`; the others are defaults of requests.
 */
export interface ChatOptions {
  context_window_size?: number;
  sliding_window_size?: number;
  /** Ignored: what stays at the beginning is found from the chat template. */
  attention_sink_size?: number;
  temperature?: number;
  top_p?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  repetition_penalty?: number;
}

/** A model that can be loaded by its id. */
export interface ModelRecord {
  /** The pack's folder, or its pack.json. */
  model: string;
  model_id: string;
  /** Ignored: a pack holds its own kernels. */
  model_lib?: string;
  overrides?: ChatOptions;
  vram_required_MB?: number;
  low_resource_required?: boolean;
  buffer_size_required_bytes?: number;
  required_features?: string[];
  model_type?: ModelType;
}

export interface AppConfig {
  model_list: ModelRecord[];
  /** Ignored: packs are kept in the origin private file system where there is one, else in the Cache API. */
  cacheBackend?: "cache" | "indexeddb" | "cross-origin";
}

/** The records that are used where an engine is given none. It begins empty: packs are files of yours, so push your records. */
export const prebuiltAppConfig: AppConfig = { model_list: [] };

/** There for code that builds URLs of model libraries, which nothing loads. */
export const modelVersion = "webbuild";
export const modelLibURLPrefix = "";
/** Which models take `tools` is for their chat templates to say; no list of ids is kept. */
export const functionCallingModelIds: string[] = [];

/** @throws ModelNotFound */
export function findRecord(modelId: string, { model_list }: AppConfig): ModelRecord {
  const record = model_list.find(({ model_id }) => model_id === modelId);
  if (record) return record;
  throw new ModelNotFound(
    `appConfig.model_list has no record of ${modelId}: add { model_id: ${JSON.stringify(modelId)}, model: "URL of a pack" }`,
    { modelId },
  );
}

const NUMBERS = [
  "temperature",
  "top_p",
  "frequency_penalty",
  "presence_penalty",
  "repetition_penalty",
] as const;
const IGNORED = ["attention_sink_size"];

/** Defaults of a model's requests. */
export type RequestDefaults = Pick<ChatOptions, (typeof NUMBERS)[number]> & { slide?: true };

/** What overrides mean for a load and for requests. @throws Unsupported for those that a pack can't be given */
export function readChatOptions(options: ChatOptions): {
  load: EngineOptions;
  defaults: RequestDefaults;
} {
  const load: EngineOptions = {};
  const defaults: RequestDefaults = {};
  for (const [name, value] of Object.entries(options) as [string, number | undefined][]) {
    if (value === undefined || value === null || IGNORED.includes(name)) continue;
    if (name === "context_window_size" || name === "sliding_window_size") {
      if (value === -1) continue; // WebLLM's way to say: the other one
      load.contextLength = value;
      if (name === "sliding_window_size") defaults.slide = true;
    } else if ((NUMBERS as readonly string[]).includes(name)) {
      defaults[name as (typeof NUMBERS)[number]] = value;
    } else {
      throw new Unsupported(`${name} can't be overridden: make a pack with it`, { param: name });
    }
  }
  return { load, defaults };
}
