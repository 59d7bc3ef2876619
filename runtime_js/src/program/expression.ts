/** Expressions of program.json, compiled to closures: the hot path neither parses nor looks up names. */
import { InvalidPack } from "../errors.js";
import type { Expr } from "../generated/program.js";

/** Values of all symbols, by symbol number. */
export type Environment = ArrayLike<number>;

export type Evaluate = (env: Environment) => number;

/** An expression that could nest deeper than this is refused, so that no pack can exhaust the stack. */
const MAX_DEPTH = 64;

const operators: Record<string, (a: Evaluate, b: Evaluate) => Evaluate> = {
  "+": (a, b) => (env) => a(env) + b(env),
  "-": (a, b) => (env) => a(env) - b(env),
  "*": (a, b) => (env) => a(env) * b(env),
  "//": (a, b) => (env) => Math.floor(a(env) / b(env)),
  "%": (a, b) => (env) => {
    const d = b(env);
    return ((a(env) % d) + d) % d;
  },
  min: (a, b) => (env) => Math.min(a(env), b(env)),
  max: (a, b) => (env) => Math.max(a(env), b(env)),
};

/**
 * Compiles `expr`; constant parts are folded.
 *
 * @param symbols number of each symbol in the environment
 * @throws InvalidPack for an unknown symbol or operator
 */
export function compileExpression(expr: Expr, symbols: ReadonlyMap<string, number>): Evaluate {
  return compile(expr, symbols, 0).evaluate;
}

interface Compiled {
  evaluate: Evaluate;
  constant: boolean;
}

function compile(expr: Expr, symbols: ReadonlyMap<string, number>, depth: number): Compiled {
  if (depth > MAX_DEPTH) throw new InvalidPack("an expression in program.json nests too deeply");
  if (typeof expr === "number") return { evaluate: () => expr, constant: true };
  if (typeof expr === "string") {
    const index = symbols.get(expr);
    if (index === undefined) throw new InvalidPack(`program.json uses an unknown symbol: ${expr}`);
    return { evaluate: (env) => env[index] as number, constant: false };
  }
  const [op, left, right] = expr;
  const make = Object.hasOwn(operators, op) ? operators[op] : undefined;
  if (!make) throw new InvalidPack(`program.json uses an unknown operator: ${String(op)}`);
  const a = compile(left, symbols, depth + 1);
  const b = compile(right, symbols, depth + 1);
  const evaluate = make(a.evaluate, b.evaluate);
  if (!a.constant || !b.constant) return { evaluate, constant: false };
  const value = evaluate([]);
  return { evaluate: () => value, constant: true };
}
