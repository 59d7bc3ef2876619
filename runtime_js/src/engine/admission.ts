/** Whether a waiting request may begin. */

/**
 * Whether there is room for it: a page for everything it has to compute, for what the running ones still have to compute of
 * their prompts, and one more for each, so that nobody is preempted at once. What runs alone always may.
 *
 * @param available pages that no running request holds
 * @param promised pages that running prompts still take
 * @param needed pages that this one takes
 */
export function fits(
  running: number,
  { available, promised, needed }: { available: number; promised: number; needed: number },
): boolean {
  return running === 0 || available - promised >= needed + running + 1;
}

/** How many tokens two sequences have in common at the beginning. */
export function commonPrefix(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}

/** A prompt that is being computed. */
export interface Computing {
  prompt: Int32Array;
  /** Tokens of it that are computed, which others can use. */
  computed: number;
}

/**
 * Whether to wait for a running request to compute the same beginning: it is about to have at least a page more of it than is
 * cached.
 *
 * @param matched tokens of it that are cached
 */
export function waitsForPrefix(
  tokens: Int32Array,
  matched: number,
  computing: readonly Computing[],
  pageSize: number,
): boolean {
  const wanted = tokens.subarray(0, -1); // the last is computed in any case
  return computing.some(({ prompt, computed }) => {
    const shared = commonPrefix(wanted, prompt);
    const whole = shared - (shared % pageSize);
    return whole > matched && whole > computed;
  });
}
