/**
 * How many guessed tokens a step checks. A guess costs: the step gets longer, and nothing can be submitted before its result.
 * What it gains is expected from what was accepted so far; what steps cost is measured; and whatever these say, an account
 * bounds the loss: plain steps pay in a small part of their time, and a step with guesses runs only if the account could bear
 * that none is right.
 */

/** Guesses of one request in a step: with the token that is known, products of 2, 4, 8 and 16 rows. */
export const DEPTHS = [1, 3, 7, 15] as const;
export const MOST_GUESSES = 15;

/** Part of the time of plain steps that may be lost. */
const LOSS = 0.015;
/** Plain steps' time that is in the account at first, and at most. */
const FIRST_CREDIT = 2;
const MOST_CREDIT = 6;
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
/** Weight of the newest step in a mean, and of the newest guess. */
const NEWEST = 0.2;
const NEWEST_GUESS = 0.08;
/** Before a request's guesses were checked. */
const FIRST_ACCEPTANCE = 0.6;

/** Which part of a request's guesses is right, given that those before were: an exponential mean. */
export class Acceptance {
  rate = FIRST_ACCEPTANCE;
  #weight = 0.25;

  /** Of `guessed` tokens the first `accepted` were right. */
  checked(guessed: number, accepted: number): void {
    for (let i = 0; i < Math.min(accepted + 1, guessed); i++) {
      this.rate += this.#weight * ((i < accepted ? 1 : 0) - this.rate);
      this.#weight = Math.max(NEWEST_GUESS, this.#weight * 0.9);
    }
  }
}

/** Tokens that a step is expected to give to a request: its own, and those guessed. */
export function expectedTokens(rate: number, guesses: number): number {
  let sum = 1;
  for (let i = 0, right = rate; i < guesses; i++, right *= rate) sum += right;
  return sum;
}

/** A request that could guess. */
export interface Candidate {
  /** See {@link Acceptance}. */
  rate: number;
  /** The most guesses it has. */
  most: number;
}

interface Choice {
  guesses: number[];
  /** Expected tokens per millisecond. */
  speed: number;
}

class Mean {
  value: number | undefined;
  count = 0;

  add(x: number): void {
    this.count++;
    this.value = this.value === undefined ? x : this.value + NEWEST * (x - this.value);
  }
}

export class Speculation {
  /** Milliseconds of plain steps, by rows; of steps with guesses, by tokens, in classes of powers of two. */
  readonly #plain: Mean[] = [];
  readonly #checked: Mean[] = [];
  /** Milliseconds that may be lost. */
  #account: number | undefined;
  #sincePlain = 0;
  #pause = FIRST_PAUSE;

  /** A step of `rows` requests with a token each took `ms`. @param steady whether another was under way when it was submitted */
  plain(rows: number, ms: number, steady: boolean): void {
    const mean = this.#mean(this.#plain, rows);
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

  /** A step of `rows` requests and `tokens` tokens, guesses among them, took `ms` and gave `gained` tokens. */
  checked(rows: number, tokens: number, gained: number, ms: number): void {
    this.#mean(this.#checked, sizeClass(tokens)).add(ms);
    const base = this.#base(rows);
    if (base === undefined) return;
    const saved = (gained / rows) * base - ms;
    this.#book(saved, base);
    // One that asked in vain: ask more rarely.
    if (this.#sincePlain >= this.#pause)
      this.#pause = saved > 0 ? FIRST_PAUSE : Math.min(MOST_PAUSE, 2 * this.#pause);
    else if (saved > 0) this.#pause = FIRST_PAUSE;
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
  #cost(tokens: number, base: number): number {
    const at = sizeClass(tokens);
    const measured = this.#checked[at]?.value;
    if (measured !== undefined) return measured;
    let cost = base * (FIRST_COST + TOKEN_COST * tokens);
    for (let i = 0; i < at; i++) cost = Math.max(cost, this.#checked[i]?.value ?? 0);
    return cost;
  }

  /**
   * @param rows requests that the step gives a token to
   * @param candidates those of them that have guesses
   * @param room tokens and draws that the step has left
   * @returns guesses of each candidate
   */
  choose(rows: number, candidates: readonly Candidate[], room: number): number[] {
    const none = candidates.map(() => 0);
    const base = this.#base(rows);
    if (base === undefined || candidates.length === 0) return none;
    const plain = rows / base;
    const best = this.#best(rows, candidates, room, base);
    const asks = this.#sincePlain >= this.#pause;
    return best && (asks || best.speed >= MARGIN * plain) ? best.guesses : none;
  }

  /** The choice that promises most of those that the account can bear: the likeliest candidates, one depth for all of them. */
  #best(
    rows: number,
    candidates: readonly Candidate[],
    room: number,
    base: number,
  ): Choice | undefined {
    const account = this.#account ?? 0;
    const rate = (i: number) => (candidates[i] as Candidate).rate;
    const order = candidates.map((_, i) => i).sort((a, b) => rate(b) - rate(a));
    let best: Choice | undefined;
    for (const depth of DEPTHS) {
      const guesses = candidates.map(() => 0);
      let tokens = rows;
      let expected = rows;
      order.forEach((i, others) => {
        const guessed = Math.min(depth, (candidates[i] as Candidate).most);
        if (guessed === 0 || tokens + guessed > rows + room) return;
        guesses[i] = guessed;
        tokens += guessed;
        expected += expectedTokens(rate(i), guessed) - 1;
        const cost = this.#cost(tokens, base);
        if (cost - base > account || (others + 1 < rows && cost > PATIENCE * base)) return;
        const speed = expected / cost;
        if (!best || speed > best.speed) best = { guesses: [...guesses], speed };
      });
    }
    return best;
  }
}

const sizeClass = (tokens: number): number => Math.ceil(Math.log2(tokens));
