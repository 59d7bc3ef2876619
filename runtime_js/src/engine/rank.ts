/** Who goes first: one order for admission, prompts, and (from its end) preemption. */

/** So long a wait counts as much as one point of priority, so that nobody starves. */
export const AGEING_MS = 10_000;

/**
 * Smaller goes first. As all waits grow alike, the order of two requests never changes: it is that of arrival, moved by
 * AGEING_MS for each point of priority.
 *
 * @param arrived milliseconds
 * @param priority higher goes first
 */
export const rankOf = (arrived: number, priority: number): number => arrived - priority * AGEING_MS;

/** What has a place in the order; `id` grows with arrival and settles ties. */
export interface Ranked {
  readonly rank: number;
  readonly id: number;
}

export const byRank = (a: Ranked, b: Ranked): number => a.rank - b.rank || a.id - b.id;

/** Puts an item where it belongs in a list that is in order. */
export function insertRanked<T extends Ranked>(list: T[], item: T): void {
  let at = list.length;
  while (at > 0 && byRank(list[at - 1] as T, item) > 0) at--;
  list.splice(at, 0, item);
}
