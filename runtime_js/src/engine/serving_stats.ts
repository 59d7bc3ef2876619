/** What the scheduler counts. */

/** Guesses that were checked. */
export interface GuessStats {
  guessed: number;
  accepted: number;
  acceptanceRate: number;
}

/** Part of `Engine.stats`. */
export interface ServingStats {
  /** Requests that wait, and that run. */
  waiting: number;
  running: number;
  /** Requests that ended, aborted and failed ones among them. */
  requests: number;
  promptTokens: number;
  completionTokens: number;
  /** Tokens that have arrived, those of running requests among them. */
  drawnTokens: number;
  /** Prompt tokens that were computed, not cached, per second until the first token was drawn, of the last request; 0 before one. */
  prefillTokensPerSecond: number;
  /** Tokens per second after the first one that was drawn, of the last request; 0 before one. */
  decodeTokensPerSecond: number;
  /** Requests in a step, on average; 0 before one. */
  meanBatch: number;
  /** Requests whose pages were taken away while they ran; they went on later with the same tokens. */
  preemptions: number;
  /** Guessed tokens that were checked, those that were right, and their part (0 before one): all, and of them a draft's. */
  speculation: GuessStats & { draft: GuessStats };
  /**
   * Answers that must match a grammar: tokens that were added without being drawn, as nothing else could follow; steps whose draws
   * waited for masks of allowed tokens, and microseconds that those of a step took, on average and at most; draws that were submitted
   * before the tokens before them were known, as the GPU had their masks, and of these (and what came after them) those that were made
   * by a wrong one, and so again.
   */
  constrained: {
    jumpedTokens: number;
    masks: number;
    maskUs: { mean: number; max: number };
    aheadDraws: number;
    strayedDraws: number;
  };
  /** KV pages: all, those of running requests, and those that only the prefix cache keeps. */
  pages: { total: number; running: number; cached: number };
  /** Prompt tokens found in the prefix cache, of all prompt tokens of requests that have run. */
  cache: { cachedTokens: number; hitRate: number; evictedPages: number };
  /** Milliseconds per step, on average: planning and writing it, encoding and submitting it, and until its result came. */
  stepMs: { plan: number; encode: number; wait: number };
  /** Of what these are means: steps, requests in them, prompt tokens looked up. Differences between two looks tell of the time between. */
  sums: {
    steps: number;
    batch: number;
    askedTokens: number;
    planMs: number;
    encodeMs: number;
    waitMs: number;
  };
}

/** What others than {@link ServingCounts} know. */
interface Now extends Pick<ServingStats, "waiting" | "running" | "speculation" | "pages"> {
  evictedPages: number;
  /** Milliseconds that steps took on the host so far. */
  hostMs: { readonly plan: number; readonly encode: number };
}

/** A request that ended. Times are in milliseconds; undefined where it did not come so far. */
interface Ended {
  promptTokens: number;
  cachedTokens: number | undefined;
  completionTokens: number;
  began: number | undefined;
  /** When the first token that was drawn arrived, and tokens that were added before it. */
  first: number | undefined;
  forcedFirst: number;
}

/** Sums that {@link ServingStats} are made of. */
export class ServingCounts {
  /** Pages that caches of former devices evicted. */
  evictedBefore = 0;
  requests = 0;
  promptTokens = 0;
  completionTokens = 0;
  drawn = 0;
  prefillRate = 0;
  decodeRate = 0;
  preemptions = 0;
  /** Prompt tokens of requests that have run, and those of them that were cached. */
  lookedUp = 0;
  cached = 0;
  steps = 0;
  rows = 0;
  waitMs = 0;
  jumped = 0;
  masks = 0;
  maskMs = 0;
  mostMaskMs = 0;
  ahead = 0;
  strayed = 0;

  /** Masks of a step took so many milliseconds. */
  masked(ms: number): void {
    this.masks++;
    this.maskMs += ms;
    this.mostMaskMs = Math.max(this.mostMaskMs, ms);
  }

  stats({ evictedPages, hostMs, ...now }: Now): ServingStats {
    const { jumped: jumpedTokens, masks, maskMs, mostMaskMs } = this;
    const maskUs = { mean: 1000 * mean(maskMs, masks), max: 1000 * mostMaskMs };
    return {
      ...now,
      requests: this.requests,
      promptTokens: this.promptTokens,
      completionTokens: this.completionTokens,
      drawnTokens: this.drawn,
      prefillTokensPerSecond: this.prefillRate,
      decodeTokensPerSecond: this.decodeRate,
      meanBatch: mean(this.rows, this.steps),
      preemptions: this.preemptions,
      constrained: {
        jumpedTokens,
        masks,
        maskUs,
        aheadDraws: this.ahead,
        strayedDraws: this.strayed,
      },
      cache: {
        cachedTokens: this.cached,
        hitRate: mean(this.cached, this.lookedUp),
        evictedPages: this.evictedBefore + evictedPages,
      },
      stepMs: {
        plan: mean(hostMs.plan, this.steps),
        encode: mean(hostMs.encode, this.steps),
        wait: mean(this.waitMs, this.steps),
      },
      sums: {
        steps: this.steps,
        batch: this.rows,
        askedTokens: this.lookedUp,
        planMs: hostMs.plan,
        encodeMs: hostMs.encode,
        waitMs: this.waitMs,
      },
    };
  }

  ended(request: Ended, now: number): void {
    const { promptTokens, completionTokens, cachedTokens = 0, began, first, forcedFirst } = request;
    this.requests++;
    this.promptTokens += promptTokens;
    this.completionTokens += completionTokens;
    if (began === undefined || first === undefined) return;
    this.prefillRate = rate(promptTokens - cachedTokens, first - began);
    this.decodeRate = rate(completionTokens - forcedFirst - 1, now - first);
  }
}

const rate = (tokens: number, ms: number): number =>
  tokens > 0 && ms > 0 ? (tokens * 1000) / ms : 0;

/** A mean, 0 of nothing. */
export const mean = (sum: number, count: number): number => (count > 0 ? sum / count : 0);
