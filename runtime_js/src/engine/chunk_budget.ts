/**
 * How many prompt tokens share a step with those who stream, so that their rhythm stays near that of a pure decode step.
 * What steps cost is measured: the time of a pure decode step, and that of mixed ones as a line (a fixed part and a part
 * per prompt token), all as exponential means.
 */

/** A mixed step may take so many times as long as a pure decode step. */
export const RHYTHM = 3;
/** Prompt tokens before anything is measured. */
export const FIRST_TOKENS = 64;
/** Rows of a prefill attention tile: fewer cost as much. */
export const LEAST_TOKENS = 16;
/**
 * Milliseconds that a step with prompt tokens should not exceed, though nobody streams: whatever else is drawn or computed on
 * this GPU waits for it, and systems take the device from who keeps it for seconds.
 */
export const LONGEST_MS = 300;

/** One in so many mixed steps takes twice the tokens: the price of a token shows only where their number varies. */
export const PROBE_EVERY = 8;

/** Weight of the newest step in a mean. */
const NEWEST = 0.2;
/** Of the mean: token counts that spread less say nothing about the price of a token. */
const SPREAD = 0.1;

export class ChunkBudget {
  #decode: number | undefined;
  #tokens = 0;
  #ms: number | undefined;
  #mixed = 0;
  #variance = 0;
  #covariance = 0;

  /** @param most tokens of a step */
  constructor(private readonly most: number) {}

  /** A step of `promptTokens` beside decodes took `ms`. */
  arrived(promptTokens: number, ms: number): void {
    if (promptTokens === 0) {
      this.#decode = this.#decode === undefined ? ms : this.#decode + NEWEST * (ms - this.#decode);
      return;
    }
    this.#mixed++;
    if (this.#ms === undefined) {
      this.#tokens = promptTokens;
      this.#ms = ms;
      return;
    }
    const tokens = promptTokens - this.#tokens;
    const took = ms - this.#ms;
    this.#tokens += NEWEST * tokens;
    this.#ms += NEWEST * took;
    this.#variance = (1 - NEWEST) * (this.#variance + NEWEST * tokens * tokens);
    this.#covariance = (1 - NEWEST) * (this.#covariance + NEWEST * tokens * took);
  }

  /**
   * Prompt tokens of a step that also decodes: as many as keep the rhythm, but at least so many that half of the step's time
   * is theirs; where a mixed step's fixed part is long, short chunks would only add such parts.
   */
  get tokens(): number {
    const probes = this.#mixed % PROBE_EVERY === PROBE_EVERY - 1;
    return Math.min(this.most, this.#best() * (probes ? 2 : 1));
  }

  /** Prompt tokens of a step that takes about so many milliseconds, at least {@link LEAST_TOKENS}. */
  within(ms: number): number {
    const line = this.#line(this.#decode ?? 0);
    if (!line) return this.#first;
    return line.perToken === 0 ? this.most : this.#whole((ms - line.fixed) / line.perToken);
  }

  /** Prompt tokens of any step: as many as take {@link LONGEST_MS}, but no fewer than before anything is measured. */
  get bound(): number {
    return Math.max(this.#first, this.within(LONGEST_MS));
  }

  #best(): number {
    const decode = this.#decode;
    const line = decode === undefined ? undefined : this.#line(decode);
    if (decode === undefined || !line) return this.#first;
    const { fixed, perToken } = line;
    if (perToken === 0) return this.most;
    return this.#whole(Math.max(RHYTHM * decode - fixed, fixed) / perToken);
  }

  get #first(): number {
    return Math.min(FIRST_TOKENS, this.most);
  }

  #whole(tokens: number): number {
    const whole = Math.floor(tokens / LEAST_TOKENS) * LEAST_TOKENS;
    return Math.min(this.most, Math.max(LEAST_TOKENS, whole));
  }

  /** What mixed steps cost, if any has run; `perToken` 0 where it can't be told from nothing. */
  #line(decode: number): { fixed: number; perToken: number } | undefined {
    const mean = this.#ms;
    if (mean === undefined) return undefined;
    const spread = this.#variance > (SPREAD * this.#tokens) ** 2;
    const perToken = spread
      ? this.#covariance / this.#variance
      : Math.max(0, mean - decode) / this.#tokens;
    if (!(perToken > 0)) return { fixed: 0, perToken: 0 };
    return { fixed: Math.max(0, mean - perToken * this.#tokens), perToken };
  }
}
