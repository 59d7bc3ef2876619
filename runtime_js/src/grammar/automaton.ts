/** Texts that several patterns say something about at once, as an automaton: its states are what is left of each pattern (Brzozowski). */
import {
  choice,
  EMPTY,
  type Expression,
  NOTHING,
  normalise,
  type Ranges,
  type Rules,
  repeat,
  rule,
  sequence,
} from "./expression.js";

/** What a text must match as a whole, or must not. Of `regex`, with a class for each character. */
export interface Condition {
  expression: Expression;
  negated: boolean;
}

/** What is left of one condition. */
interface Rest {
  id: number;
  expression: Expression;
  ends: boolean;
  cuts: ReadonlySet<number>;
  /** By the first of characters between which it does not tell. */
  next: Map<number, Rest>;
}

/** Each is a rule, a tenth of a millisecond of compiling. */
const MAX_STATES = 1000;
/** Characters of all that is left of conditions, some tenths of a second. */
const MAX_WORK = 2_000_000;
const FEW_RANGES = 16;

/**
 * @param character one character of a set of code points
 * @returns the texts that all conditions hold for, in rules that are added; undefined if that takes too much
 */
export function together(
  conditions: readonly Condition[],
  character: (ranges: Ranges) => Expression,
  rules: Rules,
): Expression | undefined {
  const prefix = `t${rules.size}`;
  const known = new Map<string, Rest>();
  let work = 0;
  const large = new Map<string, number>();
  const numbers = new WeakMap<object, number>();
  /** A class of hundreds of ranges, such as all letters, by a number: it stays the same object from rest to rest. */
  const short = (name: string, value: unknown): unknown => {
    if (name !== "ranges" || (value as Ranges).length <= FEW_RANGES) return value;
    const number = numbers.get(value as object) ?? numberOf(large, JSON.stringify(value));
    numbers.set(value as object, number);
    return number;
  };
  const restOf = (expression: Expression): Rest => {
    const key = JSON.stringify(expression, short);
    work += key.length;
    let rest = known.get(key);
    if (!rest) {
      const cuts = new Set([0]);
      cut(expression, cuts);
      rest = { id: known.size, expression, ends: mayEnd(expression), cuts, next: new Map() };
      known.set(key, rest);
    }
    return rest;
  };
  const follow = (rest: Rest, code: number): Rest => {
    let next = rest.next.get(code);
    if (!next) {
      next = restOf(after(rest.expression, code));
      rest.next.set(code, next);
    }
    return next;
  };
  /** Whether nothing can follow that all conditions hold for. */
  const over = (state: readonly Rest[]) =>
    state.some(({ expression }, i) => isNothing(expression) && !conditions[i]?.negated);

  const states = new Map<string, { name: string; state: readonly Rest[] }>();
  const named = (state: readonly Rest[]): Expression => {
    const key = keyOf(state);
    const found = states.get(key) ?? { name: `${prefix}-${states.size}`, state };
    states.set(key, found);
    return rule(found.name);
  };
  const first = named(conditions.map(({ expression }) => restOf(expression)));
  const bodies: [string, Expression][] = [];
  const characters = new Map<string, Expression>();
  const drawn = (ranges: Ranges): Expression => {
    const key = JSON.stringify(ranges);
    const one = characters.get(key) ?? character(ranges);
    characters.set(key, one);
    if (one.kind === "class") return one;
    const name = `${prefix}-c${[...characters.keys()].indexOf(key)}`;
    rules.set(name, one);
    return rule(name);
  };
  for (const { name, state } of states.values()) {
    if (states.size > MAX_STATES || work > MAX_WORK) return undefined;
    const starts = [...new Set(state.flatMap(({ cuts }) => [...cuts]))].sort((a, b) => a - b);
    const steps = new Map<string, { ranges: [number, number][]; next: readonly Rest[] }>();
    for (const [i, from] of starts.entries()) {
      const next = state.map((rest) => follow(rest, from));
      if (over(next)) continue;
      const step = steps.get(keyOf(next)) ?? { ranges: [], next };
      step.ranges.push([from, (starts[i + 1] ?? 0x110000) - 1]);
      steps.set(keyOf(next), step);
    }
    const ends = state.every((rest, i) => rest.ends !== conditions[i]?.negated);
    const options = [...steps.values()].map(({ ranges, next }) =>
      sequence(drawn(normalise(ranges)), named(next)),
    );
    bodies.push([name, choice(ends ? EMPTY : NOTHING, ...options)]);
  }
  // Last ones first: so they are found to come to an end in few rounds.
  for (const [name, body] of bodies.reverse()) rules.set(name, body);
  return first;
}

function numberOf(known: Map<string, number>, key: string): number {
  const number = known.get(key) ?? known.size;
  known.set(key, number);
  return number;
}

const keyOf = (state: readonly Rest[]): string => state.map(({ id }) => id).join();

/** Where sets of characters that `e` may begin with begin or end. */
function cut(e: Expression, cuts: Set<number>): void {
  if (e.kind === "class") {
    for (const [from, to] of e.ranges) {
      cuts.add(from);
      if (to < 0x10ffff) cuts.add(to + 1);
    }
  } else if (e.kind === "choice") {
    for (const option of e.options) cut(option, cuts);
  } else if (e.kind === "repeat") {
    cut(e.body, cuts);
  } else if (e.kind === "sequence") {
    for (const part of e.parts) {
      cut(part, cuts);
      if (!mayEnd(part)) return;
    }
  }
}

/** Whether the empty text matches. */
function mayEnd(e: Expression): boolean {
  switch (e.kind) {
    case "sequence":
      return e.parts.every(mayEnd);
    case "choice":
      return e.options.some(mayEnd);
    case "repeat":
      return e.min === 0 || mayEnd(e.body);
    default:
      return e.kind === "text"; // the empty one
  }
}

/** What must follow the character, so that both together match. */
function after(e: Expression, code: number): Expression {
  switch (e.kind) {
    case "class":
      return e.ranges.some(([from, to]) => from <= code && code <= to) ? EMPTY : NOTHING;
    case "choice":
      return either(e.options.map((option) => after(option, code)));
    case "repeat": {
      if (e.max === 0) return NOTHING;
      const rest = e.max === 1 ? EMPTY : repeat(e.body, Math.max(0, e.min - 1), e.max - 1);
      return joined([after(e.body, code), rest]);
    }
    case "sequence": {
      const options: Expression[] = [];
      for (const [i, part] of e.parts.entries()) {
        options.push(joined([after(part, code), ...e.parts.slice(i + 1)]));
        if (!mayEnd(part)) break;
      }
      return either(options);
    }
    default:
      return NOTHING;
  }
}

const isNothing = (e: Expression) => e.kind === "choice" && e.options.length === 0;

/** A sequence, written the same whenever it is the same; there would be no end of states else. */
function joined(parts: readonly Expression[]): Expression {
  const flat = parts.flatMap((part) =>
    part.kind === "sequence" ? part.parts : part.kind === "text" ? [] : [part],
  );
  if (flat.some(isNothing)) return NOTHING;
  return flat.length === 0
    ? EMPTY
    : flat.length === 1
      ? (flat[0] as Expression)
      : sequence(...flat);
}

/** A choice, the same. */
function either(options: readonly Expression[]): Expression {
  const flat = options.flatMap((option) => (option.kind === "choice" ? option.options : [option]));
  const different = new Map(flat.map((option) => [JSON.stringify(option), option]));
  const sorted = [...different].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, option]) => option);
  return sorted.length === 1 ? (sorted[0] as Expression) : choice(...sorted);
}
