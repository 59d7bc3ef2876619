"""Conversions between units, with numbers that come out whole."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..items import Item, ask, choose, vary


@dataclass(frozen=True)
class Pair:
    """A large unit, the small one, and how many small ones make a large one."""

    large: tuple[str, ...]
    small: tuple[str, ...]
    factor: int
    most: int

    @property
    def by_rule(self) -> bool:
        """Powers of ten are worked out; other factors are a table learnt by heart."""
        return self.factor in (10, 100, 1000)


PAIRS = (
    Pair(("km", "kilometres"), ("m", "metres"), 1000, 99),
    Pair(("m", "metres"), ("cm", "centimetres"), 100, 99),
    Pair(("cm", "centimetres"), ("mm", "millimetres"), 10, 99),
    Pair(("kg", "kilograms"), ("g", "grams"), 1000, 99),
    Pair(("l", "litres"), ("ml", "millilitres"), 1000, 99),
    Pair(("t", "tonnes"), ("kg", "kilograms"), 1000, 99),
    Pair(("euros",), ("cents",), 100, 99),
    Pair(("hours",), ("minutes",), 60, 12),
    Pair(("minutes",), ("seconds",), 60, 12),
    Pair(("days",), ("hours",), 24, 7),
    Pair(("weeks",), ("days",), 7, 12),
    Pair(("years",), ("months",), 12, 12),
    Pair(("dozen",), ("pieces",), 12, 12),
)
CONVERT = (
    "Convert {n} {u} to {v}.",
    "How many {v} are {n} {u}?",
    "What is {n} {u} in {v}?",
    "{n} {u} in {v}",
    "{n} {u} = ? {v}",
    "How much is {n} {u} in {v}?",
)
CELSIUS = (
    "What is {n} °C in °F?",
    "Convert {n} degrees Celsius to Fahrenheit.",
    "How many degrees Fahrenheit are {n} degrees Celsius?",
    "{n} °C in °F",
)


def units(rng: random.Random) -> Item:
    if rng.random() < 0.08:
        n = rng.randrange(0, 105, 5)
        text = vary(rng, choose(rng, CELSIUS).format(n=n))
        return ask("units", text, f"{n * 9 // 5 + 32} °F")
    pair = PAIRS[rng.randrange(len(PAIRS))]
    form = rng.randrange(len(pair.large))
    u, v = pair.large[form], pair.small[form]
    n = rng.randint(2, pair.most)
    downwards = rng.random() < 0.6
    given, wanted = (n, n * pair.factor) if downwards else (n * pair.factor, n)
    ends = (pair.large[0], pair.small[0])
    if not downwards:
        u, v, ends = v, u, ends[::-1]
    text = vary(rng, choose(rng, CONVERT).format(n=given, u=u, v=v))
    key = f"{given} {ends[0]} {ends[1]}" if pair.by_rule else None
    return ask("units", text, f"{wanted} {v}", key)
