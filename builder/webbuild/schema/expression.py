"""Evaluates the expressions of a program over its symbols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from webbuild.errors import InvalidProgramError

from .program import Expr

LARGEST = 2**53 - 1  # what JavaScript still counts exactly


def evaluate(expr: Expr, symbols: Mapping[str, int]) -> int:
    """The value of `expr` with the given symbol values; `//` and `%` floor.

    Raises InvalidProgramError for an unknown symbol, a division by zero, or a value (also one in
    between) that is no exact number in JavaScript.
    """
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        if expr not in symbols:
            raise InvalidProgramError(f"unknown symbol {expr!r}; there are {sorted(symbols)}")
        return symbols[expr]
    operator, left, right = expr
    a, b = evaluate(left, symbols), evaluate(right, symbols)
    match operator:
        case "+":
            value = a + b
        case "-":
            value = a - b
        case "*":
            value = a * b
        case "min":
            value = min(a, b)
        case "max":
            value = max(a, b)
        case "//" | "%":
            if b == 0:
                raise InvalidProgramError(f"{expr!r} divides by zero")
            value = a // b if operator == "//" else a % b
    if abs(value) > LARGEST:
        raise InvalidProgramError(f"{expr!r} is {value}, beyond 2^53")
    return value


def symbols_of(expr: Expr) -> Iterator[str]:
    """The symbols that `expr` names, with repetitions."""
    if isinstance(expr, str):
        yield expr
    elif not isinstance(expr, int):
        yield from symbols_of(expr[1])
        yield from symbols_of(expr[2])
