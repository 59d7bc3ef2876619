"""Putting numbers and words in order."""

from __future__ import annotations

import random

from ..items import Item, ask, choose, vary
from .words import NOUNS, listed

UP = (
    "Sort these numbers: {x}",
    "Sort from smallest to largest: {x}",
    "Put these numbers in order: {x}",
    "Sort in ascending order: {x}",
)
DOWN = (
    "Sort from largest to smallest: {x}",
    "Sort in descending order: {x}",
    "Put these numbers in order, largest first: {x}",
)
WORDS = (
    "Sort these words: {x}",
    "Sort alphabetically: {x}",
    "Put these words in alphabetical order: {x}",
    "Order these words from A to Z: {x}",
)
LARGEST = ("What is the largest of {x}?", "Which is the largest number: {x}?")
SMALLEST = ("What is the smallest of {x}?", "Which is the smallest number: {x}?")


def sort_numbers(rng: random.Random) -> Item:
    top = rng.choice((10, 100, 100))
    values = rng.sample(range(1, top), 3)
    ordered = sorted(values)
    shown = listed([str(v) for v in values])
    kind = rng.random()
    # One name for all orders in which the same numbers can be given.
    key = listed([str(v) for v in ordered])
    if kind < 0.2:
        pattern, answer = (LARGEST, ordered[-1]) if kind < 0.1 else (SMALLEST, ordered[0])
        return ask(
            "sort_numbers", vary(rng, choose(rng, pattern).format(x=shown)), str(answer), key
        )
    down = kind > 0.65
    text = vary(rng, choose(rng, DOWN if down else UP).format(x=shown))
    return ask("sort_numbers", text, listed([str(v) for v in ordered[:: -1 if down else 1]]), key)


def sort_words(rng: random.Random) -> Item:
    words = rng.sample(NOUNS, rng.choice((2, 3, 3)))
    ordered = sorted(words)
    text = vary(rng, choose(rng, WORDS).format(x=listed(words)))
    return ask("sort_words", text, listed(ordered), listed(ordered))
