// What the engine is doing, over the last minute, and a way to keep it busy.

import { effect, signal } from "@preact/signals";
import { type LoadedEngine, model } from "./model.js";

export type Stats = Awaited<ReturnType<LoadedEngine["stats"]>>;

/** One moment of the plots. */
export interface Moment {
  /** Milliseconds. */
  at: number;
  tokensPerSecond: number;
  running: number;
  waiting: number;
  /** Shares of all KV pages. */
  pagesRunning: number;
  pagesCached: number;
}

/** Milliseconds that the plots show, and between two moments. */
export const SHOWN_MS = 60_000;
const EVERY_MS = 250;

/** What changed from one look to the next. */
export function momentOf(now: Stats, at: number, before: Look | null) {
  const { total, running, cached } = now.pages;
  const seconds = before ? (at - before.at) / 1000 : 0;
  const drawn = before ? now.drawnTokens - before.stats.drawnTokens : 0;
  return {
    at,
    tokensPerSecond: seconds > 0 ? Math.max(0, drawn) / seconds : 0,
    running: now.running,
    waiting: now.waiting,
    pagesRunning: running / total,
    pagesCached: cached / total,
  } satisfies Moment;
}

/** A look at the engine. */
export interface Look {
  stats: Stats;
  /** Milliseconds. */
  at: number;
}

/** Looks that figures of the time shown need, and a new one: the last one before it is where that time begins. */
export function looksWith(looks: readonly Look[], look: Look): Look[] {
  const all = [...looks, look];
  const first = all.findLastIndex(({ at }) => at <= look.at - SHOWN_MS);
  return all.slice(Math.max(0, first));
}

/** Means of the time between two looks; null: of nothing. */
export interface Recent {
  /** Requests in a step. */
  batch: number | null;
  /** Of prompt tokens, those that were cached. */
  hitRate: number | null;
  /** Of guessed tokens, those that were right. */
  acceptance: number | null;
  /** Milliseconds of a step. */
  stepMs: Record<"plan" | "encode" | "wait", number> | null;
}

export function recentOf(now: Stats, before: Stats): Recent {
  const mean = (of: (stats: Stats) => number, each: (stats: Stats) => number) => {
    const count = each(now) - each(before);
    return count > 0 ? (of(now) - of(before)) / count : null;
  };
  const steps = ({ sums }: Stats) => sums.steps;
  const plan = mean(({ sums }) => sums.planMs, steps);
  const encode = mean(({ sums }) => sums.encodeMs, steps);
  const wait = mean(({ sums }) => sums.waitMs, steps);
  return {
    batch: mean(({ sums }) => sums.batch, steps),
    hitRate: mean(
      ({ cache }) => cache.cachedTokens,
      ({ sums }) => sums.askedTokens,
    ),
    acceptance: mean(
      ({ speculation }) => speculation.accepted,
      ({ speculation }) => speculation.guessed,
    ),
    stepMs: plan === null || encode === null || wait === null ? null : { plan, encode, wait },
  };
}

/** The moments that are still shown, and a new one. */
export const appended = (moments: readonly Moment[], moment: Moment): Moment[] => [
  ...moments.filter(({ at }) => at > moment.at - SHOWN_MS),
  moment,
];

export const stats = signal<Stats | null>(null);
/** Of the time that the plots show, as far as somebody looked. */
export const recent = signal<Recent | null>(null);
export const moments = signal<readonly Moment[]>([]);
/** Only an open dashboard costs anything. */
export const open = signal(false);

effect(() => {
  stats.value = null;
  recent.value = null;
  moments.value = [];
  const { value: state } = model;
  if (!open.value || state.phase !== "ready") return;
  let looks: Look[] = [];
  return state.engine.on(
    "step",
    (now) => {
      const at = performance.now();
      stats.value = now;
      moments.value = appended(moments.peek(), momentOf(now, at, looks.at(-1) ?? null));
      looks = looksWith(looks, { stats: now, at });
      recent.value = recentOf(now, (looks[0] as Look).stats);
    },
    { every: EVERY_MS },
  );
});

const QUESTIONS = [
  "What is webbuild?",
  "What is 17 + 25?",
  "Tell me a story.",
  "What is 9 + 46?",
  "Spell the word kernel.",
  "What is 64 - 12?",
  "Who are you?",
  "What is 7 + 7?",
];

export const askingAll = signal(false);

/** Asks several questions at the same time, after those that people wait for. */
export async function askAll(engine: LoadedEngine): Promise<void> {
  askingAll.value = true;
  const answers = QUESTIONS.map((content) =>
    engine.chat.completions.create({
      messages: [{ role: "user", content }],
      max_tokens: 128,
      webbuild: { priority: -1 },
    }),
  );
  await Promise.allSettled(answers);
  askingAll.value = false;
}
