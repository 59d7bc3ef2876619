/** What is asked of the toy model, and what its streams tell. */
import type { LanguageModel } from "../engine/language_model.js";
import type { GenerateRequest, GenerateResult } from "../engine/request.js";

/** Repeatable random numbers below `n`. */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

export function ask(
  content: string,
  changes: Partial<GenerateRequest["sampling"]> = {},
  maxTokens = 24,
) {
  const sampling = {
    temperature: 0,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: [],
    logprobs: null,
    ...changes,
  };
  return { messages: [{ role: "user" as const, content }], maxTokens, stop: [], sampling };
}

export function randomAsk(below: (n: number) => number): GenerateRequest {
  const content = "The same beginning".slice(0, below(19)) + "abcdefghij".slice(below(10));
  const request: GenerateRequest = ask(content, {}, 1 + below(30));
  const { sampling } = request;
  if (below(3) === 0) sampling.frequencyPenalty = 2;
  if (below(4) === 0) sampling.logitBias = [[65 + below(26), 60]];
  if (below(4) === 0) Object.assign(sampling, { temperature: 1, seed: below(100) });
  if (below(5) === 0) sampling.logprobs = 2;
  if (below(5) === 0) request.stop = [String.fromCharCode(32 + below(90))];
  return request;
}

export interface Answer extends GenerateResult {
  text: string;
  tokens: number;
}

/** All that a stream tells (and `told`, whenever it does); without `cachedTokens`, which depend on who came first. */
export async function answer(
  model: LanguageModel,
  request: GenerateRequest,
  signal = new AbortController().signal,
  told = () => {},
): Promise<Omit<Answer, "cachedTokens">> {
  let text = "";
  let tokens = 0;
  const delta = (d: { text: string; tokens: number }) => {
    told();
    text += d.text;
    tokens += d.tokens;
  };
  const { cachedTokens: _, ...result } = await model.generate(request, { delta }, signal);
  return { ...result, text, tokens };
}

export class Late extends Error {}

/** Rejects when a promise takes so long that it hangs. */
export async function intime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late(`${what} hangs`)), 60_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
