/** One measured generation on a loaded model, as a request runs it, without its text. */
import type { LanguageModel } from "../engine/language_model.js";
import { SamplingRow } from "../engine/sampling.js";
import { InvalidRequestError } from "../errors.js";
import type { Case, Generation, StepSpan } from "./types.js";

/** @throws InvalidRequestError for a case that the loaded context does not hold */
export async function measureGeneration(
  model: LanguageModel,
  { start, prompt, tokens }: Case,
  signal: AbortSignal,
): Promise<Generation> {
  const { executor } = model;
  const { contextLength, model: shape } = model.info();
  if (start < 0 || prompt < 1 || tokens < 2 || start + prompt + tokens > contextLength) {
    throw new InvalidRequestError(
      `${start} + ${prompt} + ${tokens} tokens do not fit the context of ${contextLength} (a prompt has at least 1, an answer 2)`,
      { param: "case" },
    );
  }
  const options = {
    temperature: 0,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: [],
    logprobs: null,
  };

  const { counters } = executor.gpu;
  const began = performance.now();
  const now = () => performance.now() - began;
  const steps: StepSpan[] = [];
  const arrivals: number[] = [];
  let prefilled = { ...counters };
  let arrived: number | undefined;
  let js = 0;
  let jsTokens = 0;
  const step = executor.step;
  executor.step = (batch, sample) => {
    const begin = now();
    const result = step.call(executor, batch, sample);
    const end = now();
    steps.push({ begin, end, tokens: batch.reduce((n, row) => n + row.tokens.length, 0) });
    if (arrived !== undefined) {
      js += end - arrived;
      jsTokens++;
      arrived = undefined;
    }
    if (arrivals.length === 0 && steps.reduce((n, s) => n + s.tokens, 0) === prompt) {
      prefilled = { ...counters };
    }
    return result?.then((row) => {
      arrived ??= now();
      return row;
    });
  };
  try {
    const all = fixedTokens(start + prompt, shape.vocabSize);
    all.set(fixedTokens(prompt, shape.vocabSize), start);
    await model.scheduler.generate(
      {
        prompt: all,
        sampling: new SamplingRow(options, {}, 0n),
        options,
        maxTokens: tokens,
        stop: [],
        eos: new Set(),
        priority: 0,
        streams: true,
        cache: false,
        start,
      },
      (delta) => {
        for (let i = 0; i < delta.tokens; i++) arrivals.push(now());
      },
      signal,
    );
  } finally {
    Reflect.deleteProperty(executor, "step"); // the class's own again
  }
  const first = arrivals[0] as number;
  const since = (name: keyof typeof counters) => counters[name] - prefilled[name];
  return {
    promptTokens: prompt,
    completionTokens: arrivals.length,
    prefill: first,
    decode: (arrivals.at(-1) as number) - first,
    detail: {
      decodeCounts: {
        steps: since("steps"),
        launches: since("launches"),
        submits: since("submits"),
        writeBuffers: since("writeBuffers"),
        createdBuffers: since("createdBuffers"),
        createdBindGroups: since("createdBindGroups"),
      },
      jsPerToken: jsTokens > 0 ? js / jsTokens : 0,
      arrivals,
      steps,
    },
  };
}

/** The same ids for every build, spread over the vocabulary. */
export function fixedTokens(count: number, vocabulary: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabulary);
}
