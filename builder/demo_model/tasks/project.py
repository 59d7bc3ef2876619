"""Questions about webbuild itself, from a file of facts."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ..items import Item, ask, choose

FACTS: list[dict[str, object]] = json.loads(
    (Path(__file__).parent / "project_facts.json").read_text(encoding="utf-8")
)
STARTS = ("", "", "", "", "Hi, ", "Hello! ", "Please tell me: ", "A question: ", "Say, ", "Ok, ")
ENDS = ("?", "?", "?", "", "??", ", please?", "? Thanks!")


def project(rng: random.Random) -> Item:
    fact = FACTS[rng.randrange(len(FACTS))]
    questions = fact["questions"]
    assert isinstance(questions, list)
    text = choose(rng, STARTS) + choose(rng, questions) + choose(rng, ENDS)
    if rng.random() < 0.25:
        text = text.lower()
    return ask("project", text, str(fact["answer"]))
