import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidPack } from "../errors.js";
import type { Expr } from "../generated/program.js";
import { compileExpression } from "./expression.js";

const symbols = new Map([
  ["tokens", 0],
  ["seqs", 1],
]);

/** The obviously right twin: floor division and modulo in big integers. */
function evaluate(expr: Expr, env: Record<string, number>): bigint {
  if (typeof expr === "number") return BigInt(expr);
  if (typeof expr === "string") return BigInt(env[expr] as number);
  const [op, l, r] = expr;
  const a = evaluate(l, env);
  const b = evaluate(r, env);
  const floorDiv = () => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
  switch (op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "//":
      return floorDiv();
    case "%":
      return a - floorDiv() * b;
    case "min":
      return a < b ? a : b;
    case "max":
      return a > b ? a : b;
  }
}

const { expr } = fc.letrec<{ expr: Expr }>((tie) => ({
  expr: fc.oneof(
    { depthSize: "small" },
    fc.integer({ min: 0, max: 50 }),
    fc.constantFrom("tokens", "seqs"),
    fc.tuple(
      fc.constantFrom("+", "-", "*", "min", "max"),
      tie("expr"),
      tie("expr"),
    ) as fc.Arbitrary<Expr>,
    fc.tuple(
      fc.constantFrom("//", "%"),
      tie("expr"),
      fc.integer({ min: 1, max: 9 }),
    ) as fc.Arbitrary<Expr>,
  ),
}));

describe("expressions", () => {
  test("agree with big integers", () => {
    fc.assert(
      fc.property(expr, fc.nat(600), fc.nat(8), (e, tokens, seqs) => {
        const want = evaluate(e, { tokens, seqs });
        fc.pre(want < 2n ** 50n && want > -(2n ** 50n));
        expect(compileExpression(e, symbols)([tokens, seqs]) + 0).toBe(Number(want));
      }),
    );
  });

  test("name an unknown symbol, an unknown operator and endless nesting", () => {
    expect(() => compileExpression("batch", symbols)).toThrow(/unknown symbol: batch/);
    expect(() => compileExpression(["**" as "+", 1, 2], symbols)).toThrow(InvalidPack);
    expect(() => compileExpression(["toString" as "+", 1, 2], symbols)).toThrow(InvalidPack);
    let deep: Expr = 1;
    for (let i = 0; i < 10_000; i++) deep = ["+", deep, 1];
    expect(() => compileExpression(deep, symbols)).toThrow(/nests too deeply/);
  });
});
