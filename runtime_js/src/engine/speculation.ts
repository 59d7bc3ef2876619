/**
 * How many guessed tokens a step checks. A guess costs: the step gets longer, and nothing can be submitted before its result.
 * What it gains is expected from what was accepted so far; what steps cost is measured; and whatever these say, an account
 * bounds the loss: plain steps pay in a small part of their time, and a step with guesses runs only if the account could bear
 * that none is right.
 */

/** Guesses of one request in a step: with the token that is known, products of 2, 4, 8 and 16 rows. */
export const DEPTHS = [1, 3, 7, 15] as const;
export const MOST_GUESSES = 15;

/** Part of the time of plain steps and prompts that may be lost, of requests that may guess. */
const LOSS = 0.02;
/** Plain steps' time that is in the account at first, and at most. */
const FIRST_CREDIT = 2;
const MOST_CREDIT = 24;
/** Plain steps' time that a step may cost which only asks. */
const MOST_ASKED = 6;
/** What must be expected to be gained. */
const MARGIN = 1.03;
/** Requests that don't guess share the step: it may take so much longer for them. */
const PATIENCE = 1.1;
/** Before it is measured: a step with guesses, in plain steps, and each further token of it. */
const FIRST_COST = 1.2;
const TOKEN_COST = 0.03;
/** Plain steps between two steps that only ask whether guessing pays by now. */
const FIRST_PAUSE = 16;
const MOST_PAUSE = 512;
/** Plain steps that are measured before anything is guessed. */
const MEASURED = 3;
/** A step that takes so many times as long as others was held up by something else. */
const FAR_OFF = 3;
/** Weight of the newest step in a mean, and of the newest guess. */
const NEWEST = 0.2;
const NEWEST_GUESS = 0.08;
/** After a step whose guesses were all right a draft has two tokens of each row to compute. */
const USUAL_LAG = 2;
/** Before a request's guesses were checked. */
const FIRST_ACCEPTANCE = 0.6;

/** Which part of a request's guesses is right, given that those before were: an exponential mean. */
export class Acceptance {
  #weight = 0.25;

  /**
   * @param rate before any is checked
   * @param all whose mean it is part of
   */
  constructor(
    public rate = FIRST_ACCEPTANCE,
    private readonly all?: Acceptance,
  ) {}

  /** Of `guessed` tokens the first `accepted` were right. */
  checked(guessed: number, accepted: number): void {
    for (let i = 0; i < Math.min(accepted + 1, guessed); i++) {
      this.rate += this.#weight * ((i < accepted ? 1 : 0) - this.rate);
      this.#weight = Math.max(NEWEST_GUESS, this.#weight * 0.9);
    }
    this.all?.checked(guessed, accepted);
  }
}

/**
 * Tokens that a step is expected to give to a request: its own, and those guessed, which must be right and come before its end.
 *
 * @param left tokens after which it ends, on average; with each of them it is as likely to
 */
export function expectedTokens(rate: number, guesses: number, left = Infinity): number {
  const useful = rate * (1 - 1 / left);
  let sum = 1;
  for (let i = 0, right = useful; i < guesses; i++, right *= useful) sum += right;
  return sum;
}

/** A request that could guess. */
export interface Candidate {
  /** See {@link Acceptance}. */
  rate: number;
  /** The most guesses it has. */
  most: number;
  /** Tokens that the draft has to compute first, of those that it has usually at most {@link USUAL_LAG}. */
  lag?: number;
  /** Tokens that it is expected to go on for. */
  left?: number;
}

/** Where guesses come from: what texts repeat, or a draft. */
export type Origin = "prompt" | "draft";

/** What could guess for a step. */
export interface Source {
  origin: Origin;
  candidates: readonly Candidate[];
  /** What a draft's step takes, in plain steps, before it is measured. */
  cost?: number;
}

export interface Choice {
  origin: Origin;
  /** Of each candidate of that source. */
  guesses: number[];
  /** Expected tokens per millisecond. */
  speed: number;
}

/** A step that checked guesses. */
export interface CheckedStep {
  /** Requests in it. */
  rows: number;
  /** With the guesses. */
  tokens: number;
  /** Tokens that it gave; those after an answer's end are none. */
  gained: number;
  ms: number;
  /** Default: prompt. */
  origin?: Origin;
  /** Tokens that the draft computed first. */
  lag?: number;
  /** Whether it was asked for, and not chosen: then it says what such steps cost, but is nobody's loss. */
  asked?: boolean;
}

class Mean {
  value: number | undefined;
  count = 0;

  /** One far off counts little, and the first not at all if the second is less: it may have waited for a driver. */
  add(x: number): void {
    this.count++;
    const { value } = this;
    if (value === undefined || (this.count === 2 && x < value)) this.value = x;
    else this.value = value + NEWEST * (Math.min(x, FAR_OFF * value) - value);
  }
}

export class Speculation {
  /** Milliseconds of plain steps, by rows; of steps with guesses, by tokens, in classes of powers of two. */
  readonly #plain: Mean[] = [];
  readonly #checked: Record<Origin, Mean[]> = { prompt: [], draft: [] };
  /** Milliseconds for each token of prompts, and for each that a draft has to catch up with. */
  readonly #prompts = new Mean();
  readonly #caughtUp = new Mean();
  /** Milliseconds that may be lost. */
  #account: number | undefined;
  /** Plain steps since the last one with guesses. */
  #sincePlain = 0;
  #pause = FIRST_PAUSE;
  /** What is asked next whether it pays. */
  #asks: Origin = "draft";

  /** A step with so many tokens of prompts took `ms`. @param pays as of {@link plain} */
  prompts(tokens: number, ms: number, pays = true): void {
    this.#prompts.add(ms / tokens);
    const base = this.#plain[1]?.value;
    if (pays && base !== undefined && this.#account !== undefined) this.#book(LOSS * ms, base);
  }

  /**
   * A step of `rows` requests with a token each took `ms`.
   *
   * @param steady whether another was under way when it was submitted
   * @param pays whether all of them may guess: what others take is not theirs to lose
   */
  plain(rows: number, ms: number, steady: boolean, pays = true): void {
    const mean = this.#mean(this.#plain, rows);
    if (!pays) {
      if (steady) mean.add(ms);
      return;
    }
    this.#sincePlain++;
    // What the GPU waited for after a step with guesses is that step's.
    if (!steady) {
      if (mean.value !== undefined) this.#book(mean.value - ms, mean.value);
      return;
    }
    mean.add(ms);
    const base = mean.value as number;
    this.#account ??= FIRST_CREDIT * base;
    this.#book(LOSS * base, base);
  }

  checked(step: CheckedStep): void {
    const { rows, tokens, gained, ms, origin = "prompt", lag = 0, asked = false } = step;
    const base = this.#base(rows);
    if (lag <= rows * USUAL_LAG) this.#mean(this.#checked[origin], sizeClass(tokens)).add(ms);
    else if (base !== undefined) {
      const cost = this.#cost({ origin, tokens }, base);
      this.#caughtUp.add(Math.max(0, ms - cost) / lag);
    }
    if (base === undefined || asked) return;
    const saved = (gained / rows) * base - ms;
    this.#book(saved, base);
    // One that asked in vain: ask more rarely.
    if (this.#sincePlain >= this.#pause) {
      this.#asks = origin === "draft" ? "prompt" : "draft";
      this.#pause = saved > 0 ? FIRST_PAUSE : Math.min(MOST_PAUSE, 2 * this.#pause);
    } else if (saved > 0) this.#pause = FIRST_PAUSE;
    this.#sincePlain = 0;
  }

  #book(ms: number, base: number): void {
    const most = MOST_CREDIT * base;
    this.#account = Math.max(-most, Math.min(most, (this.#account ?? 0) + ms));
  }

  #mean(of: Mean[], at: number): Mean {
    of[at] ??= new Mean();
    return of[at];
  }

  #base(rows: number): number | undefined {
    const mean = this.#plain[rows];
    return mean && mean.count >= MEASURED ? mean.value : undefined;
  }

  /** What a step with guesses takes: as measured, else at least as much as a smaller one. */
  #cost(
    { origin, tokens, drafts = 0 }: { origin: Origin; tokens: number; drafts?: number },
    base: number,
  ): number {
    const at = sizeClass(tokens);
    const checked = this.#checked[origin];
    const measured = checked[at]?.value;
    if (measured !== undefined) return measured;
    let cost = base * (FIRST_COST + TOKEN_COST * tokens + drafts);
    for (let i = 0; i < at; i++) cost = Math.max(cost, checked[i]?.value ?? 0);
    return cost;
  }

  /**
   * @param rows requests that the step gives a token to
   * @param sources of those of them that may guess; a step has guesses of one
   * @param room tokens and draws that the step has left
   * @returns nothing where a plain step is better
   */
  choose(rows: number, sources: readonly Source[], room: number): Choice | undefined {
    const base = this.#base(rows);
    if (base === undefined) return undefined;
    const account = this.#account ?? 0;
    const pays = ({ speed }: Choice) => speed >= (MARGIN * rows) / base;
    const [first] = this.#choices(rows, sources, room, base, account);
    if (first && pays(first)) return first;
    if (this.#sincePlain < this.#pause) return undefined;
    // Only where it would pay if all were right: answers of a few tokens are not asked.
    const hopeful = sources.filter((source) => {
      const candidates = source.candidates.map((candidate) => ({ ...candidate, rate: 1 }));
      return this.#choices(rows, [{ ...source, candidates }], room, base, account).some(pays);
    });
    const bearable = Math.min(account, MOST_ASKED * base);
    const asks = this.#choices(rows, hopeful, room, base, bearable);
    return asks.find(({ origin }) => origin === this.#asks) ?? asks[0];
  }

  /** The best of each source, those that promise most first. @param bearable milliseconds that each may lose */
  #choices(
    rows: number,
    sources: readonly Source[],
    room: number,
    base: number,
    bearable: number,
  ): Choice[] {
    return sources
      .flatMap((source) => this.#best(rows, source, room, base, bearable) ?? [])
      .sort((a, b) => b.speed - a.speed);
  }

  /** The choice that promises most of those that are bearable though no guess is right: the likeliest candidates, one depth for all of them. */
  #best(
    rows: number,
    { origin, candidates, cost: perDraft = 0 }: Source,
    room: number,
    base: number,
    bearable: number,
  ): Choice | undefined {
    const perLag = this.#caughtUp.value ?? (this.#prompts.value ?? base) * perDraft;
    const rate = (i: number) => (candidates[i] as Candidate).rate;
    const order = candidates.map((_, i) => i).sort((a, b) => rate(b) - rate(a));
    let best: Choice | undefined;
    for (const depth of DEPTHS) {
      const guesses = candidates.map(() => 0);
      let tokens = rows;
      let expected = rows;
      let lag = 0;
      let shortest = Infinity;
      order.forEach((i, others) => {
        const { most, lag: more = 0, left = Infinity } = candidates[i] as Candidate;
        const guessed = Math.min(depth, most);
        if (guessed === 0 || tokens + guessed > rows + room) return;
        guesses[i] = guessed;
        tokens += guessed;
        expected += expectedTokens(rate(i), guessed, left) - 1;
        lag += Math.max(0, more - USUAL_LAG);
        shortest = Math.min(shortest, left);
        const step = this.#cost({ origin, tokens, drafts: depth * perDraft }, base);
        const cost = step + lag * perLag;
        if (cost - base > bearable || (others + 1 < rows && cost > PATIENCE * base)) return;
        // What a draft catches up with is of use to later steps too, until the end.
        const speed = 1 / (step / expected + (lag * perLag) / (rows * shortest));
        if (!best || speed > best.speed) best = { origin, guesses: [...guesses], speed };
      });
    }
    return best;
  }
}

const sizeClass = (tokens: number): number => Math.ceil(Math.log2(tokens));
