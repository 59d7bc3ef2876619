"""One training or test conversation, and the rule that keeps the two apart."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Message = dict[str, str]
Tool = dict[str, Any]

HELD_OUT_PERCENT = 8


@dataclass(frozen=True)
class Item:
    """A conversation up to the answer that is wanted, and that answer.

    ``key`` names the problem itself. ``also`` names other problems that the
    conversation reveals the answers of, such as those of its earlier turns.
    """

    task: str
    messages: tuple[Message, ...]
    expected: str
    key: str
    also: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    accept: tuple[str, ...] = ()
    own_system: bool = False

    def accepts(self, answer: str) -> bool:
        """Whether an answer counts as right: equality, after trimming."""
        answer = answer.strip()
        return answer == self.expected or answer in self.accept

    def with_system(self, system: str | None) -> Item:
        """The same item below a system prompt, unless it brings its own."""
        if system is None or self.own_system:
            return self
        return replace(self, messages=({"role": "system", "content": system}, *self.messages))


Generator = Callable[[random.Random], Item]


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def held_out(key: str) -> bool:
    """Whether a problem belongs to the test side; a property of its name alone."""
    digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < HELD_OUT_PERCENT


def trainable(item: Item) -> bool:
    """Whether an item may be trained on: nothing in it is a held-out problem."""
    return not any(held_out(key) for key in (item.key, *item.also))


def ask(task: str, text: str, answer: str, key: str | None = None) -> Item:
    """A single question. Without a key the wording itself is the problem.

    That is the rule for closed tables (the times table, the months, the facts):
    a model cannot work out a table entry it never saw, so there the wording of a
    known entry is what is held out.
    """
    return Item(task, (user(text),), answer, f"{task}:{key if key is not None else text}")


def choose(rng: random.Random, options: Sequence[str]) -> str:
    return options[rng.randrange(len(options))]


_OPENERS = ("Please: ", "Hi! ", "Hello. ", "Quick question: ", "Tell me: ", "Okay, ", "So, ")
_CLOSERS = (" please", " Thanks!", " Thank you.")


def vary(rng: random.Random, text: str) -> str:
    """Small differences of the kind people type: case, punctuation, politeness."""
    roll = rng.random()
    if roll < 0.6:
        return text
    if roll < 0.7:
        return text[0].lower() + text[1:]
    if roll < 0.8:
        return text.rstrip("?.!")
    if roll < 0.86:
        return (text[0].lower() + text[1:]).rstrip("?.!")
    if roll < 0.95:
        return choose(rng, _OPENERS) + text
    return text + choose(rng, _CLOSERS)
