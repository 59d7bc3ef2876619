/**
 * Rows of the buffer `masks`, which say what a slot may draw: docs/architecture.md, "The step". A row is u32: which row the next draw of
 * the slot with the row's number takes, as the sampler leaves it; its tag; a bit for each token; and a byte for each token, the row that it
 * leads to. Row 0 is nobody's: it allows everything, leads to itself and has the tag 0.
 */

/** Words before a row's mask. */
export const MASK_HEAD = 2;
/** In a row's place: the one that the slot's last draw led to. */
export const FOLLOW = 0xffffffff;
/** What a byte can number. */
export const MOST_ROWS = 256;

/** Words of a row's mask. */
export const maskWords = (vocab: number): number => Math.ceil(vocab / 32);

/** Words of a whole row. */
export const maskRowWords = (vocab: number): number =>
  MASK_HEAD + maskWords(vocab) + Math.ceil(vocab / 4);
