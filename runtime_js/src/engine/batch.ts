/** Which tokens of which requests the next step computes. */

export interface BatchLimits {
  /** Sequences in a step. */
  seqs: number;
  /** Tokens in a step. */
  tokens: number;
  /** Tokens of prompts in a step that also decodes. */
  promptTokens: number;
}

/**
 * Everyone with one token to compute decodes; what room is left goes to prompts. Half of it is for the first in rank, who so
 * is never kept waiting; the rest for those who have the least left, so that short prompts do not wait for long ones.
 *
 * @param pending tokens that each running request has to compute, in order of rank; 0: none just now
 * @returns how many tokens each gets
 */
export function chooseBatch(pending: readonly number[], limits: BatchLimits): number[] {
  let seqs = limits.seqs;
  let decodes = 0;
  const chosen = pending.map((tokens): number => {
    if (tokens !== 1 || seqs === 0 || decodes === limits.tokens) return 0;
    seqs--;
    decodes++;
    return 1;
  });
  let room = limits.tokens - decodes;
  if (decodes > 0) room = Math.min(room, limits.promptTokens);
  const left = (i: number) => (pending[i] as number) - (chosen[i] as number);
  const give = (i: number, most: number) => {
    const has = chosen[i] as number;
    const part = Math.min(left(i), most);
    if (part === 0 || (has === 0 && seqs === 0)) return;
    if (has === 0) seqs--;
    chosen[i] = has + part;
    room -= part;
  };
  const prompts = [...pending.keys()].filter((i) => (pending[i] as number) > 1);
  if (prompts.length > 0) give(prompts[0] as number, Math.ceil(room / 2));
  for (const i of prompts.sort((a, b) => left(a) - left(b))) give(i, room);
  return chosen;
}
