/** Sampler settings of a sequence: the row that the `sample` kernel reads. */
import type { SamplingOptions } from "./request.js";

/** Words per row of the `sampling` input. */
export const SAMPLING_WORDS = 16;

const USE_BIAS = 1;
const USE_PENALTIES = 2;

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
}

export class SamplingRow {
  readonly #row = new Uint32Array(SAMPLING_WORDS);
  readonly usesBias: boolean;
  readonly usesPenalties: boolean;

  constructor(options: SamplingOptions, defaults: SamplingDefaults, seed: bigint) {
    this.usesBias = options.logitBias.length > 0;
    this.usesPenalties = options.frequencyPenalty !== 0 || options.presencePenalty !== 0;
    const floats = new Float32Array(this.#row.buffer);
    floats[0] = options.temperature ?? defaults.temperature ?? 1;
    floats[1] = options.topP ?? defaults.top_p ?? 1;
    floats[2] = options.minP ?? defaults.min_p ?? 0;
    floats[3] = options.frequencyPenalty;
    floats[4] = options.presencePenalty;
    this.#row[5] = options.topK ?? defaults.top_k ?? 0;
    this.#row[6] = Number(seed & 0xffffffffn);
    this.#row[7] = Number((seed >> 32n) & 0xffffffffn);
    this.#row[9] = (this.usesBias ? USE_BIAS : 0) | (this.usesPenalties ? USE_PENALTIES : 0);
    this.#row[10] = options.logprobs ?? 0;
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
