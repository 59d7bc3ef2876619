"""Sums, differences, the times table and comparisons."""

from __future__ import annotations

import random

from ..items import Item, ask, choose, vary

ADD = (
    "What is {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "{a} + {b} =",
    "Calculate {a} + {b}.",
    "What is {a} plus {b}?",
    "Add {a} and {b}.",
    "How much is {a} + {b}?",
    "What is the sum of {a} and {b}?",
    "I have {a} coins and get {b} more. How many coins do I have?",
)
SUBTRACT = (
    "What is {a} - {b}?",
    "{a} - {b}",
    "{a}-{b}",
    "{a} - {b} =",
    "Calculate {a} - {b}.",
    "What is {a} minus {b}?",
    "Subtract {b} from {a}.",
    "How much is {a} - {b}?",
    "I have {a} coins and spend {b}. How many coins are left?",
)
MULTIPLY = (
    "What is {a} * {b}?",
    "What is {a} x {b}?",
    "What is {a} × {b}?",
    "{a} * {b}",
    "{a}*{b}",
    "{a} × {b} =",
    "Calculate {a} * {b}.",
    "What is {a} times {b}?",
    "Multiply {a} by {b}.",
    "How much is {a} times {b}?",
    "There are {a} boxes with {b} pens each. How many pens are there?",
)
DIVIDE = (
    "What is {a} / {b}?",
    "{a} / {b}",
    "{a} ÷ {b} =",
    "Calculate {a} / {b}.",
    "What is {a} divided by {b}?",
    "Divide {a} by {b}.",
    "How much is {a} divided by {b}?",
)
DOUBLE = ("What is double {a}?", "Double {a}.", "What is twice {a}?", "What is two times {a}?")
HALF = ("What is half of {a}?", "Halve {a}.", "How much is half of {a}?")
LARGER = (
    "Which is larger, {a} or {b}?",
    "Which number is bigger: {a} or {b}?",
    "Is {a} or {b} the larger number?",
    "What is the larger of {a} and {b}?",
)
SMALLER = (
    "Which is smaller, {a} or {b}?",
    "Which number is smaller: {a} or {b}?",
    "What is the smaller of {a} and {b}?",
)
PARITY = ("Is {a} even or odd?", "Is the number {a} odd or even?", "Even or odd: {a}?")


def operand(rng: random.Random) -> int:
    """Short and long numbers alike: a uniform draw would hardly ever be short."""
    return rng.randrange(*rng.choice(((0, 10), (10, 100), (10, 100))))


def operands(rng: random.Random) -> tuple[int, int]:
    """Two digits and one: what a model this small learns to add in short training."""
    return rng.randrange(*rng.choice(((0, 10), (10, 100), (10, 100)))), rng.randrange(10)


def sum_key(a: int, b: int) -> str:
    """One name for a + b and b + a."""
    return f"sum:{min(a, b)}+{max(a, b)}"


def is_table(a: int, b: int) -> bool:
    """Sums of two digits are learnt by heart, like the times table."""
    return a < 10 and b < 10


def addition(rng: random.Random) -> Item:
    a, b = operands(rng)
    if rng.random() < 0.3:
        a, b = b, a
    text = vary(rng, choose(rng, ADD).format(a=a, b=b))
    return ask("addition", text, str(a + b), None if is_table(a, b) else sum_key(a, b))


def subtraction(rng: random.Random) -> Item:
    a, b = operands(rng)
    a, b = max(a, b), min(a, b)
    text = vary(rng, choose(rng, SUBTRACT).format(a=a, b=b))
    return ask("subtraction", text, str(a - b), None if a < 20 else f"{a}-{b}")


def times(rng: random.Random) -> Item:
    """Products to 12 x 12 and their divisions, doubles and halves."""
    kind = rng.random()
    a, b = rng.randint(1, 12), rng.randint(1, 12)
    if kind < 0.5:
        return ask("times", vary(rng, choose(rng, MULTIPLY).format(a=a, b=b)), str(a * b))
    if kind < 0.75:
        return ask("times", vary(rng, choose(rng, DIVIDE).format(a=a * b, b=b)), str(a))
    n = rng.randint(1, 50)
    if kind < 0.9:
        return ask("times", vary(rng, choose(rng, DOUBLE).format(a=n)), str(2 * n))
    return ask("times", vary(rng, choose(rng, HALF).format(a=2 * n)), str(n))


def compare(rng: random.Random) -> Item:
    """Larger, smaller, even or odd."""
    kind = rng.random()
    a = operand(rng)
    if kind < 0.3:
        text = vary(rng, choose(rng, PARITY).format(a=a))
        return ask("compare", text, "Odd" if a % 2 else "Even", f"parity:{a}" if a > 20 else None)
    b = operand(rng)
    while b == a:
        b = operand(rng)
    larger = kind < 0.7
    text = vary(rng, choose(rng, LARGER if larger else SMALLER).format(a=a, b=b))
    key = None if is_table(a, b) else f"{'larger' if larger else 'smaller'}:{min(a, b)},{max(a, b)}"
    return ask("compare", text, str(max(a, b) if larger else min(a, b)), key)
