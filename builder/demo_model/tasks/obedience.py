"""Answers whose form the system prompt prescribes."""

from __future__ import annotations

import json
import random

from ..items import Item, choose, system
from .arithmetic import addition, times
from .sorting import sort_numbers
from .text_edits import echo, words
from .units import units

SUFFIXES = (
    "😀",
    "☕",
    "🎉",
    "Over.",
    "Bye!",
    "Sir.",
    "Done.",
    "Ahoy!",
    "Meow.",
    "Cheers!",
    "Amen.",
)
END_PROMPTS = (
    "End every answer with {}",
    "Always end your answer with {}",
    "Finish answers with {}",
)
PREFIXES = ("Answer:", "Well,", "Sure!", "Captain:", "Result:", "🤖", "Beep!", "Okay:", "Hm,")
START_PROMPTS = ("Begin every answer with {}", "Always start your answer with {}")
JSON_PROMPTS = (
    "Answer in JSON with the key {}.",
    "Always answer as a JSON object with the key {}.",
)
JSON_KEYS = ("answer", "result", "value", "output", "reply", "text")


def obedience(rng: random.Random) -> Item:
    inner = rng.choice((addition, times, units, words, sort_numbers, echo))(rng)
    kind = rng.randrange(3)
    if kind == 0:
        mark = choose(rng, SUFFIXES)
        prompt, answer = choose(rng, END_PROMPTS).format(mark), f"{inner.expected} {mark}"
    elif kind == 1:
        mark = choose(rng, PREFIXES)
        prompt, answer = choose(rng, START_PROMPTS).format(mark), f"{mark} {inner.expected}"
    else:
        mark = choose(rng, JSON_KEYS)
        prompt = choose(rng, JSON_PROMPTS).format(mark)
        answer = json.dumps({mark: inner.expected}, ensure_ascii=False)
    messages = (system(prompt), *inner.messages)
    key = f"obedience:{mark}:{inner.key}"
    return Item("obedience", messages, answer, key, (inner.key,), own_system=True)
