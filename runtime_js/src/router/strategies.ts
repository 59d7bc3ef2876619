/** Who computes what of a request: each strategy is a few lines over the three calls. Write your own like these. */
import { leastBusy, type RoutedEngine, type Strategy } from "./router.js";

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
    const from = leastBusy(engines.slice(0, prefill));
    const to = leastBusy(engines.slice(prefill));
    const { signal } = options;
    const { matched, tokens } = await to.prepRecv(prompt, { reserve: false, signal });
    if (tokens - matched < long) return to.startGenerate(prompt, options);
    const begin = await move(prompt, { from, to, end: -1, signal });
    return to.startGenerate(prompt, { ...options, begin });
  };
}

/** One engine computes the first part of a long prompt, another one the rest, and the answer. @param share of the first */
export function balancedSplit({ share = 0.5, long = 256 } = {}): Strategy {
  let turn = 0;
  return async ({ prompt, options }, engines) => {
    const to = nth(engines, turn++);
    const from = leastBusy(engines.filter((engine) => engine !== to));
    const { signal } = options;
    const { matched, tokens } = await to.prepRecv(prompt, { reserve: false, signal });
    if (tokens - matched < long) return to.startGenerate(prompt, options);
    const end = matched + Math.floor((tokens - matched) * share);
    const begin = await move(prompt, { from, to, end, signal });
    return to.startGenerate(prompt, { ...options, begin });
  };
}

/** A conversation stays where its keys and values are, unless another engine is less busy: then they move there. */
export function kvMigration({ worthwhile = 64 } = {}): Strategy {
  return async ({ prompt, options }, engines) => {
    const { signal } = options;
    const cached = await Promise.all(
      engines.map((engine) => engine.prepRecv(prompt, { reserve: false, signal })),
    );
    const matched = new Map(engines.map((engine, i) => [engine, cached[i]?.matched ?? 0]));
    const of = (engine: RoutedEngine) => matched.get(engine) ?? 0;
    const from = engines.reduce((best, engine) => (of(engine) > of(best) ? engine : best));
    const to = leastBusy(engines);
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
    const cached = await Promise.all(
      engines.map((engine) => engine.prepRecv(prompt, { reserve: false, signal })),
    );
    const worth = engines.map(({ active }, i) => (cached[i]?.matched ?? 0) - active * tokens);
    const best = worth.indexOf(Math.max(...worth));
    return nth(engines, best).startGenerate(prompt, options);
  };
}

/**
 * Has `from` send what `to` lacks of `prompt[0, end)`. If it can't, `to` computes it itself.
 *
 * @returns where `to` goes on
 */
export async function move(
  prompt: Parameters<RoutedEngine["prepRecv"]>[0],
  route: { from: RoutedEngine; to: RoutedEngine; end: number; signal?: AbortSignal | undefined },
): Promise<number> {
  const { from, to, end, signal } = route;
  const { kvAddr, matched } = await to.prepRecv(prompt, { end, signal });
  try {
    await from.remoteSend(prompt, { kvAddr, to, signal });
    return kvAddr.end;
  } catch (error) {
    if (signal?.aborted) throw error;
    return matched;
  }
}

const nth = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;
