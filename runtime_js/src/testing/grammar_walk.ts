/** Random answers within a grammar. */
import type { CompiledMatcher } from "../grammar/matcher.js";
import type { Matcher, Vocabulary } from "../grammar/spec.js";

/** A seeded generator of numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const allowedTokens = (mask: Uint32Array): number[] => {
  const tokens: number[] = [];
  mask.forEach((word, i) => {
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) tokens.push(i * 32 + bit);
  });
  return tokens;
};

/** A matcher that tells `taken` of each token before it takes it. */
export function observed(matcher: Matcher, taken: (token: number) => void): Matcher {
  return Object.assign(Object.create(matcher) as Matcher, {
    mask: (into: Uint32Array) => matcher.mask(into),
    accept: (token: number) => {
      taken(token);
      return matcher.accept(token);
    },
  });
}

/** A mask of `vocabulary`. */
export function maskOf(matcher: Pick<Matcher, "mask">, vocabulary: Vocabulary): Uint32Array {
  const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
  matcher.mask(mask);
  return mask;
}

/** Every token, tried on its own: its bytes through the parser one by one, no mask involved. */
export function triedTokens(matcher: CompiledMatcher, vocabulary: Vocabulary): number[] {
  const allowed: number[] = [];
  for (let id = 0; id < vocabulary.size; id++) {
    if (vocabulary.stopTokens.includes(id)) {
      const other = matcher.fork();
      if (other.accept(id)) allowed.push(id);
      other.free();
    } else if (!vocabulary.isSpecial(id)) {
      const bytes = vocabulary.bytes(id);
      if (bytes.length > 0 && matcher.acceptBytes(bytes)) {
        allowed.push(id);
        matcher.rollback(1);
      }
    }
  }
  return allowed;
}

/** A draw at temperature 1.5 from logits that are normally distributed with a deviation of 3. */
function draw(tokens: number[], rng: () => number): number {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (const token of tokens) {
    const logit = 3 * Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng());
    const noisy = logit / 1.5 - Math.log(-Math.log(1 - rng())); // the Gumbel trick: an argmax is a draw
    if (noisy > most) [best, most] = [token, noisy];
  }
  return best;
}

const CLOSING = '"}],:nt0123456789';

/**
 * The bytes of an answer, drawn until the grammar ends. From `wander` tokens on, what closes is preferred.
 * @param each is asked at every token, before it is drawn
 * @param closing what closes, as characters
 * @returns undefined if there was no end after 3,000 tokens
 */
export function walk(
  matcher: Matcher,
  vocabulary: Vocabulary,
  rng: () => number,
  wander: number,
  each: (taken: number) => void = () => {},
  closing = CLOSING,
): Uint8Array | undefined {
  const closers = new Set([...closing].map((c) => c.charCodeAt(0)));
  const bytes: number[] = [];
  for (let taken = 0; taken < 3000; taken++) {
    each(taken);
    let tokens = allowedTokens(maskOf(matcher, vocabulary));
    if (tokens.length === 0)
      throw new Error(
        `nothing is allowed after ${new TextDecoder().decode(Uint8Array.from(bytes))}`,
      );
    if (taken >= wander) {
      const stop = tokens.find((token) => vocabulary.stopTokens.includes(token));
      const close = tokens.filter((token) => closers.has(token));
      if (stop !== undefined) tokens = [stop];
      else if (close.length > 0 && rng() < 0.8) tokens = close;
    }
    const token = draw(tokens, rng);
    if (!matcher.accept(token)) throw new Error(`the mask allows ${token}, the matcher does not`);
    if (vocabulary.stopTokens.includes(token)) return Uint8Array.from(bytes);
    bytes.push(...vocabulary.bytes(token));
  }
  return undefined;
}
