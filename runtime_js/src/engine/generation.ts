/** One request on its way: what is known of its text, what has been submitted, and what it says to whom. */
import type { Sequence } from "../kv/sequence.js";
import { Detokenizer } from "../text/detokenizer.js";
import { StopMatcher } from "../text/stop_matcher.js";
import type { TokenBytes } from "../text/token_bytes.js";
import { type BatchRow, lastOf, type Out } from "./plan.js";
import { type Ranked, rankOf } from "./rank.js";
import type { Delta, FinishReason, SamplingOptions, TokenLogprobs } from "./request.js";
import type { SamplingRow } from "./sampling.js";

/** Where the log-probabilities are in a row of `sampled`. */
const TOP_IDS = 4;
const TOP_LOGPROBS = 24;

/** What is asked for. */
export interface GenerationSpec {
  prompt: Int32Array;
  sampling: SamplingRow;
  options: SamplingOptions;
  /** Most tokens to generate; at least 1. */
  maxTokens: number;
  stop: readonly string[];
  eos: ReadonlySet<number>;
  /** Higher goes first. */
  priority: number;
  /** Whether somebody reads along, so that the rhythm of its tokens counts. */
  streams: boolean;
  /** Use and feed the prefix cache. */
  cache: boolean;
  /** Is called when all of the prompt has been submitted, with the sequence that holds it. */
  computed?: (sequence: Sequence) => void;
  /** Positions at the prompt's beginning whose keys and values are taken as they are found: for measurements. */
  start?: number;
}

export class Generation implements Ranked {
  readonly rank: number;
  /** Prompt and generated tokens that the host knows. */
  readonly #tokens: Int32Array;
  #known: number;
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
  /** Milliseconds at which it first ran, and at which its first token arrived. */
  began: number | undefined;
  first: number | undefined;
  /** Filled anew for each step. */
  readonly #row: BatchRow;
  readonly #one = new Int32Array(1);
  readonly #out: Out;
  readonly #outs: readonly Out[];

  constructor(
    readonly spec: GenerationSpec,
    readonly id: number,
    readonly arrived: number,
    bytes: TokenBytes,
    private readonly onDelta: (delta: Delta) => void,
  ) {
    const { prompt, maxTokens, priority, sampling } = spec;
    this.rank = rankOf(arrived, priority);
    this.#tokens = new Int32Array(prompt.length + maxTokens);
    this.#tokens.set(prompt);
    this.#known = prompt.length;
    this.#bytes = bytes;
    this.#text = new Detokenizer(bytes);
    this.#stops = new StopMatcher([...spec.stop]);
    this.#out = { index: 0, sampling, drawIndex: 0 };
    this.#outs = [this.#out];
    this.#row = { sequence: undefined as never, tokens: this.#one, outs: this.#outs };
  }

  get promptTokens(): number {
    return this.spec.prompt.length;
  }

  /** Tokens generated and read. */
  get completionTokens(): number {
    return this.#known - this.promptTokens;
  }

  /** Prompt and generated tokens so far. */
  get tokens(): Int32Array {
    return this.#tokens.subarray(0, this.#known);
  }

  /** Generated tokens so far. */
  get answer(): Int32Array {
    return this.#tokens.subarray(this.promptTokens, this.#known);
  }

  /** Whether results of submitted draws are still to be read. */
  get awaits(): boolean {
    return this.#drawn > this.completionTokens;
  }

  /** Tokens it has to compute, those of prompt and answer; 1: the next step draws. */
  get pending(): number {
    if (this.#drawn === this.spec.maxTokens) return 0;
    return this.promptTokens + this.#drawn - (this.sequence?.length ?? 0);
  }

  /** Whether its prompt is not computed yet. */
  get prefills(): boolean {
    return (this.sequence?.length ?? 0) < this.promptTokens;
  }

  /** The row of a step that computes its next `count` tokens; valid until the next call. */
  next(count: number): BatchRow {
    const sequence = this.sequence as Sequence;
    const from = sequence.length;
    const row = this.#row;
    row.sequence = sequence;
    if (from + count > this.#known) {
      this.#one[0] = lastOf(sequence.slot); // drawn, but not read yet
      row.tokens = this.#one;
    } else {
      row.tokens = this.#tokens.subarray(from, from + count);
    }
    this.#out.index = count - 1;
    this.#out.drawIndex = this.#drawn;
    row.outs = count === this.pending ? this.#outs : NONE;
    return row;
  }

  /** A step was submitted that draws its next token. */
  drew(): void {
    this.#drawn++;
  }

  /** All that was computed or drawn on the device, and has not been read, is lost: it is to be computed again. */
  restart(): void {
    this.sequence = undefined;
    this.#drawn = this.completionTokens;
  }

  /**
   * Takes a drawn token, and tells the listener.
   *
   * @param row of `sampled`, 64 words
   * @returns why it ends with this token, if it does
   */
  push(row: Uint32Array, now: number): FinishReason | undefined {
    const { options, eos, maxTokens } = this.spec;
    const id = row[0] as number;
    this.#tokens[this.#known++] = id;
    this.first ??= now;
    if (eos.has(id)) {
      this.onDelta({ text: this.#stops.flush(), tokens: 1, logprobs: [] });
      return "stop";
    }
    const text = this.#stops.push(this.#text.push(id));
    const logprobs =
      options.logprobs === null ? [] : [readLogprobs(row, options.logprobs, this.#bytes)];
    this.onDelta({ text, tokens: 1, logprobs });
    if (this.#stops.stopped) return "stop";
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
