/** One request, from prompt tokens to finish: prefill in chunks, then decode with run-ahead. */
import { rejectOnAbort, throwIfAborted } from "../errors.js";
import type { Sequence } from "../kv/sequence.js";
import { Detokenizer } from "../text/detokenizer.js";
import { StopMatcher } from "../text/stop_matcher.js";
import type { TokenBytes } from "../text/token_bytes.js";
import type { Executor } from "./executor.js";
import { type BatchRow, lastOf } from "./plan.js";
import type { Delta, FinishReason, SamplingOptions, TokenLogprobs } from "./request.js";
import { RunAhead } from "./run_ahead.js";
import type { SamplingRow } from "./sampling.js";

/** Where the log-probabilities are in a row of `sampled`. */
const TOP_IDS = 4;
const TOP_LOGPROBS = 24;

export interface Generation {
  prompt: Int32Array;
  sequence: Sequence;
  sampling: SamplingRow;
  options: SamplingOptions;
  /** Most tokens to generate; at least 1. */
  maxTokens: number;
  stop: string[];
  eos: ReadonlySet<number>;
}

/** @returns why it ended and how many tokens were sampled */
export async function generate(
  executor: Executor,
  tokens: TokenBytes,
  generation: Generation,
  onDelta: (delta: Delta) => void,
  signal: AbortSignal,
): Promise<{ finishReason: FinishReason; completionTokens: number }> {
  const { sequence, sampling, options, maxTokens } = generation;
  const sample = options.logprobs === null ? ["sample"] : ["sample", "logprobs"];
  const cancelled = rejectOnAbort(signal);
  const submitted: Promise<Uint32Array>[] = [];
  const ahead = new RunAhead();
  let drawn = 0;
  const next = Int32Array.of(lastOf(sequence.slot));
  /** A row that draws a token after its last one. */
  const drawing = (tokens: Int32Array): BatchRow[] => [
    { sequence, tokens, outs: [{ index: tokens.length - 1, sampling, drawIndex: drawn }] },
  ];

  const text = new Detokenizer(tokens);
  const stops = new StopMatcher(generation.stop);
  let completionTokens = 0;
  // What a first token does not take is compiled when it is needed, unless that was done in an idle moment.
  const unready = (batch: BatchRow[]): Promise<void> | undefined => {
    const missing = executor.missing(batch, sample);
    if (missing.length === 0) return undefined;
    return Promise.race([executor.prepare(...missing), cancelled.promise]);
  };
  const submit = (batch: BatchRow[]) => {
    submitted.push(executor.step(batch, sample) as Promise<Uint32Array>);
    drawn++;
  };
  try {
    const last = drawing(await prefill(executor, generation, unready, signal));
    await unready(last);
    submit(last);
    while (true) {
      while (submitted.length < ahead.depth && drawn < maxTokens && sequence.reserve(1)) {
        const batch = drawing(next);
        const wait = unready(batch);
        if (wait) await wait; // steady decoding yields nowhere between two steps
        submit(batch);
      }
      const oldest = submitted[0];
      if (!oldest) break;
      // An abort goes before results that have arrived.
      const row = await Promise.race([cancelled.promise, oldest, executor.gpu.failed]);
      submitted.shift();
      ahead.arrived(performance.now());
      const id = row[0] as number;
      completionTokens++;
      if (generation.eos.has(id)) {
        onDelta({ text: stops.flush(), tokens: 1, logprobs: [] });
        return { finishReason: "stop", completionTokens };
      }
      const delta = stops.push(text.push(id));
      const logprobs =
        options.logprobs === null ? [] : [readLogprobs(row, options.logprobs, tokens)];
      onDelta({ text: delta, tokens: 1, logprobs });
      if (stops.stopped) return { finishReason: "stop", completionTokens };
    }
    text.finish();
    onDelta({ text: stops.flush(), tokens: 0, logprobs: [] });
    return { finishReason: "length", completionTokens };
  } finally {
    cancelled.dispose();
    // Surplus steps still hold readback buffers, which the next request needs.
    await Promise.allSettled(submitted);
  }
}

/** Submits all of the prompt but its last chunk, which is returned. */
async function prefill(
  executor: Executor,
  { prompt, sequence }: Generation,
  unready: (batch: BatchRow[]) => Promise<void> | undefined,
  signal: AbortSignal,
): Promise<Int32Array> {
  let at = 0;
  while (true) {
    const count = Math.min(executor.chunk, prompt.length - at);
    throwIfAborted(signal);
    const tokens = prompt.subarray(at, at + count);
    sequence.reserve(count);
    at += count;
    if (at === prompt.length) return tokens;
    const batch = [{ sequence, tokens, outs: [] }];
    await unready(batch);
    executor.step(batch, []);
    await executor.idle(); // a long prompt can be aborted between chunks
  }
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
