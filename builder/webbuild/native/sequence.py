"""Sequences, their pages, and the plan of a ragged step."""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from webbuild.errors import ContextFullError

from .sampling import Sampling
from .works import PIECE_TOKENS, plan_works

TILE = 16  # most rows of a prefill attention tile


@dataclass(slots=True, eq=False)
class Sequence:
    """One conversation: its tokens in the KV pool, and its sampler slot."""

    slot: int
    sampling: Sampling
    length: int = 0
    """Tokens whose keys and values are in the pool."""
    generated: int = 0
    pages: list[int] = field(default_factory=list)


class PagePool:
    """Hands out KV pages. Pages are whole tokens × all layers: one id is valid in every layer."""

    def __init__(self, pages: int, page_size: int) -> None:
        self.page_size = page_size
        self._free = list(range(pages - 1, -1, -1))

    @property
    def free(self) -> int:
        return len(self._free)

    def grow(self, sequence: Sequence, length: int) -> None:
        """Gives `sequence` the pages for `length` tokens, or none and ContextFullError."""
        missing = -(-length // self.page_size) - len(sequence.pages)
        if missing > len(self._free):
            raise ContextFullError(
                f"{missing} more KV pages wanted, {len(self._free)} are free: "
                "release a sequence, or open the model with a longer context"
            )
        sequence.pages += [self._free.pop() for _ in range(missing)]

    def release(self, sequence: Sequence) -> None:
        self._free += reversed(sequence.pages)
        sequence.pages = []
        sequence.length = 0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What the host tells the GPU about one step."""

    inputs: dict[str, npt.NDArray[np.generic]]
    """By name of docs/architecture.md's step-block table."""
    symbols: dict[str, int]
    """`tokens`, `seqs`, `q_tiles` and `works`."""

    @classmethod
    def make(
        cls,
        batch: List[tuple[Sequence, int]],
        max_pages: int,
        page_size: int,
        most_works: int,
        piece_tokens: int = PIECE_TOKENS,
    ) -> StepPlan:
        """Plans a step that appends `count` tokens to each sequence of `batch`, in that order.

        Every sequence must already have its pages. most_works: of a split decode, whose pieces have
        piece_tokens at least.
        """
        counts = np.array([count for _, count in batch], np.int32)
        ends = np.cumsum(counts, dtype=np.int32)
        page_table = np.zeros((len(batch), max_pages), np.int32)
        tiles: list[tuple[int, int, int, int]] = []
        for row, (sequence, count) in enumerate(batch):
            page_table[row, : len(sequence.pages)] = sequence.pages
            first = int(ends[row]) - count
            tiles += [
                (first + i, min(TILE, count - i), row, sequence.length + i)
                for i in range(0, count, TILE)
            ]
        positions = [
            np.arange(sequence.length, sequence.length + count, dtype=np.int32)
            for sequence, count in batch
        ]
        lengths = [sequence.length + count for sequence, count in batch]
        work, work_rows = plan_works(lengths, page_size, most_works, piece_tokens)
        rows = [sequence.sampling.row(sequence.generated) for sequence, _ in batch]
        inputs: dict[str, npt.NDArray[np.generic]] = {
            "positions": np.concatenate(positions),
            "token_seq": np.repeat(np.arange(len(batch), dtype=np.int32), counts),
            "page_table": page_table,
            "logit_rows": ends - 1,
            "tiles": np.array(tiles, np.int32),
            "work": work,
            "work_rows": work_rows,
            "slots": np.array([sequence.slot for sequence, _ in batch], np.int32),
            "sampling": np.stack(rows),
        }
        symbols = {
            "tokens": int(ends[-1]),
            "seqs": len(batch),
            "q_tiles": len(tiles),
            "works": len(work),
        }
        return cls(inputs, symbols)
