"""Echoing, opposites and plurals."""

from __future__ import annotations

import random

from ..items import Item, ask, choose, vary
from .words import ANIMALS, CITIES, COLOURS, NAMES, NOUNS, PLACES, several

OPPOSITES = several(
    "hot cold;big small;fast slow;happy sad;old new;light dark;high low;hard soft;open closed;"
    "early late;rich poor;full empty;wet dry;clean dirty;strong weak;long short;left right;"
    "up down;day night;yes no;good bad;near far;loud quiet;thick thin;true false;inside outside",
    ";",
)
PLURALS = several(
    "cat cats;dog dogs;mouse mice;child children;man men;woman women;foot feet;tooth teeth;"
    "goose geese;sheep sheep;box boxes;city cities;knife knives;wolf wolves;leaf leaves;"
    "baby babies;bus buses;fish fish;book books;tree trees;potato potatoes;person people",
    ";",
)
PAIRS = tuple(tuple(pair.split()) for pair in OPPOSITES)
OPPOSITE_OF = (
    "What is the opposite of {}?",
    "Opposite of {}?",
    "Name the opposite of {}.",
    "Give me the opposite of {}.",
)
PLURAL_OF = (
    "What is the plural of {}?",
    "Plural of {}?",
    "Give me the plural of {}.",
    "How do you write {} in the plural?",
)
ECHO = ("Repeat: {}", "Say: {}", "Repeat after me: {}", "Repeat this text: {}", "Echo: {}")
EXTRAS = ("😀", "🎉", "☕", "café", "naïve", "你好", "über", "señor", "🌸", "❤️", "crème", "Ω", "→")


def phrase(rng: random.Random, low: int, high: int) -> str:
    pools = (NAMES, CITIES, ANIMALS, COLOURS, PLACES, NOUNS, NOUNS, EXTRAS)
    return " ".join(choose(rng, rng.choice(pools)) for _ in range(rng.randint(low, high)))


def echo(rng: random.Random) -> Item:
    text = phrase(rng, 2, 3)
    return ask("echo", choose(rng, ECHO).format(text), text, text)


def words(rng: random.Random) -> Item:
    """Opposites and plurals, by heart."""
    if rng.random() < 0.5:
        pair = rng.choice(PAIRS)
        i = rng.randrange(2)
        return ask("words", vary(rng, choose(rng, OPPOSITE_OF).format(pair[i])), pair[1 - i])
    one, many = rng.choice(PLURALS).split()
    return ask("words", vary(rng, choose(rng, PLURAL_OF).format(one)), many)
