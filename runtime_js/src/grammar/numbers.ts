/** Numbers in JSON within bounds. */
import {
  choice,
  EMPTY,
  type Expression,
  NOTHING,
  oneOf,
  optional,
  type Rules,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.js";

/** More digits than a double holds would be read back as another number, on the wrong side of a bound perhaps. */
const MAX_DIGITS = 15;
/** Most that are written, where bounds do not say otherwise. */
export const FRACTION_DIGITS = 6;
const NINES = "9".repeat(MAX_DIGITS);

const digits = (from: number, to: number): Expression =>
  from > to ? NOTHING : oneOf([[0x30 + from, 0x30 + to]]);
const any = (min: number, max: number): Expression => repeat(digits(0, 9), min, max);

/** Any integer of up to 16 digits. */
export const INTEGER: Expression = choice(
  text("0"),
  sequence(optional(text("-")), digits(1, 9), any(0, MAX_DIGITS)),
);

/** Any number whose value is finite. */
export const NUMBER: Expression = sequence(
  optional(text("-")),
  choice(text("0"), sequence(digits(1, 9), any(0, MAX_DIGITS))),
  optional(sequence(text("."), any(1, 17))),
  optional(
    sequence(
      oneOf([
        [0x45, 0x45],
        [0x65, 0x65],
      ]),
      optional(
        oneOf([
          [0x2b, 0x2b],
          [0x2d, 0x2d],
        ]),
      ),
      any(1, 2),
    ),
  ),
);

/** Integers from `min` to `max`, which are safe integers or infinite. */
export function integers(min: number, max: number): Expression {
  if (min === Number.NEGATIVE_INFINITY && max === Number.POSITIVE_INFINITY) return INTEGER;
  return choice(
    min < 0 ? sequence(text("-"), naturals(Math.max(1, -max), -min)) : NOTHING,
    max >= 0 ? naturals(Math.max(0, min), max) : NOTHING,
  );
}

/** Natural numbers from `min` to `max`, without leading zeros. */
function naturals(min: number, max: number): Expression {
  if (min > max) return NOTHING;
  const low = String(min);
  const open = low.length > MAX_DIGITS ? String(Number.MAX_SAFE_INTEGER) : NINES;
  const high = max === Number.POSITIVE_INFINITY ? open : String(max);
  const options: Expression[] = [];
  for (let length = low.length; length <= high.length; length++) {
    const from = length === low.length ? low : `1${"0".repeat(length - 1)}`;
    const to = length === high.length ? high : "9".repeat(length);
    options.push(between(from, to));
  }
  return choice(...options);
}

/** Digit strings from `low` to `high`, all of the same length. */
function between(low: string, high: string): Expression {
  if (low > high) return NOTHING;
  const rest = low.length - 1;
  if (low.length === 0) return EMPTY;
  const [a, b] = [Number(low[0]), Number(high[0])];
  if (/^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1)))
    return sequence(digits(a, b), any(rest, rest));
  if (a === b) return sequence(digits(a, a), between(low.slice(1), high.slice(1)));
  return choice(
    sequence(digits(a, a), between(low.slice(1), "9".repeat(rest))),
    a + 1 <= b - 1 ? sequence(digits(a + 1, b - 1), any(rest, rest)) : NOTHING,
    sequence(digits(b, b), between("0".repeat(rest), high.slice(1))),
  );
}

export interface Bound {
  value: number;
  exclusive: boolean;
}

/** No number is so great. */
const GREATEST = 1e115;
/** Numbers from here on have no fractions, as a double has no digits left for them. */
const MOST_WITH_FRACTION = 1e9;
const MOST_WHOLE = 10 ** MAX_DIGITS - 1;

/**
 * Numbers within bounds, without exponents and with few digits after the point.
 * @param decimals the most of these
 * @returns undefined when a bound has too many digits for that
 */
export function numbers(
  min: Bound | undefined,
  max: Bound | undefined,
  decimals?: number,
): Expression | undefined {
  if (min && min.value <= -GREATEST) return numbers(undefined, max, decimals);
  if (max && max.value >= GREATEST) return numbers(min, undefined, decimals);
  if (!min && !max) return decimals ? decimalNumber(decimals) : NUMBER;
  if ([min, max].some((bound) => bound && Math.abs(bound.value) >= MOST_WITH_FRACTION))
    return large(min, max, decimals);
  const low = min?.value ?? Number.NEGATIVE_INFINITY;
  const high = max?.value ?? Number.POSITIVE_INFINITY;
  for (const bound of [low, high]) {
    if (Number.isFinite(bound) && !/^-?\d+(\.\d{1,6})?$/.test(`${bound}`)) return undefined;
  }
  const zero: Bound = { value: 0, exclusive: false };
  const positive = low < 0 || !min ? zero : min;
  const negated = (bound: Bound | undefined): Bound | undefined =>
    bound && { value: -bound.value, exclusive: bound.exclusive };
  return choice(
    // Below zero, mirrored; zero itself has no sign.
    low < 0
      ? sequence(
          text("-"),
          magnitudes(
            high < 0 ? (negated(max) as Bound) : { value: 0, exclusive: true },
            negated(min),
            decimals,
          ),
        )
      : NOTHING,
    high >= 0 ? magnitudes(positive, max, decimals) : NOTHING,
  );
}

/** Of bounds of which one is large: whole numbers, and those with fractions as far as they go. */
function large(
  min: Bound | undefined,
  max: Bound | undefined,
  decimals: number | undefined,
): Expression | undefined {
  const from = min
    ? min.exclusive
      ? Math.floor(min.value) + 1
      : Math.ceil(min.value)
    : -MOST_WHOLE;
  const to = max ? (max.exclusive ? Math.ceil(max.value) - 1 : Math.floor(max.value)) : MOST_WHOLE;
  if (from > MOST_WHOLE || to < -MOST_WHOLE) return undefined;
  const whole = integers(Math.max(from, -MOST_WHOLE), Math.min(to, MOST_WHOLE));
  const near = MOST_WITH_FRACTION - 1;
  const low = min && min.value > -near ? min : { value: -near, exclusive: false };
  const high = max && max.value < near ? max : { value: near, exclusive: false };
  if (low.value > high.value) return whole;
  const fractions = numbers(low, high, decimals);
  return fractions && choice(whole, fractions);
}

/** Decimals from `min`, not negative, to `max`. */
function magnitudes(
  min: Bound,
  max: Bound | undefined,
  most: number = FRACTION_DIGITS,
): Expression {
  const [a, f] = parts(min.value);
  const lower = { digits: f, exclusive: min.exclusive };
  if (!max)
    return choice(decimal(a, lower, undefined, most), anyFraction(naturals(a + 1, 1e9), most));
  const [b, g] = parts(max.value);
  const upper = { digits: g, exclusive: max.exclusive };
  if (a > b) return NOTHING;
  if (a === b) return decimal(a, lower, upper, most);
  return choice(
    decimal(a, lower, undefined, most),
    anyFraction(naturals(a + 1, b - 1), most),
    decimal(b, undefined, upper, most),
  );
}

const anyFraction = (whole: Expression, most: number): Expression =>
  sequence(whole, optional(sequence(text("."), any(1, most))));

/** Any number of so many decimals. */
const decimalNumber = (most: number): Expression =>
  sequence(
    optional(text("-")),
    anyFraction(choice(text("0"), sequence(digits(1, 9), any(0, MAX_DIGITS - 1 - most))), most),
  );

function parts(value: number): [number, string] {
  const [whole = "0", fraction = ""] = String(value).split(".");
  return [Number(whole), fraction];
}

interface FractionBound {
  digits: string;
  exclusive: boolean;
}

/** Whether the digits before reached a bound that is excluded. */
const closed = (high: FractionBound | undefined): boolean => high?.digits === "" && high.exclusive;

/** A whole part and the fractions within bounds behind it. */
function decimal(
  whole: number,
  low: FractionBound | undefined,
  high: FractionBound | undefined,
  most: number,
): Expression {
  const bare = (!low || (low.digits === "" && !low.exclusive)) && !closed(high);
  const lead = text(String(whole));
  return choice(bare ? lead : NOTHING, sequence(lead, text("."), fraction(low, high, most, false)));
}

/**
 * Digits after the point, `left` at most.
 * @param started whether a digit was written, so that the number may end here
 */
function fraction(
  low: FractionBound | undefined,
  high: FractionBound | undefined,
  left: number,
  started: boolean,
): Expression {
  if (!low && !high) return any(started ? 0 : 1, left);
  // Missing digits are zeros.
  const aboveLow = !low || (low.digits === "" && !low.exclusive);
  const belowHigh = !closed(high);
  const end = started && aboveLow && belowHigh ? EMPTY : NOTHING;
  if (left === 0) return end;
  const from = low ? Number(low.digits[0] ?? "0") : 0;
  const to = high ? Number(high.digits[0] ?? "0") : 9;
  const options: Expression[] = [end];
  for (let digit = from; digit <= to; digit++) {
    const after = (bound: FractionBound | undefined, edge: number) =>
      bound && digit === edge ? { ...bound, digits: bound.digits.slice(1) } : undefined;
    options.push(
      sequence(digits(digit, digit), fraction(after(low, from), after(high, to), left - 1, true)),
    );
  }
  return choice(...options);
}

/**
 * Multiples of a step in decimal, of up to 15 digits: a rule for each remainder and number of digits left.
 * @param step in units of the last of `decimals`
 */
export function multiples(
  step: number,
  decimals: number,
  which: "all" | "natural" | "positive",
  rules: Rules,
): Expression {
  const whole = MAX_DIGITS - decimals;
  const name = (part: string, remainder: number, left: number) =>
    `multiple-${step}-${decimals}-${part}-${remainder}-${left}`;
  const next = (part: string, remainder: number, left: number, from = 0): Expression[] =>
    Array.from({ length: 10 - from }, (_, i) =>
      sequence(
        digits(from + i, from + i),
        rule(name(part, (remainder * 10 + from + i) % step, left)),
      ),
    );
  // Digits that are missing behind the point are zeros.
  const end = (remainder: number, left: number) =>
    (remainder * 10 ** left) % step === 0 ? EMPTY : NOTHING;
  for (let remainder = 0; remainder < step; remainder++) {
    for (let left = 0; left < decimals; left++) {
      const more = left === 0 ? [] : next("decimals", remainder, left - 1);
      rules.set(name("decimals", remainder, left), choice(end(remainder, left), ...more));
    }
    for (let left = 0; left < whole; left++) {
      const more = left === 0 ? [] : next("whole", remainder, left - 1);
      const behind = decimals > 0 ? next("decimals", remainder, decimals - 1) : [];
      const point = sequence(text("."), choice(...behind));
      rules.set(name("whole", remainder, left), choice(end(remainder, decimals), ...more, point));
    }
  }
  let small: Expression = NOTHING; // not zero: noughts, and another digit
  for (let left = 0; left < decimals; left++)
    small = choice(...next("decimals", 0, left, 1), sequence(text("0"), small));
  const positive = choice(...next("whole", 0, whole - 1, 1), sequence(text("0"), text("."), small));
  if (which === "positive") return positive;
  return choice(text("0"), which === "all" ? sequence(optional(text("-")), positive) : positive);
}
