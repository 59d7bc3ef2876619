/** Requests to a scheduler over a GPU of numbers, and what each gets alone. */
import { getEventListeners } from "node:events";
import { expect } from "vitest";
import { Constraint } from "../engine/constraint.js";
import type { Window } from "../engine/context.js";
import type { GenerationSpec } from "../engine/generation.js";
import { KvMemory, type PrefixCacheOptions } from "../engine/kv_memory.js";
import { AGEING_MS } from "../engine/rank.js";
import type { Delta, Speculates } from "../engine/request.js";
import { SamplingRow } from "../engine/sampling.js";
import { type GenerationResult, Scheduler } from "../engine/scheduler.js";
import { FAKE_VOCAB, FakeRunner, fakeAllowed, fakeBytes, fakeNext } from "./fake_runner.js";
import { classes, PatternMatcher } from "./pattern_matcher.js";

export const PAGE = 4;

export interface World {
  kv: KvMemory;
  runner: FakeRunner;
  scheduler: Scheduler;
  time: { now: number };
}

export function world({
  pages = 64,
  slots = 4,
  chunk = 16,
  next = fakeNext,
  cache = {} as PrefixCacheOptions,
} = {}): World {
  const kv = new KvMemory(pages, PAGE, cache);
  const runner = new FakeRunner(kv.pool, PAGE, slots, chunk);
  runner.next = next;
  const time = { now: 0 };
  return { kv, runner, time, scheduler: new Scheduler(runner, kv, fakeBytes, () => time.now) };
}

export interface Ask {
  prompt: number[];
  maxTokens?: number;
  stop?: string[];
  eos?: number[];
  priority?: number;
  seed?: number;
  penalty?: number;
  bias?: number;
  cache?: boolean;
  speculation?: Speculates;
  window?: Window;
  grammar?: Pattern;
}

/** Classes of letters; what may follow them; whether forced ones are drawn like all others. */
export interface Pattern {
  classes: string;
  tail?: string;
  drawn?: boolean;
}

export function matcherOf({ grammar, eos = [] }: Ask): PatternMatcher | undefined {
  if (!grammar) return undefined;
  const of = (id: number) => String.fromCharCode(97 + (id % 26));
  return new PatternMatcher({ size: FAKE_VOCAB, of, eos }, classes(grammar.classes), grammar.tail);
}

/** Tokens of a text, a letter each. */
const encode = (text: string) => [...text].map((letter) => letter.charCodeAt(0) - 97);

export function specOf(ask: Ask): GenerationSpec {
  const { prompt, maxTokens = 8, stop = [], eos = [], priority = 0, seed = 0 } = ask;
  const options = {
    frequencyPenalty: ask.penalty ?? 0,
    presencePenalty: 0,
    logitBias: ask.bias === undefined ? [] : ([[0, ask.bias]] as [number, number][]),
    logprobs: null,
  };
  const matcher = matcherOf(ask);
  return {
    prompt: Int32Array.from(prompt),
    sampling: new SamplingRow(options, {}, BigInt(seed), matcher !== undefined),
    ...(matcher && { constraint: new Constraint(matcher, encode, !ask.grammar?.drawn) }),
    options,
    maxTokens,
    stop,
    eos: new Set(eos),
    priority,
    streams: true,
    cache: ask.cache ?? true,
    speculation: ask.speculation ?? "off",
    ...(ask.window ? { window: ask.window } : {}),
  };
}

/** What one request alone gets, without guesses. */
export function twin(
  ask: Ask,
  model = fakeNext,
): { text: string; finishReason: string; completionTokens: number; slides: number } {
  const matcher = matcherOf(ask);
  try {
    return twinOf(ask, model, matcher);
  } finally {
    matcher?.free();
  }
}

function twinOf(ask: Ask, model: typeof fakeNext, matcher: PatternMatcher | undefined) {
  const { prompt, maxTokens = 8, stop = [], eos = [], seed = 0, penalty = 0, bias = 0 } = ask;
  const { length = Infinity, sinks = 0 } = ask.window ?? {};
  const tokens = [...prompt];
  let slides = 0;
  const counts = new Array<number>(FAKE_VOCAB).fill(0);
  for (const id of prompt) counts[id] = (counts[id] as number) + 1;
  const mask = new Uint32Array(2);
  const forced: number[] = [];
  let text = "";
  for (let index = 0; index < maxTokens; index++) {
    if (tokens.length === length) {
      slides++;
      const newest = Math.floor((length - sinks) / 2);
      tokens.splice(sinks, length - sinks - newest);
    }
    const used = penalty === 0 ? [] : counts;
    let id = model(tokens, { seed, index, counts: used, bias });
    if (matcher) {
      const text = ask.grammar?.drawn || forced.length > 0 ? "" : matcher.forced(1000);
      const most = Math.min(maxTokens - index, length - tokens.length) - 1;
      if (text.length > 2 && most > 1) forced.push(...encode(text).slice(0, -1).slice(0, most));
      matcher.mask(mask);
      id = forced.shift() ?? fakeAllowed(id, mask);
      if (!eos.includes(id)) matcher.accept(id);
    }
    counts[id] = (counts[id] as number) + 1;
    tokens.push(id);
    const completionTokens = index + 1;
    if (eos.includes(id)) return { text, finishReason: "stop", completionTokens, slides };
    text += String.fromCharCode(97 + (id % 26));
    const at = Math.min(...stop.map((s) => text.indexOf(s)).filter((i) => i >= 0));
    if (at < text.length)
      return { text: text.slice(0, at), finishReason: "stop", completionTokens, slides };
    if (matcher?.terminated) return { text, finishReason: "stop", completionTokens, slides };
  }
  return { text, finishReason: "length", completionTokens: maxTokens, slides };
}

export interface Asked {
  ask: Ask;
  deltas: Delta[];
  controller: AbortController;
  settled: GenerationResult | Error | undefined;
  done: Promise<void>;
}

export function submit(
  { scheduler }: World,
  ask: Ask,
  onDelta: (asked: Asked) => void = () => {},
): Asked {
  const controller = new AbortController();
  const asked: Asked = { ask, deltas: [], controller, settled: undefined, done: Promise.resolve() };
  const delta = (d: Delta) => {
    asked.deltas.push(d);
    onDelta(asked);
  };
  const spec = specOf(ask);
  asked.done = scheduler
    .generate(spec, delta, controller.signal)
    .finally(() => spec.constraint?.free())
    .then(
      (result) => {
        asked.settled = result;
      },
      (error: Error) => {
        asked.settled = error;
      },
    );
  return asked;
}

export const text = ({ deltas }: Asked) => deltas.map((d) => d.text).join("");

export const turns = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Lets results arrive until nothing is left to do. */
export async function drain({ runner, scheduler, time }: World): Promise<void> {
  for (let i = 0; ; i++) {
    await turns();
    if (scheduler.idle && runner.underWay === 0) return;
    expect(i, "something hangs").toBeLessThan(5000);
    time.now++;
    runner.arrive();
  }
}

export function expectTwin(asked: Asked, model = fakeNext): void {
  const { text: expected, ...rest } = twin(asked.ask, model);
  expect(asked.settled).toMatchObject(rest);
  expect(text(asked)).toBe(expected);
}

/** No page, slot, step or listener is in use. */
export function expectClean({ kv, runner, scheduler }: World, all: readonly Asked[]): void {
  expect(scheduler.idle).toBe(true);
  expect(scheduler.used).toEqual({ slots: 0, steps: 0 });
  expect(runner.underWay).toBe(0);
  const { pages, waiting, running } = scheduler.stats();
  expect({ waiting, running, pages }).toEqual({
    waiting: 0,
    running: 0,
    pages: { total: kv.pool.pages, running: 0, cached: kv.tree.held },
  });
  expect(kv.pool.free + kv.tree.held).toBe(kv.pool.pages);
  for (const { settled, controller } of all) {
    expect(settled).toBeDefined();
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  }
  kv.tree.clear();
  expect(kv.pool.free).toBe(kv.pool.pages);
}

/** Repeatable random numbers below `n`. */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** A context that the answer may fill, several times. */
export function randomWindow(prompt: number, below: (n: number) => number): Window {
  const length = Math.max(2, prompt + 1 + below(16));
  return { length, sinks: below(1 + Math.min(prompt, Math.floor(length / 2))) };
}

/** Prompts that begin alike, now and then. */
export function randomAsk(below: (n: number) => number): Ask {
  const shared = Array.from({ length: below(25) }, (_, i) => (i * 7 + 1) % FAKE_VOCAB);
  const own = Array.from({ length: 1 + below(12) }, () => below(FAKE_VOCAB));
  const ask: Ask = { prompt: [...shared, ...own], maxTokens: 1 + below(24), seed: below(3) };
  if (below(3) === 0) ask.eos = [below(FAKE_VOCAB), below(FAKE_VOCAB)];
  if (below(4) === 0) ask.stop = [String.fromCharCode(97 + below(26))];
  if (below(3) === 0) ask.priority = below(5) - 2;
  if (below(4) === 0) ask.penalty = 1;
  if (below(5) === 0) ask.bias = 1 + below(9);
  if (below(6) === 0) ask.cache = false;
  if (below(3) === 0) {
    ask.window = randomWindow(ask.prompt.length, below);
    ask.maxTokens = 1 + below(80);
  }
  return ask;
}

/**
 * Sixty random events: submissions, aborts, time that passes and steps that arrive; then all is awaited. One in `oneIn`
 * requests is aborted by its own listener, at its `deltas`-th delta.
 */
export async function playRandomly(
  w: World,
  below: (n: number) => number,
  ask: () => Ask,
  { deltas, oneIn }: { deltas: number; oneIn: number },
): Promise<Asked[]> {
  const all: Asked[] = [];
  const inDelta = new Set<Asked>();
  for (let event = 0; event < 60; event++) {
    const kind = below(10);
    if (kind < 4) {
      const asked = submit(w, ask(), (a) => {
        if (inDelta.has(a) && a.deltas.length === deltas) a.controller.abort();
      });
      if (below(oneIn) === 0) inDelta.add(asked);
      all.push(asked);
    } else if (kind === 4) all[below(all.length)]?.controller.abort();
    else {
      w.time.now += below(3) * AGEING_MS;
      w.runner.arrive();
      if (below(2) === 0) await turns();
    }
  }
  await drain(w);
  return all;
}
