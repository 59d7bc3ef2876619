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
 * Everyone with one token to compute decodes; what room is left goes to prompts, in order of rank.
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
  pending.forEach((tokens, i) => {
    if (tokens < 2 || seqs === 0 || room === 0) return;
    const part = Math.min(tokens, room);
    chosen[i] = part;
    room -= part;
    seqs--;
  });
  return chosen;
}
