/** Which cached prefixes go first when pages are wanted. */

/** What is known of a cached prefix. */
export interface Usage {
  /** When it was last matched or inserted: counts such events, so that none has the time of another. */
  lastUse: number;
  /** How often it was matched since it was inserted. */
  uses: number;
  /** Tokens from the beginning to its end. */
  tokens: number;
}

/** Of the prefixes that nothing continues and nobody uses, the one of the smallest value goes first. */
export interface EvictionPolicy {
  value(usage: Usage): number;
}

export const leastRecentlyUsed: EvictionPolicy = { value: ({ lastUse }) => lastUse };

/** Keeps what many requests share over what one has just used. */
export const leastFrequentlyUsed: EvictionPolicy = {
  // The time decides among equals: it stays below one for the first 2^32 events.
  value: ({ uses, lastUse }) => uses + lastUse / 2 ** 32,
};
