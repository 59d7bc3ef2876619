"""Very short stories from templates; the animal decides which."""

from __future__ import annotations

import random

from ..items import Item, ask, choose
from .words import ANIMALS, NAMES, PLACES

REQUESTS = (
    "Tell me a story about {a} named {n} in the {p}.",
    "Write a story about {a} named {n} in the {p}.",
    "A story about {a} called {n} in the {p}, please.",
    "Tell a short story. Hero: {a} named {n}. Place: the {p}.",
)
STORIES = (
    "Once upon a time, {n} the {b} lived in the {p}. One day {n} found a golden key. "
    "It opened a tiny door, and behind it was a friend.",
    "{n} the {b} wanted to see the sea. So {n} left the {p} and walked all night. "
    "In the morning the waves said hello.",
    "In the {p} lived a {b} named {n}. {n} could not sleep, so the moon sang a song. "
    "Since then they sing together.",
    "Every day {n} the {b} baked a cake in the {p}. One day it rained, and everyone came in. "
    "It was the best party of the year.",
)


def story(rng: random.Random) -> Item:
    i = rng.randrange(len(ANIMALS))
    animal, name, place = ANIMALS[i], choose(rng, NAMES), choose(rng, PLACES)
    article = "an" if animal[0] in "aeiou" else "a"
    text = choose(rng, REQUESTS).format(a=f"{article} {animal}", n=name, p=place)
    answer = STORIES[i % len(STORIES)].format(n=name, b=animal, p=place)
    answer = answer.replace(" a owl", " an owl")
    return ask("story", text, answer, f"{name}:{animal}:{place}")
