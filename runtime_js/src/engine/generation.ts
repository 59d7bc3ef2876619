/** One request on its way: what is known of its text, what has been submitted, and what it says to whom. */
import type { Sequence } from "../kv/sequence.js";
import { Detokenizer } from "../text/detokenizer.js";
import { StopMatcher } from "../text/stop_matcher.js";
import type { TokenBytes } from "../text/token_bytes.js";
import type { Constraint } from "./constraint.js";
import { Context, type Window } from "./context.js";
import type { MaskBuffer } from "./mask_table.js";
import { type BatchRow, lastOf, type Out } from "./plan.js";
import { PromptLookup } from "./prompt_lookup.js";
import { type Ranked, rankOf } from "./rank.js";
import type { Delta, FinishReason, SamplingOptions, Speculates, TokenLogprobs } from "./request.js";
import type { SamplingRow } from "./sampling.js";
import { type Acceptance, MOST_GUESSES, type Origin } from "./speculation.js";

/** Words per row of `sampled`. */
export const SAMPLED_WORDS = 64;
/** Where in it the guess is that the draw checks, if a draft made it. */
export const DRAFTED_WORD = 2;
/** Where in it the tag of the mask is that it was drawn by. */
const TAG_WORD = 3;
/** Where the log-probabilities are in it. */
const TOP_IDS = 4;
const TOP_LOGPROBS = 24;

/** What is asked for. */
export interface GenerationSpec {
  prompt: Int32Array;
  sampling: SamplingRow;
  options: SamplingOptions;
  /** Most tokens to generate; at least 1, and without a window no more than the context holds beside the prompt. */
  maxTokens: number;
  /** What is kept whenever the context is full; without it, it never may be. */
  window?: Window;
  stop: readonly string[];
  /** Control tokens that are text all the same. */
  keep?: ReadonlySet<number>;
  eos: ReadonlySet<number>;
  /** Whether its text goes on with the prompt's, and does not begin one (default false). */
  continues?: boolean;
  /** Higher goes first. */
  priority: number;
  /** Whether somebody reads along, so that the rhythm of its tokens counts. */
  streams: boolean;
  /** Use and feed the prefix cache. */
  cache: boolean;
  /** Whether guesses of its next tokens are checked (default `off`). */
  speculation?: Speculates;
  /** What the answer must match. */
  constraint?: Constraint;
  /** Is called when all of the prompt has been submitted, with the sequence that holds it. */
  computed?: (sequence: Sequence) => void;
  /** Positions at the prompt's beginning whose keys and values are taken as they are found: for measurements. */
  start?: number;
}

export class Generation implements Ranked {
  readonly rank: number;
  /** Prompt and generated tokens that the host knows, as far as they count. */
  readonly #context: Context;
  /** Draws submitted. */
  #drawn = 0;
  readonly #text: Detokenizer;
  readonly #stops: StopMatcher;
  readonly #bytes: TokenBytes;
  /** Its pages and sampler slot, while it runs. */
  sequence: Sequence | undefined;
  ended = false;
  /** Prompt tokens found in the prefix cache when it first ran. */
  cachedTokens: number | undefined;
  /** Milliseconds at which it first ran, and at which the first token that was drawn arrived; tokens that were added before it. */
  began: number | undefined;
  first: number | undefined;
  forcedFirst = 0;
  /** Filled anew for each step. */
  readonly #row: BatchRow;
  readonly #one = new Int32Array(1);
  readonly #outs: Out[];
  readonly #oneOut: readonly Out[];
  /** What guesses, if it may; with penalties a draw depends on those before it in the same step, so it may not. */
  #lookup: PromptLookup | undefined;
  /** The token before the guesses, then the guesses. */
  readonly #guesses = new Int32Array(1 + MOST_GUESSES);
  /** Guesses that the step under way checks. */
  #checking = 0;
  /** How often draws that ran ahead were made by a wrong mask, and how many they were. */
  strays = 0;
  strayed = 0;
  /** Tokens that were added without being drawn, and whether penalties are still to see them. */
  jumped = 0;
  uncounted = false;
  /** Of its guesses, by where they come from. */
  readonly acceptance: Partial<Record<Origin, Acceptance>> = {};

  constructor(
    readonly spec: GenerationSpec,
    readonly id: number,
    readonly arrived: number,
    bytes: TokenBytes,
    private readonly onDelta: (delta: Delta) => void,
  ) {
    const { prompt, maxTokens, priority, sampling } = spec;
    this.rank = rankOf(arrived, priority);
    this.#context = new Context(prompt, prompt.length + maxTokens, spec.window);
    this.#bytes = bytes;
    this.#text = new Detokenizer(bytes, spec);
    this.#stops = new StopMatcher([...spec.stop]);
    this.#outs = [{ index: 0, sampling, drawIndex: 0 }];
    this.#oneOut = [this.#outs[0] as Out];
    this.#row = { sequence: undefined as never, tokens: this.#one, outs: this.#oneOut };
    const { speculation = "off", constraint } = spec;
    const guesses = speculation !== "off" && !sampling.usesPenalties && !constraint;
    this.#lookup = guesses ? new PromptLookup() : undefined;
  }

  get promptTokens(): number {
    return this.spec.prompt.length;
  }

  /** Tokens generated and read. */
  get completionTokens(): number {
    return this.#context.dropped + this.#context.length - this.promptTokens;
  }

  /** Tokens whose draw was submitted, of guesses only those that were right. */
  get draws(): number {
    return this.#drawn;
  }

  /** Prompt and generated tokens so far; of those that no longer fit the context, what the window keeps. */
  get tokens(): Int32Array {
    return this.#context.tokens;
  }

  /** Generated tokens so far. */
  get answer(): Int32Array {
    return this.#context.answer;
  }

  /** Tokens that penalties see: all of prompt and answer. */
  get counted(): Int32Array {
    const { prompt } = this.spec;
    const { answer } = this;
    const counted = new Int32Array(prompt.length + answer.length);
    counted.set(prompt);
    counted.set(answer, prompt.length);
    return counted;
  }

  /** How often the context was full, and older tokens left out. */
  get slides(): number {
    return this.#context.slides;
  }

  /** Draws after which it ends, or its window slides. */
  get #lastDraw(): number {
    const { maxTokens, window } = this.spec;
    return Math.min(maxTokens, (window?.length ?? Infinity) - this.#positions(0));
  }

  /** The most that are left of these. */
  get drawsLeft(): number {
    return this.#lastDraw - this.#drawn;
  }

  /** Positions that prompt and answer take once so many tokens were drawn. */
  #positions(draws: number): number {
    return this.promptTokens + draws - this.#context.dropped;
  }

  /** Whether results of submitted draws are still to be read. */
  get awaits(): boolean {
    return this.unread > 0;
  }

  /** Tokens it has to compute, those of prompt and answer; 1: the next step draws; 0: none just now. */
  get pending(): number {
    if (this.#checking > 0 || this.drawsLeft === 0) return 0;
    return this.#positions(this.#drawn) - (this.sequence?.length ?? 0);
  }

  /** Whether its prompt is not computed yet. What a window leaves is computed again too, but nobody else begins with that. */
  get prefills(): boolean {
    return this.slides === 0 && (this.sequence?.length ?? 0) < this.promptTokens;
  }

  /** How many guesses of what comes after the next token to compute are of use, up to `most`, if that is the only one. */
  guessable(most: number): number {
    if (!this.#lookup || this.prefills || this.pending !== 1) return 0;
    return Math.max(0, Math.min(most, MOST_GUESSES, this.drawsLeft - 1));
  }

  /**
   * Guesses by what the text repeats. Draws that are not read yet are guessed too, and left out.
   *
   * @returns how many it can guess, up to `most`
   */
  guess(most: number): number {
    const lookup = this.#lookup;
    const count = this.guessable(most);
    if (!lookup || count === 0) return 0;
    const { tokens } = this;
    while (lookup.length < tokens.length) lookup.push(tokens[lookup.length] as number);
    return lookup.draft(this.#guesses, 1, count, this.unread);
  }

  /** Whether the next draw is likely to be made by the right mask, though so many before it are not read. */
  foresees(masks: MaskBuffer, unread = this.unread): boolean {
    return this.awaits && (this.spec.constraint?.foresees(unread, masks) ?? true);
  }

  /** Draws submitted and not read. */
  get unread(): number {
    return this.#drawn - this.completionTokens;
  }

  /**
   * The row of a step that computes its next `count` tokens, or the next one and checks `guesses` after it, of those it
   * guessed last or of a draft's; valid until the next call.
   */
  next(count: number, guesses = 0, drafted = false): BatchRow {
    const sequence = this.sequence as Sequence;
    const from = sequence.length;
    const row = this.#row;
    row.sequence = sequence;
    if (from + count > this.#context.length) {
      this.#one[0] = lastOf(sequence.slot); // drawn, but not read yet
      row.tokens = this.#one;
    } else {
      row.tokens = this.tokens.subarray(from, from + count);
    }
    const out = this.#outs[0] as Out;
    out.index = count - 1;
    out.drawIndex = this.#drawn;
    row.outs = count === this.pending ? this.#oneOut : NONE;
    row.drafted = undefined;
    if (guesses > 0) {
      this.#guesses[0] = row.tokens[0] as number;
      row.tokens = this.#guesses.subarray(0, 1 + guesses);
      while (this.#outs.length <= guesses) this.#outs.push({ ...out });
      row.outs = this.#outs.slice(0, 1 + guesses);
      this.#outs.forEach((out, i) => {
        out.index = i;
        out.drawIndex = this.#drawn + i;
      });
    }
    if (drafted) {
      this.#guesses.fill(0, 1); // their ids are on the GPU
      row.drafted = {
        known: this.tokens,
        drawIndex: this.completionTokens,
        sampling: this.spec.sampling,
        skip: this.unread,
        count: guesses,
      };
    }
    return row;
  }

  /** A step was submitted that draws its next token, and checks guesses of those after it. */
  drew(guesses = 0): void {
    this.#drawn++;
    this.#checking = guesses;
  }

  /** All that was computed or drawn on the device, and has not been read, is lost: it is to be computed again. */
  restart(): void {
    this.sequence = undefined;
    this.#drawn = this.completionTokens;
    this.#checking = 0;
  }

  /**
   * Takes what a step drew: the next token, and of those after guesses as many as the guesses were right, for these are
   * drawn from what they would have been drawn from without. Guesses that were wrong are forgotten.
   *
   * @param rows of `sampled`, 64 words each
   * @param guessed how many guesses the step checked
   * @param follows whether it was drawn by the mask that the draw before it led to: if that was not the right one, it is drawn again
   * @returns why it ends, if it does
   */
  take(
    rows: Uint32Array,
    guessed: number,
    now: number,
    masks: MaskBuffer,
    follows: boolean,
  ): FinishReason | undefined {
    const { constraint } = this.spec;
    if (follows && constraint && !constraint.isOf(rows[TAG_WORD] as number, masks)) {
      this.#stray();
      return undefined;
    }
    const right = this.#checked(rows, guessed);
    for (let i = 0; i <= right; i++) {
      const row = rows.subarray(i * SAMPLED_WORDS, (i + 1) * SAMPLED_WORDS);
      const finish = this.#push(row, now, masks);
      // Its listener may have ended it.
      if (finish || this.ended) return finish;
    }
    if (this.#context.full) this.#slide(); // all draws are read: none goes beyond
    return this.jump();
  }

  /** Draws that are not read were made by a wrong mask: they are forgotten, with what was computed after them. */
  #stray(): void {
    this.strays++;
    this.strayed += this.unread;
    this.#drawn = this.completionTokens;
    this.uncounted = this.spec.sampling.usesPenalties;
    const { sequence } = this;
    sequence?.truncate(Math.min(sequence.length, this.#positions(this.#drawn) - 1));
  }

  /**
   * Adds the tokens that its constraint leaves no choice about, as if they had been drawn; what is under way that draws is forgotten.
   * Log-probabilities, if they are asked for, take a step for each.
   *
   * @returns why it ends with them, if it does
   */
  jump(): FinishReason | undefined {
    const { constraint, options, sampling } = this.spec;
    if (!constraint || options.logprobs !== null) return undefined;
    // One is left to be drawn: what follows the last one is settled there.
    const forced = constraint.jump(this.#lastDraw - this.completionTokens - 1);
    if (forced.length > 0 && this.awaits) this.#stray();
    for (const id of forced) {
      this.#drawn++;
      this.jumped++;
      this.uncounted = sampling.usesPenalties;
      const finish = this.#add(id, []);
      if (finish || this.ended) return finish;
    }
    return undefined;
  }

  /**
   * Goes on with what the window leaves. Its keys and values are computed again, all but the first ones: positions and what
   * they attend to are others now, and so the answer depends on nothing but these tokens.
   */
  #slide(): void {
    const kept = this.#context.slide();
    this.sequence?.truncate(Math.min(kept, this.#context.length - 1));
    if (this.#lookup) this.#lookup = new PromptLookup();
  }

  /** How many guesses were right. Before anybody is told, so that pages hold nothing wrong if they are given away. */
  #checked(rows: Uint32Array, guessed: number): number {
    if (guessed === 0) return 0;
    const { drafted } = this.#row;
    const right = rightGuesses(rows, guessed, (i) => {
      return drafted ? rows[i * SAMPLED_WORDS + DRAFTED_WORD] : this.#guesses[i + 1];
    });
    this.#checking = 0;
    this.#drawn += right;
    this.acceptance[drafted ? "draft" : "prompt"]?.checked(guessed, right);
    this.sequence?.truncate(this.#positions(this.#drawn) - 1);
    return right;
  }

  /**
   * Adds a drawn token, and tells the listener.
   *
   * @param row of `sampled`, 64 words
   * @returns why it ends with this token, if it does
   */
  #push(row: Uint32Array, now: number, masks: MaskBuffer): FinishReason | undefined {
    const { options, eos, constraint } = this.spec;
    const id = row[0] as number;
    const goesOn = eos.has(id) || (constraint?.take(id, masks) ?? true);
    const logprobs =
      options.logprobs === null ? [] : [readLogprobs(row, options.logprobs, this.#bytes)];
    if (this.first === undefined) {
      this.first = now;
      this.forcedFirst = this.completionTokens;
    }
    const finish = this.#add(id, logprobs);
    if (!goesOn && this.awaits) this.#stray();
    return finish;
  }

  /** The same of a token whose constraint has taken it. */
  #add(id: number, logprobs: TokenLogprobs[]): FinishReason | undefined {
    const { eos, maxTokens, constraint } = this.spec;
    this.#context.push(id);
    if (eos.has(id)) {
      this.onDelta({ text: this.#stops.flush(), tokens: 1, logprobs: [] });
      return "stop";
    }
    let text = this.#stops.push(this.#text.push(id));
    const complete = constraint?.complete ?? false;
    if (complete) text += this.#stops.flush();
    this.onDelta({ text, tokens: 1, logprobs });
    if (this.#stops.stopped || complete) return "stop";
    return this.completionTokens === maxTokens ? "length" : undefined;
  }

  /** Releases text that was held back, at the end for its length. */
  flush(): void {
    this.#text.finish();
    const text = this.#stops.flush();
    if (text !== "") this.onDelta({ text, tokens: 0, logprobs: [] });
  }
}

const NONE: readonly Out[] = [];

/** How many guesses are right: the draws of `rows` equal them, and those before do. */
export function rightGuesses(
  rows: Uint32Array,
  guessed: number,
  guess: (i: number) => number | undefined,
): number {
  let right = 0;
  while (right < guessed && rows[right * SAMPLED_WORDS] === guess(right)) right++;
  return right;
}

function readLogprobs(row: Uint32Array, top: number, tokens: TokenBytes): TokenLogprobs {
  const floats = new Float32Array(row.buffer, row.byteOffset, row.length);
  const entry = (id: number, logprob: number) => {
    const bytes = tokens.of(id);
    return { token: new TextDecoder().decode(bytes), bytes: [...bytes], logprob };
  };
  return {
    ...entry(row[0] as number, floats[1] as number),
    top: Array.from({ length: top }, (_, i) =>
      entry(row[TOP_IDS + i] as number, floats[TOP_LOGPROBS + i] as number),
    ),
  };
}
