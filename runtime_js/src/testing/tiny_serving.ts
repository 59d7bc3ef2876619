/** Requests to the toy model on a real device, and what it says to each alone. */
import { getEventListeners } from "node:events";
import { expect } from "vitest";
import { Constraint } from "../engine/constraint.js";
import type { LanguageModel } from "../engine/language_model.js";
import { load } from "../engine/load.js";
import { Matchers } from "../engine/matchers.js";
import type { Delta, GenerateRequest, GenerateResult, Speculates } from "../engine/request.js";
import { GrammarError } from "../errors.js";
import type { Grammars, Vocabulary } from "../grammar/spec.js";
import { BASE, dawn, testHost } from "./host.js";
import { classes, PatternMatcher } from "./pattern_matcher.js";
import {
  drawnToken,
  IM_END,
  nextToken,
  replaceFile,
  replaceJson,
  tinyPack,
  VOCAB,
} from "./tiny_pack.js";

export const PAGE = 4;
const never = new AbortController().signal;

/** What {@link loadTiny} loaded last. */
export let model: LanguageModel;

/** From now on requests go to another toy model. */
export function use(loaded: LanguageModel): void {
  model = loaded;
}

/** Files of the toy model with `batch` sequences in a step and a pool of `tokens` positions. */
export function servingPack(batch: number, tokens: number): Map<string, Uint8Array> {
  const pack = tinyPack(tokens);
  const maxima: Record<string, number> = {
    tokens: 16,
    seqs: batch,
    outs: 2 * batch,
    q_tiles: batch + 1,
  };
  replaceJson(pack, "program.json", (program) => {
    for (const symbol of program.symbols) symbol.max = maxima[symbol.name] ?? symbol.max;
  });
  const manifest = JSON.parse(new TextDecoder().decode(pack.get("pack.json")));
  Object.assign(manifest.limits, { max_batch: batch, prefill_chunk: maxima["tokens"] });
  pack.set("pack.json", new TextEncoder().encode(JSON.stringify(manifest)));
  return pack;
}

/** A toy model that says something else after every other token. */
export function otherModel(pack: Map<string, Uint8Array>): Map<string, Uint8Array> {
  const shard = "params_shard_0.bin";
  const bytes = (pack.get(shard) as Uint8Array).slice();
  const view = new DataView(bytes.buffer, bytes.length - 4 * VOCAB);
  for (let id = 0; id < VOCAB; id += 2) {
    view.setFloat32(4 * id, (view.getFloat32(4 * id, true) + 5) % 13, true);
  }
  replaceFile(pack, shard, bytes);
  return pack;
}

/** Files of two packs: one, and below {@link DRAFT} its draft. */
export function withDraft(
  pack: ReadonlyMap<string, Uint8Array>,
  draft: ReadonlyMap<string, Uint8Array>,
): Map<string, Uint8Array> {
  const renamed = [...draft].map(([name, bytes]) => [`draft/${name}`, bytes] as const);
  return new Map([...pack, ...renamed]);
}

/** Where {@link withDraft} puts a draft. */
export const DRAFT = `${BASE}draft/`;

/**
 * Loads the toy model with `batch` sequences in a step and a pool of `tokens` positions.
 *
 * @param draft files of another, which guesses
 */
export async function loadTiny(
  batch: number,
  tokens: number,
  draft?: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const pack = servingPack(batch, tokens);
  model = await load(
    testHost(draft ? withDraft(pack, draft) : pack, await dawn()),
    { url: BASE, maxBatch: batch, kvTokens: tokens, ...(draft ? { draft: DRAFT } : {}) },
    () => {},
    never,
  );
  const opened = { grammars: tinyGrammars, Constraint };
  model.matchers = new Matchers({ size: VOCAB } as Vocabulary, {}, async () => opened);
  await model.finish(); // so that no idle moment's work is counted below
}

export interface Ask {
  content: string;
  maxTokens: number;
  penalty?: number;
  bias?: [number, number][];
  stop?: string[];
  priority?: number;
  speculation?: Speculates;
  /** Draws with it instead of greedily. */
  seed?: number;
  overflow?: "slide";
  /** Of {@link classes}; a `*` after them: letters until an end is drawn. */
  grammar?: string;
}

/** Of a grammar of {@link Ask}. */
function tinyMatcher(grammar: string): PatternMatcher {
  const of = (id: number) => (id < 256 ? String.fromCharCode(id) : "");
  const letters = { size: VOCAB, of, eos: [IM_END] };
  const open = grammar.endsWith("*");
  const tail = open ? "abcdefghijklmnopqrstuvwxyz" : "";
  return new PatternMatcher(letters, classes(open ? grammar.slice(0, -1) : grammar), tail);
}

/** Grammars of {@link Ask}, as they are written. */
const tinyGrammars: Grammars = {
  compile: (spec) => {
    if (spec.kind !== "regex") throw new GrammarError("a pattern is expected");
    return { matcher: () => tinyMatcher(spec.pattern) };
  },
  close: () => {},
};

export interface Asked {
  ask: Ask;
  text: string;
  controller: AbortController;
  settled: GenerateResult | Error | undefined;
  done: Promise<void>;
}

export function submit(ask: Ask, onDelta: (asked: Asked) => void = () => {}): Asked {
  const controller = new AbortController();
  const request: GenerateRequest = {
    messages: [{ role: "user", content: ask.content }],
    maxTokens: ask.maxTokens,
    stop: ask.stop ?? [],
    priority: ask.priority ?? 0,
    speculation: ask.speculation ?? "off",
    ...(ask.grammar === undefined ? {} : { grammar: { kind: "regex", pattern: ask.grammar } }),
    ...(ask.overflow ? { overflow: ask.overflow } : {}),
    sampling: {
      temperature: ask.seed === undefined ? 0 : 1,
      ...(ask.seed === undefined ? {} : { seed: ask.seed }),
      frequencyPenalty: ask.penalty ?? 0,
      presencePenalty: 0,
      logitBias: ask.bias ?? [],
      logprobs: null,
    },
  };
  const asked: Asked = { ask, text: "", controller, settled: undefined, done: Promise.resolve() };
  const delta = ({ text }: Delta) => {
    asked.text += text;
    onDelta(asked);
  };
  asked.done = model.generate(request, { delta }, controller.signal).then(
    (result) => {
      asked.settled = result;
    },
    (error: Error) => {
      asked.settled = error;
    },
  );
  return asked;
}

/** What the toy model says to one request alone, without guesses. */
export function twin({
  content,
  maxTokens,
  penalty = 0,
  bias = [],
  stop = [],
  seed,
  grammar,
}: Ask): string {
  const tokens = [...model.prompts.render([{ role: "user", content }]).tokens];
  const added = new Array<number>(VOCAB).fill(0);
  for (const [id, value] of bias) added[id] = value;
  for (const id of tokens) (added[id] as number) -= penalty;
  const matcher = grammar === undefined ? undefined : tinyMatcher(grammar);
  const mask = new Uint32Array(Math.ceil(VOCAB / 32));
  const allowed = (id: number) => !matcher || ((mask[id >> 5] as number) >> (id & 31)) & 1;
  const decoder = new TextDecoder();
  let text = "";
  for (let i = 0; i < maxTokens; i++) {
    const next = nextToken(tokens);
    let best = -1;
    matcher?.mask(mask);
    const score = (id: number) => -Math.abs(id - next) + (added[id] as number);
    for (let id = 0; id < VOCAB; id++) {
      if (allowed(id) && (best < 0 || score(id) > score(best))) best = id;
    }
    if (seed !== undefined) best = drawnToken(seed, i);
    (added[best] as number) -= penalty;
    tokens.push(best);
    if (best === IM_END) break;
    matcher?.accept(best);
    text += decoder.decode(Uint8Array.of(best), { stream: true });
    const ends = stop.map((s) => text.indexOf(s)).filter((at) => at >= 0);
    if (ends.length > 0) {
      text = text.slice(0, Math.min(...ends));
      break;
    }
    if (matcher?.terminated) break;
  }
  matcher?.free();
  return text;
}

export function expectTwin(asked: Asked): void {
  expect(asked.settled).not.toBeInstanceOf(Error);
  expect(asked.text).toBe(twin(asked.ask));
}

/** 60 requests that come at any moment, of which some are aborted; the others get what each gets alone. */
export async function expectCrowdTwins(
  below: (n: number) => number,
  ask: (i: number) => Ask,
): Promise<Asked[]> {
  const all: Asked[] = [];
  for (let i = 0; i < 60; i++) {
    let deltas = 0;
    const abortAt = below(4) === 0 ? 1 + below(20) : Number.POSITIVE_INFINITY;
    const asked = submit(ask(i), ({ controller }) => {
      if (++deltas === abortAt) controller.abort();
    });
    all.push(asked);
    if (below(3) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(all.map(({ done }) => done));
  let aborted = 0;
  for (const asked of all) {
    if (!(asked.settled instanceof Error)) expectTwin(asked);
    else {
      expect(twin(asked.ask).startsWith(asked.text)).toBe(true);
      aborted++;
    }
  }
  expect(aborted).toBeGreaterThan(2);
  return all;
}

/** No page, slot, step, result buffer or listener is in use. */
export async function expectClean(all: readonly Asked[]): Promise<void> {
  const { scheduler, executor } = model;
  await executor.idle(); // surplus steps
  await expect.poll(() => scheduler.used.steps).toBe(0);
  expect(scheduler.used).toEqual({ slots: 0, steps: 0 });
  expect(executor.unread).toBe(0);
  for (const { pool, tree } of [scheduler.kv, ...(model.drafter ? [model.drafter.kv] : [])]) {
    expect(pool.free + tree.held).toBe(pool.pages);
  }
  expect(model.drafter?.usedPages ?? 0).toBe(0);
  expect(model.stats()).toMatchObject({ waiting: 0, running: 0, pages: { running: 0 } });
  for (const { controller, settled } of all) {
    expect(settled).toBeDefined();
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  }
}

/** Repeatable random numbers below `n`. */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

/** What the bias makes of the toy model repeats one letter, with surprises. */
export function repeating(below: (n: number) => number): Ask {
  const ask: Ask = { content: "abcdefghij".slice(below(10)), maxTokens: 20 + below(40) };
  ask.bias = [[65 + below(26), 20 + below(60)]];
  ask.speculation = below(5) === 0 ? "auto" : { tokens: 1 + below(15) };
  if (below(4) === 0) ask.stop = [String.fromCharCode(32 + below(90))];
  if (below(3) === 0) ask.priority = below(5) - 2;
  return ask;
}

export function randomAsk(below: (n: number) => number): Ask {
  const shared = "The same beginning".slice(0, below(19));
  const ask: Ask = { content: shared + "abcdefghij".slice(below(10)), maxTokens: 1 + below(20) };
  if (below(4) === 0) ask.penalty = 2;
  if (below(5) === 0) ask.bias = [[65 + below(26), 60]];
  if (below(5) === 0) ask.stop = [String.fromCharCode(32 + below(90))];
  if (below(3) === 0) ask.priority = below(5) - 2;
  return ask;
}
