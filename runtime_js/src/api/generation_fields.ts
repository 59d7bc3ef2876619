/** Fields that chat completions and text completions have in common. */
import type { GenerateRequest, SamplingOptions } from "../engine/request.js";
import { Fields, invalid, isRecord, namesIn, show } from "./fields.js";

const MAX_CHOICES = 128;

/** A field in the engine's terms; none if it was not given. */
export const optional = <K extends string, T>(key: K, value: T | undefined) =>
  (value === undefined ? {} : { [key]: value }) as { [P in K]?: T };

/** What both say about sampling; of log-probabilities they say it differently. */
export function parseSampling(
  params: Record<string, unknown>,
  logprobs: number | null,
): SamplingOptions {
  const read = new Fields(params);
  return {
    ...optional("temperature", read.number("temperature", 0, 2)),
    ...optional("topP", read.number("top_p", 0, 1)),
    ...optional("seed", read.integer("seed")),
    frequencyPenalty: read.number("frequency_penalty", -2, 2) ?? 0,
    presencePenalty: read.number("presence_penalty", -2, 2) ?? 0,
    logitBias: parseLogitBias(params["logit_bias"]),
    logprobs,
  };
}

/** How many choices are asked for. */
export function parseCount(read: Fields): number {
  const n = read.integer("n", 1) ?? 1;
  if (n > MAX_CHOICES) throw invalid("n", `must be at most ${MAX_CHOICES}, not ${n}`);
  return n;
}

/** `n` requests, which differ in their seeds, if there is one: `seed + i`. */
export function choicesOf<R extends GenerateRequest>(first: R, n: number): [R, ...R[]] {
  const { seed } = first.sampling;
  const others = Array.from({ length: n - 1 }, (_, i) => ({
    ...first,
    sampling: { ...first.sampling, ...optional("seed", seed === undefined ? seed : seed + i + 1) },
  }));
  return [first, ...others];
}

/** @returns whether the stream ends with the counts */
export function parseStreamOptions(value: unknown, stream: boolean): boolean {
  if (value === undefined || value === null) return false;
  if (!stream) throw invalid("stream_options", "is only allowed with stream: true");
  if (!isRecord(value)) throw invalid("stream_options", "must be an object");
  for (const key of namesIn(value)) {
    if (key !== "include_usage" && key !== "include_obfuscation")
      throw invalid(`stream_options.${key}`, "is not a parameter of this engine");
  }
  const read = new Fields(value, "stream_options.");
  if (read.boolean("include_obfuscation")) {
    throw invalid(
      "stream_options.include_obfuscation",
      "must be false: chunks cross no network on which somebody could read their sizes",
    );
  }
  return read.boolean("include_usage") ?? false;
}

export function parseStop(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  for (const s of list) {
    if (typeof s !== "string" || s === "")
      throw invalid("stop", "must be a non-empty string or an array of them");
  }
  return list as string[];
}

function parseLogitBias(value: unknown): [number, number][] {
  if (value === undefined || value === null) return [];
  if (!isRecord(value)) throw invalid("logit_bias", "must map token ids to numbers");
  return Object.entries(value).map(([key, bias]) => {
    const id = Number(key);
    if (!/^\d+$/.test(key) || !Number.isSafeInteger(id))
      throw invalid("logit_bias", `has ${show(key)}, which is no token id`);
    if (typeof bias !== "number" || !(bias >= -100 && bias <= 100)) {
      throw invalid(
        "logit_bias",
        `of token ${key} must be a number from -100 to 100, not ${show(bias)}`,
      );
    }
    return [id, bias];
  });
}
