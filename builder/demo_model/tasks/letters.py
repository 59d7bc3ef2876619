"""Spelling, counting and reversing the letters of a word.

The words stand in quotes. The tokenizer has no whole quoted words, so that these
words arrive in short pieces and an unseen word can be spelt.
"""

from __future__ import annotations

import random

from ..items import Item, ask, choose, vary
from .words import spelling_word

SPELL = (
    'Spell "{w}".',
    'How do you spell "{w}"?',
    'Spell the word "{w}".',
    'Write "{w}" letter by letter.',
)
COUNT = (
    'How many letters are in "{w}"?',
    'How many letters does "{w}" have?',
    'Count the letters in "{w}".',
    'How long is the word "{w}"?',
)
COUNT_ONE = (
    'How many times does {c} occur in "{w}"?',
    'How often does the letter {c} appear in "{w}"?',
    'Count the letter {c} in "{w}".',
    'How many {c} are in "{w}"?',
)
REVERSE = (
    'Reverse "{w}".',
    'Spell "{w}" backwards.',
    'Write the word "{w}" backwards.',
    'What is "{w}" in reverse?',
)
FIRST = (
    'What is the first letter of "{w}"?',
    'Which letter does "{w}" start with?',
    'First letter of "{w}"?',
)
LAST = (
    'What is the last letter of "{w}"?',
    'Which letter does "{w}" end with?',
    'Last letter of "{w}"?',
)


def hyphenated(word: str) -> str:
    """Letter by letter: also the worked step that makes the counts reliable."""
    return "-".join(word)


def spelling(rng: random.Random) -> Item:
    word = spelling_word(rng, 6)
    kind = rng.randrange(4)
    if kind == 0:
        text, answer = choose(rng, FIRST), word[0]
    elif kind == 1:
        text, answer = choose(rng, LAST), word[-1]
    else:
        text, answer = choose(rng, SPELL), hyphenated(word)
    return ask("spelling", vary(rng, text.format(w=word)), answer, f"{min(kind, 2)}:{word}")


def counting(rng: random.Random) -> Item:
    word = spelling_word(rng, 6)
    if rng.random() < 0.5:
        text = choose(rng, COUNT).format(w=word)
        return ask("counting", vary(rng, text), f"{hyphenated(word)}: {len(word)}", word)
    letter = choose(rng, word) if rng.random() < 0.8 else choose(rng, "aeioustrn")
    text = choose(rng, COUNT_ONE).format(w=word, c=letter)
    answer = f"{hyphenated(word)}: {word.count(letter)}"
    return ask("counting", vary(rng, text), answer, f"{letter}:{word}")


def reversing(rng: random.Random) -> Item:
    word = spelling_word(rng, 4)
    text = vary(rng, choose(rng, REVERSE).format(w=word))
    return ask("reversing", text, hyphenated(word[::-1]), word)
