/** Sampler settings of a sequence: the row that the `sample` kernel reads. */
import { FOLLOW } from "../program/masks.js";
import type { SamplingOptions } from "./request.js";

/** Words per row of the `sampling` input. */
export const SAMPLING_WORDS = 16;
/** Where in it the row of `masks` is that says what may be drawn. */
export const MASK_ROW_WORD = 12;

const USE_BIAS = 1;
const USE_PENALTIES = 2;
const USE_MASK = 4;

/** Other engines send ids as they like. */
export const isToken = (id: number, vocab: number): boolean =>
  Number.isInteger(id) && id >= 0 && id < vocab;

/** The likeliest token, and nothing else. */
export const GREEDY: SamplingOptions = {
  temperature: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
  logprobs: null,
};

/** Defaults of the model, from generation_config.json. */
export interface SamplingDefaults {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
}

/** The sampler that knows no limits, and compiles in a fifth of the time; packs may lack it. */
export const PLAIN = "sample_plain";

/** Whether {@link PLAIN} may draw with these settings: greedy, or nothing limits what may be drawn. */
export function isPlain({ temperature, top_k, top_p, min_p }: SamplingDefaults): boolean {
  if (Math.fround(temperature ?? 1) === 0) return true;
  return (top_k ?? 0) === 0 && (top_p ?? 1) === 1 && (min_p ?? 0) === 0;
}

export class SamplingRow {
  readonly #row = new Uint32Array(SAMPLING_WORDS);
  readonly usesBias: boolean;
  readonly usesPenalties: boolean;
  readonly plain: boolean;

  /** @param masked whether a row of `masks` says what may be drawn: the one that the slot's last draw led to, unless it is named */
  constructor(options: SamplingOptions, defaults: SamplingDefaults, seed: bigint, masked = false) {
    const { repetitionPenalty = defaults.repetition_penalty ?? 1 } = options;
    this.usesBias = options.logitBias.length > 0;
    this.usesPenalties =
      options.frequencyPenalty !== 0 || options.presencePenalty !== 0 || repetitionPenalty !== 1;
    const floats = new Float32Array(this.#row.buffer);
    const temperature = options.temperature ?? defaults.temperature ?? 1;
    const top_p = options.topP ?? defaults.top_p ?? 1;
    const min_p = options.minP ?? defaults.min_p ?? 0;
    const top_k = options.topK ?? defaults.top_k ?? 0;
    this.plain = isPlain({ temperature, top_p, min_p, top_k });
    floats.set([temperature, top_p, min_p, options.frequencyPenalty, options.presencePenalty]);
    this.#row[5] = top_k;
    this.#row[6] = Number(seed & 0xffffffffn);
    this.#row[7] = Number((seed >> 32n) & 0xffffffffn);
    this.#row[9] =
      (this.usesBias ? USE_BIAS : 0) |
      (this.usesPenalties ? USE_PENALTIES : 0) |
      (masked ? USE_MASK : 0);
    this.#row[10] = options.logprobs ?? 0;
    floats[11] = repetitionPenalty;
    this.#row[MASK_ROW_WORD] = FOLLOW;
  }

  /** Writes the row of draw `index` (tokens generated so far) as row `row` of the input. */
  write(sampling: Uint32Array, row: number, index: number): void {
    this.#row[8] = index;
    sampling.set(this.#row, row * SAMPLING_WORDS);
  }
}

/** A request's seed as 64 bits; without one, random bits. */
export function seedBits(seed: number | undefined): bigint {
  if (seed !== undefined) return BigInt.asUintN(64, BigInt(seed));
  const [low, high] = crypto.getRandomValues(new Uint32Array(2));
  return (BigInt(high as number) << 32n) | BigInt(low as number);
}
