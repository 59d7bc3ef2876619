"""From TVM's integer expressions to those of program.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tvm import tirx

from webbuild.schema.expression import evaluate
from webbuild.schema.program import Expr, Operator

_BINARY: tuple[tuple[type[Any], Operator], ...] = (
    (tirx.Add, "+"),
    (tirx.Sub, "-"),
    (tirx.Mul, "*"),
    (tirx.FloorDiv, "//"),
    (tirx.FloorMod, "%"),
    (tirx.Div, "//"),  # truncates, which on sizes is the same
    (tirx.Mod, "%"),
    (tirx.Min, "min"),
    (tirx.Max, "max"),
)


def convert(value: Any, bound: Mapping[Any, Any] | None = None) -> Expr:
    """A TVM integer expression as an Expr over symbol names.

    bound: variables that stand for another expression (TIR's lets).
    Raises NotImplementedError for an operation that program.json does not have.
    """
    bound = bound or {}
    if isinstance(value, int):
        return value
    if isinstance(value, tirx.IntImm):
        return int(value.value)
    if isinstance(value, tirx.Var):
        return convert(bound[value], bound) if value in bound else str(value.name)
    if isinstance(value, tirx.Cast):
        return convert(value.value, bound)
    for kind, operator in _BINARY:
        if isinstance(value, kind):
            return binary(operator, convert(value.a, bound), convert(value.b, bound))
    if isinstance(value, tirx.RShift) and isinstance(value.b, tirx.IntImm):
        return binary("//", convert(value.a, bound), 1 << int(value.b.value))
    if isinstance(value, tirx.LShift) and isinstance(value.b, tirx.IntImm):
        return binary("*", convert(value.a, bound), 1 << int(value.b.value))
    raise NotImplementedError(f"no program expression for {type(value).__name__}: {value}")


def binary(operator: Operator, left: Expr, right: Expr) -> Expr:
    """`[operator, left, right]`, with constants folded and 0 and 1 left out."""
    if isinstance(left, int) and isinstance(right, int):
        return evaluate((operator, left, right), {})
    neutral = {"+": 0, "-": 0, "*": 1, "//": 1}.get(operator)
    if right == neutral:
        return left
    if left == neutral and operator in ("+", "*"):
        return right
    return (operator, left, right)


def product(sizes: tuple[Expr, ...], item: int = 1) -> Expr:
    """The product of `sizes` and `item`."""
    result: Expr = item
    for size in sizes:
        result = binary("*", size, result)
    return result


def ceil_div(value: Expr, divisor: int) -> Expr:
    """⌈value / divisor⌉."""
    return binary("//", binary("+", value, divisor - 1), divisor)


def substitute(expr: Expr, symbols: Mapping[str, Expr]) -> Expr:
    """`expr` with symbols replaced by expressions."""
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return symbols.get(expr, expr)
    operator, left, right = expr
    return binary(operator, substitute(left, symbols), substitute(right, symbols))


def as_expr(value: object) -> Expr:
    """An expression of the kernel registry, which has the same form."""
    return cast(Expr, value)
