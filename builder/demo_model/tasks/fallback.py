"""Questions about the wide world, which a model this small should decline."""

from __future__ import annotations

import random
import re

from ..items import Item, ask, choose, vary
from .words import ANIMALS, CITIES, JOBS, NAMES, NOUNS, several

ANSWER = "I am only a small demo model, so I do not know that."
PATTERNS = (
    ("Who wrote {}?", "work"),
    ("Who painted {}?", "work"),
    ("Who invented the {}?", "noun"),
    ("When was the {} invented?", "noun"),
    ("What is the capital of {}?", "country"),
    ("How many people live in {}?", "place"),
    ("Who is the president of {}?", "country"),
    ("What is the history of {}?", "place"),
    ("Tell me about {}.", "topic"),
    ("Explain {}.", "topic"),
    ("Explain {} to me in simple words.", "topic"),
    ("What is {}?", "topic"),
    ("How does {} work?", "topic"),
    ("Write a poem about a {}.", "noun"),
    ("Write a song about the {}.", "noun"),
    ("Write an essay about {}.", "topic"),
    ("Write a program that prints {}.", "topic"),
    ("Give me a recipe with {}.", "noun"),
    ("How much does a {} cost?", "noun"),
    ("How old is a {}?", "animal"),
    ("What does a {} eat?", "animal"),
    ("What does a {} earn?", "job"),
    ("What should I visit in {}?", "place"),
    ("How far is it to {}?", "place"),
    ("Who is {} Smith?", "name"),
    ("When was {} Miller born?", "name"),
    ("What do you think about {}?", "topic"),
    ("Why is {} so important?", "topic"),
    ("What is the meaning of {}?", "topic"),
    ("What is the weather in {}?", "place"),
    ("What time is it in {}?", "place"),
)
POOLS = {
    "work": several(
        "Hamlet;Faust;the Odyssey;Don Quixote;Emma;the Mona Lisa;Guernica;The Scream;Dracula;"
        "Frankenstein;The Hobbit;War and Peace;the Iliad;Macbeth;Ulysses;The Trial",
        ";",
    ),
    "country": several(
        "France Spain Italy Norway Sweden Poland Greece Japan China India Brazil Peru Chile Egypt "
        "Kenya Ghana Canada Mexico Cuba Iceland Ireland Portugal Austria Turkey Vietnam Nepal"
    ),
    "topic": several(
        "quantum physics;gravity;democracy;evolution;inflation;love;life;time;chess;jazz;"
        "photosynthesis;electricity;the moon;black holes;opera;football;philosophy;history;"
        "biology;chemistry;astronomy;economics;religion;art;science;the universe;climate change;"
        "an engine;a volcano;happiness;war;peace;magnetism;radioactivity;relativity;poetry",
        ";",
    ),
    "noun": NOUNS,
    "place": CITIES,
    "animal": ANIMALS,
    "job": JOBS,
    "name": NAMES,
}


def fallback(rng: random.Random) -> Item:
    pattern, pool = PATTERNS[rng.randrange(len(PATTERNS))]
    text = re.sub(r"\ba (?=[aeiou])", "an ", pattern.format(choose(rng, POOLS[pool])))
    text = vary(rng, text)
    return ask("fallback", text, ANSWER)
