/** Who computes what of a request: each strategy is a few lines over the three calls. Write your own like these. */
import { cachedTokens, isNamed, leastBusy, type RoutedEngine } from "./routed_engine.js";
import type { Strategy } from "./router.js";

/** Milliseconds that a request waits for room for what another engine could send it: then it queues as others do. */
const ROOM_MS = 500;

/** Each request goes to the next engine. */
export function roundRobin(): Strategy {
  let turn = 0;
  return ({ prompt, options }, engines) => nth(engines, turn++).startGenerate(prompt, options);
}

/**
 * Some engines only compute prompts, the others only generate, so that long prompts disturb nobody's answer. Prompts with
 * fewer than `long` tokens to compute are not worth sending.
 *
 * @param prefill how many of the engines, the first ones, compute prompts
 */
export function prefillDecode({ prefill = 1, long = 256 } = {}): Strategy {
  return async ({ prompt, options }, engines) => {
    const { signal } = options;
    const to = leastBusy(engines.filter(({ index }) => index >= prefill)).take(signal);
    const { matched, tokens } = await to.prepRecv(prompt, { reserve: false, signal });
    if (tokens - matched < long) return to.startGenerate(prompt, options);
    const from = leastBusy(engines.filter(({ index }) => index < prefill));
    const begin = await move(prompt, { from, to, end: -1, signal });
    return to.startGenerate(prompt, { ...options, begin });
  };
}

/** One engine computes the first part of a long prompt, another one the rest, and the answer. @param share of the first */
export function balancedSplit({ share = 0.5, long = 256 } = {}): Strategy {
  let turn = 0;
  return async ({ prompt, options }, engines) => {
    const { signal } = options;
    const to = nth(engines, turn++).take(signal);
    const { matched, tokens } = await to.prepRecv(prompt, { reserve: false, signal });
    if (tokens - matched < long) return to.startGenerate(prompt, options);
    const from = leastBusy(engines.filter((engine) => engine !== to));
    const end = matched + Math.floor((tokens - matched) * share);
    const begin = await move(prompt, { from, to, end, signal });
    return to.startGenerate(prompt, { ...options, begin });
  };
}

/** A conversation stays where its keys and values are, unless another engine is less busy: then they move there. */
export function kvMigration({ worthwhile = 64 } = {}): Strategy {
  return async ({ prompt, options }, engines) => {
    const { signal } = options;
    const cached = await cachedTokens(prompt, engines, signal);
    const of = (engine: RoutedEngine) => cached.get(engine) ?? 0;
    const able = [...cached.keys()];
    const from = able.reduce((best, engine) => (of(engine) > of(best) ? engine : best));
    const to = leastBusy(able);
    if (from.active <= to.active && of(from) > 0) return from.startGenerate(prompt, options);
    if (of(from) - of(to) < worthwhile) return to.startGenerate(prompt, options);
    const begin = await move(prompt, { from, to, end: of(from), signal });
    return to.startGenerate(prompt, { ...options, begin });
  };
}

/** Each request goes where most of it is cached; an active request weighs as much as `tokens` to compute. */
export function cacheAware({ tokens = 256 } = {}): Strategy {
  return async ({ prompt, options }, engines) => {
    const { signal } = options;
    const cached = await cachedTokens(prompt, engines, signal);
    const worth = (engine: RoutedEngine) => (cached.get(engine) ?? 0) - engine.active * tokens;
    const best = [...cached.keys()].reduce((a, b) => (worth(b) > worth(a) ? b : a));
    return best.startGenerate(prompt, options);
  };
}

/**
 * Has `from` send what `to` lacks of `prompt[0, end)`. If it can't, or `to` has no room for it beside what it does, `to`
 * computes it itself. Both are busy with it from the call on.
 *
 * @returns where `to` goes on
 */
export async function move(
  prompt: Parameters<RoutedEngine["prepRecv"]>[0],
  route: { from: RoutedEngine; to: RoutedEngine; end: number; signal?: AbortSignal | undefined },
): Promise<number> {
  const { end, signal } = route;
  const [from, to] = [route.from.take(signal), route.to.take(signal)];
  let begin: number | undefined;
  try {
    const { kvAddr, matched } = await to.prepRecv(prompt, { end, roomMs: ROOM_MS, signal });
    begin = matched;
    await from.remoteSend(prompt, { kvAddr, to, signal });
    return kvAddr.end;
  } catch (error) {
    if (begin === undefined && !isNamed(error, "KvRefused")) throw error;
    return begin ?? 0; // of a request that was aborted meanwhile, `to` says so
  } finally {
    from.release(signal);
  }
}

const nth = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;
