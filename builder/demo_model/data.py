"""Mixing tasks into conversations, and packing these into rows of tokens."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .items import Item, Message, Tool, assistant, choose, held_out, trainable
from .tasks import TASKS
from .template import ASSISTANT_HEAD, END, END_OF_TEXT, START, turns

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "Answer briefly.",
    "You are a helpful assistant. Answer briefly.",
    "You are a small demo model.",
    "Be concise.",
    "You are a friendly assistant in a web page.",
    "Keep your answers short.",
)
IGNORED = -100
NOT_FOR_TOKENIZER = ("spelling", "counting", "reversing")
"""Their quoted words must stay in pieces; see tasks/letters.py."""


def task_weights(boost: dict[str, float]) -> tuple[list[str], list[float]]:
    names = list(TASKS)
    return names, [TASKS[name][1] * boost.get(name, 1.0) for name in names]


class Mixer:
    """Draws training conversations; never one with a held-out problem in it."""

    def __init__(self, seed: int, boost: dict[str, float] | None = None) -> None:
        self.rng = random.Random(seed)
        self.names, self.weights = task_weights(boost or {})

    def item(self) -> Item:
        """One trainable item of a task drawn by weight."""
        name = self.rng.choices(self.names, self.weights)[0]
        generator = TASKS[name][0]
        while True:
            item = generator(self.rng)
            if trainable(item):
                return item

    def conversation(self, longest: int = 1) -> tuple[list[Message], tuple[Tool, ...]]:
        """Up to ``longest`` items in one conversation, answers included."""
        first = self.item()
        prompt = choose(self.rng, SYSTEM_PROMPTS) if self.rng.random() < 0.25 else None
        messages = [*first.with_system(prompt).messages, assistant(first.expected)]
        if first.own_system or first.tools:
            return messages, first.tools
        for _ in range(self.rng.randint(1, longest) - 1):
            item = self.item()
            if not item.own_system and not item.tools:
                messages += [*item.messages, assistant(item.expected)]
        return messages, ()

    def texts(self, count: int) -> Iterator[str]:
        """Text for the tokenizer to learn its pieces from."""
        for _ in range(count):
            item = self.item()
            if item.task not in NOT_FOR_TOKENIZER:
                for _, content in turns(item.messages, item.tools):
                    yield content
                yield item.expected


def held_out_items(per_task: int, seed: int, only: Container[str] = TASKS) -> list[Item]:
    """Test items of these tasks, some below a system prompt, with no question twice."""
    items: list[Item] = []
    for number, (name, (generator, _)) in enumerate(TASKS.items()):
        if name not in only:
            continue
        rng = random.Random(seed * 1000 + number)
        seen: set[str] = set()
        for _ in range(200_000):
            item = generator(rng)
            asked = repr(item.messages)
            if held_out(item.key) and asked not in seen:
                seen.add(asked)
                prompt = choose(rng, SYSTEM_PROMPTS) if rng.random() < 0.3 else None
                items.append(replace(item, task=name).with_system(prompt))
                if len(seen) == per_task:
                    break
    return items


@dataclass
class Batch:
    """Rows of packed conversations; a document number for each token."""

    ids: Tensor
    positions: Tensor
    documents: Tensor
    labels: Tensor


class Packer:
    """Encodes conversations and fills rows of a fixed length with them."""

    def __init__(self, tokenizer: Tokenizer, mixer: Mixer) -> None:
        self.tokenizer = tokenizer
        self.mixer = mixer
        self.pad: int = tokenizer.token_to_id(END_OF_TEXT) or 0
        self.head = self._encode(ASSISTANT_HEAD)
        self.newline = self._encode("\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def document(self, longest: int) -> tuple[list[int], list[int]]:
        """Tokens, and for each the token to predict from it or IGNORED."""
        messages, tools = self.mixer.conversation(longest)
        ids: list[int] = []
        answer: list[bool] = []
        for role, content in turns(messages, tools):
            if role == "assistant":
                body = self._encode(content + END)
                ids += self.head + body + self.newline
                answer += [False] * len(self.head) + [True] * len(body)
                answer += [False] * len(self.newline)
            else:
                body = self._encode(f"{START}{role}\n{content}{END}\n")
                ids += body
                answer += [False] * len(body)
        labels = [
            token if wanted else IGNORED for token, wanted in zip(ids[1:], answer[1:], strict=True)
        ]
        return ids[:-1], labels

    def batch(self, rows: int, length: int, longest: int) -> Batch:
        """First-fit packing of what fits a row at all; what is left of a row is padding."""
        lines: list[list[tuple[list[int], list[int]]]] = [[] for _ in range(rows)]
        room = [length] * rows
        misses = 0
        while misses < 3:
            ids, labels = self.document(longest)
            if len(ids) > length:
                continue
            for row in range(rows):
                if len(ids) <= room[row]:
                    lines[row].append((ids, labels))
                    room[row] -= len(ids)
                    break
            else:
                misses += 1
        out = Batch(
            torch.full((rows, length), self.pad),
            torch.zeros(rows, length, dtype=torch.long),
            torch.full((rows, length), -1),
            torch.full((rows, length), IGNORED),
        )
        for row, line in enumerate(lines):
            start = 0
            for number, (ids, labels) in enumerate(line):
                end = start + len(ids)
                out.ids[row, start:end] = torch.tensor(ids)
                out.positions[row, start:end] = torch.arange(len(ids))
                out.documents[row, start:end] = number
                out.labels[row, start:end] = torch.tensor(labels)
                start = end
        return out
