/** `embeddings.create`: vectors of texts, in the shapes of the `openai` package. */
import type { EmbedRequest } from "../engine/embedding_model.js";
import { InvalidRequestError } from "../errors.js";
import type { Calls } from "../worker/client.js";
import type { Methods } from "../worker/protocol.js";
import type { RequestOptions } from "./chat.js";
import { Fields, invalid, isRecord, namesIn, show } from "./fields.js";

/** How a text becomes a vector; what OpenAI's API does not have. */
export interface EmbeddingOptions {
  /** The mean over all tokens, the first token or the last one; default: the model's. */
  pooling?: "mean" | "cls" | "last" | null;
  /** Whether vectors are scaled to length 1; default: the model's, and true with `dimensions`. */
  normalize?: boolean | null;
  /** Leave out the end of texts that are too long, instead of rejecting (default false). */
  truncate?: boolean | null;
}

export interface EmbeddingCreateParams {
  /** A text, several, or the same as token ids, which are taken as they are; texts get the model's special tokens. */
  input: string | string[] | number[] | number[][];
  /** Ignored: an engine runs one model. */
  model?: string;
  /** Only the first numbers of each vector, scaled to length 1 again; for models that were trained for that (Matryoshka). */
  dimensions?: number;
  /** `base64`: little-endian 32-bit floats. Default `float`. */
  encoding_format?: "float" | "base64";
  /** Ignored. */
  user?: string;
  webbuild?: EmbeddingOptions | null;
}

interface EmbeddingResponse<T> {
  object: "list";
  data: { object: "embedding"; index: number; embedding: T }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

export type CreateEmbeddingResponse = EmbeddingResponse<number[]>;
export type Base64EmbeddingResponse = EmbeddingResponse<string>;

const KNOWN = ["input", "model", "dimensions", "encoding_format", "user", "webbuild"];
const EXTENSIONS = ["pooling", "normalize", "truncate"];
const POOLINGS = ["mean", "cls", "last"];

export class Embeddings {
  constructor(
    private readonly calls: Pick<Calls<Methods>, "embed">,
    private readonly model: string,
  ) {}

  /**
   * Embeds texts, in their order, however many. Requests under way at once share the GPU's steps.
   *
   * @example
   * const { data } = await engine.embeddings.create({ input: ["a dog", "a puppy"] });
   * const similarity = data[0].embedding.reduce((sum, x, i) => sum + x * data[1].embedding[i], 0);
   * @throws InvalidRequestError, ContextLengthExceeded when a text is too long, WrongModelKind when the engine's model
   *   generates text · AbortError, EngineUnloaded, DeviceError, DeviceLostError
   */
  create(
    params: EmbeddingCreateParams & { encoding_format: "base64" },
    options?: RequestOptions,
  ): Promise<Base64EmbeddingResponse>;
  create(
    params: EmbeddingCreateParams & { encoding_format?: "float" },
    options?: RequestOptions,
  ): Promise<CreateEmbeddingResponse>;
  create(
    params: EmbeddingCreateParams,
    options?: RequestOptions,
  ): Promise<CreateEmbeddingResponse | Base64EmbeddingResponse>;
  async create(
    params: EmbeddingCreateParams,
    { signal }: RequestOptions = {},
  ): Promise<CreateEmbeddingResponse | Base64EmbeddingResponse> {
    const request = parseEmbedding(params);
    const { vectors, dimensions, tokens } = await this.calls.embed(request, { signal });
    const base64 = params.encoding_format === "base64";
    const data = request.input.map((_, index) => {
      const vector = vectors.subarray(index * dimensions, (index + 1) * dimensions);
      const embedding = base64 ? toBase64(vector) : Array.from(vector);
      return { object: "embedding" as const, index, embedding };
    });
    const usage = { prompt_tokens: tokens, total_tokens: tokens };
    return { object: "list", data, model: this.model, usage } as
      | CreateEmbeddingResponse
      | Base64EmbeddingResponse;
  }
}

/** @throws InvalidRequestError */
export function parseEmbedding(params: EmbeddingCreateParams): EmbedRequest {
  if (!isRecord(params)) throw invalid("params", "must be an object");
  for (const name of namesIn(params)) {
    if (EXTENSIONS.includes(name))
      throw invalid(name, `is no parameter: give it as webbuild.${name}`);
    if (!KNOWN.includes(name)) throw invalid(name, "is no parameter of embeddings.create");
  }
  const format: unknown = params.encoding_format ?? "float";
  if (format !== "float" && format !== "base64")
    throw invalid("encoding_format", `must be "float" or "base64", not ${show(format)}`);
  for (const name of ["model", "user"] as const) {
    const value: unknown = params[name] ?? "";
    if (typeof value !== "string") throw invalid(name, `must be a string, not ${show(value)}`);
  }
  const dimensions = new Fields(params as unknown as Record<string, unknown>).integer(
    "dimensions",
    1,
  );
  return {
    input: parseInput(params.input),
    ...(dimensions === undefined ? {} : { dimensions }),
    ...parseOptions(params.webbuild ?? {}),
  };
}

function parseOptions(options: unknown): Pick<EmbedRequest, "pooling" | "normalize" | "truncate"> {
  if (!isRecord(options)) throw invalid("webbuild", "must be an object");
  const unknown = namesIn(options).find((name) => !EXTENSIONS.includes(name));
  if (unknown !== undefined)
    throw invalid(`webbuild.${unknown}`, "is no parameter of embeddings.create");
  const pooling = options["pooling"] ?? undefined;
  if (pooling !== undefined && !POOLINGS.includes(pooling as string))
    throw invalid(
      "webbuild.pooling",
      `must be one of ${POOLINGS.join(", ")}, not ${show(pooling)}`,
    );
  const flag = (name: "normalize" | "truncate") => {
    const value = options[name] ?? undefined;
    if (value === undefined) return {};
    if (typeof value !== "boolean") throw invalid(`webbuild.${name}`, "must be true or false");
    return { [name]: value };
  };
  return {
    ...(pooling === undefined ? {} : { pooling: pooling as "mean" | "cls" | "last" }),
    ...flag("normalize"),
    ...flag("truncate"),
  };
}

const refused = (place: string, what: string) =>
  new InvalidRequestError(`${place} ${what}`, { param: "input" });

/** A text, texts, token ids, or lists of token ids: as a list. */
function parseInput(input: unknown): (string | number[])[] {
  const list: unknown[] = Array.isArray(input) && typeof input[0] !== "number" ? input : [input];
  if (list.length === 0) throw invalid("input", "is empty: give it a text");
  const texts = typeof list[0] === "string";
  list.forEach((one, i) => {
    const place = Array.isArray(input) ? `input ${i}` : "input";
    if (texts ? typeof one !== "string" : !Array.isArray(one))
      throw refused(place, "must be a text or token ids, and all of them alike");
    if ((one as string | unknown[]).length === 0) throw refused(place, "is empty");
    if (texts) return;
    const bad = (one as unknown[]).find((id) => !Number.isSafeInteger(id) || (id as number) < 0);
    if (bad !== undefined) throw refused(place, `has ${show(bad)}, which is no token id`);
  });
  return list as (string | number[])[];
}

function toBase64(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of vector.entries()) view.setFloat32(4 * i, value, true);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
