"""The words that the tasks fill their sentences with."""

from __future__ import annotations

import random


def several(text: str, separator: str | None = None) -> tuple[str, ...]:
    """Many words in little space."""
    return tuple(text.split(separator))


NAMES = several(
    """Ada Alan Alice Amir Anna Ben Carla Carlos Chloe Clara Daniel David Diana Elena Eli Ella Emil
    Emma Eva Felix Finn Frank Fred Gina Grace Greta Hana Hans Henry Hugo Ida Igor Ines Iris Ivan
    Jack Jane Jonas Julia Karl Kate Kim Lara Lena Leo Liam Lily Linda Lucas Lucy Luis Maria Mark
    Marta Max Maya Mia Mike Mila Mona Nadia Nina Noah Nora Olga Oscar Otto Paul Pedro Peter
    Petra Rita Robert Rosa Ruth Sam Sara Simon Sofia Sven Theo Tina Tom Vera Victor Wendy Yara
    Yuki Zoe José Zoë Jürgen André"""
)

CITIES = several(
    """Athens Berlin Bern Boston Cairo Chicago Cologne Dallas Delhi Denver Dublin Geneva Hamburg
    Hanoi Helsinki Istanbul Kyoto Lagos Lima Lisbon London Lyon Madrid Manila Miami Milan Moscow
    Munich Nairobi Naples Oslo Ottawa Paris Porto Prague Rome Seattle Seoul Sydney Tokyo Toronto
    Turin Utrecht Venice Vienna Warsaw Zurich Zürich Málaga"""
)

JOBS = several(
    """teacher doctor nurse baker farmer driver pilot painter writer singer lawyer dentist gardener
    plumber engineer chemist cook tailor librarian musician"""
)

ANIMALS = several(
    """cat dog fox owl bear mouse rabbit duck horse frog lion tiger whale wolf goat sheep hedgehog
    penguin turtle parrot"""
)

PLACES = several("""forest garden village harbour desert valley castle library market meadow""")

PRODUCTS = several(
    """apples bananas books bottles boxes cakes candles chairs cups eggs hats lamps lemons oranges
    pencils plates shirts shoes spoons tables tickets towels"""
)

COLOURS = several("red blue green yellow black white orange purple brown pink grey")

NOUNS = several(
    """anchor apple arrow banana basket bell bird boat book bottle bread bridge brush bucket button
    cabin candle carrot castle chair cherry clock cloud coffee cookie corn crown cup desk door
    dragon drum eagle egg engine feather fence field finger fire fish flower forest garden gate
    ghost glass grape guitar hammer hand harbor hat honey house ice island jacket jelly jewel
    key king kitchen kite ladder lake lamp leaf lemon letter lion magnet map market melon mirror
    moon mountain music needle nest night noodle ocean onion orange oven paper pencil piano
    picture pillow pirate planet pocket potato queen quilt rabbit rain ribbon river rocket rope
    salt school shadow ship silver spider spoon star stone sugar summer table teapot ticket
    tiger tower train tree umbrella valley violin wagon wall water whale wheel window winter
    wizard wolf yarn zebra"""
)

_ONSETS = several(
    "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl gr pl pr sh sl st th tr"
)
_VOWELS = several("a e i o u a e i o u ee oo ea ai y")
_CODAS = several("n r l t s m d k p ck st nd ll ng rt x") + ("",) * 10


def made_up_word(rng: random.Random, longest: int) -> str:
    """A pronounceable word, so that spelling is learnt and not looked up."""
    while True:
        word = ""
        for _ in range(rng.choice((1, 2, 2, 3))):
            word += rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        if 3 <= len(word) <= longest:
            return word


def spelling_word(rng: random.Random, longest: int) -> str:
    """Half known nouns, half made up."""
    if rng.random() < 0.5:
        return made_up_word(rng, longest)
    while True:
        word = NOUNS[rng.randrange(len(NOUNS))]
        if len(word) <= longest:
            return word


def listed(words: list[str]) -> str:
    return ", ".join(words)
