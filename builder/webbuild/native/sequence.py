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
    drawn: bool = False
    """Whether the token that its slot drew last is the next one to append."""
    mask_row: int = 0
    """The row of `masks` that says what may be drawn; 0: anything may."""


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
class Row:
    """What a step appends to one sequence, and which of it is sampled."""

    sequence: Sequence
    tokens: List[int]
    """Ids, or -1 - slot for the token that a slot drew last."""
    outs: List[int]
    """Places in `tokens` after which a token is drawn, in order."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What the host tells the GPU about one step."""

    inputs: dict[str, npt.NDArray[np.generic]]
    """By name of docs/architecture.md's step-block table."""
    symbols: dict[str, int]
    """`tokens`, `seqs`, `outs`, `q_tiles`, `works`, `shared_works` and `parts`."""
    sharing_pays: bool
    """Whether rows share so much that decoding in pieces pays, however short their contexts are."""

    @classmethod
    def make(
        cls,
        batch: List[Row],
        max_pages: int,
        page_size: int,
        most_parts: int,
        piece_tokens: int = PIECE_TOKENS,
        cores: int = 0,
    ) -> StepPlan:
        """Plans a step of these rows, in that order.

        Every sequence must already have its pages. most_parts: of a split decode, whose works have
        piece_tokens at least. cores: of a software adapter, else 0.
        """
        counts = np.array([len(row.tokens) for row in batch], np.int32)
        firsts = np.cumsum(counts, dtype=np.int32) - counts
        page_table = np.zeros((len(batch), max_pages), np.int32)
        tiles: list[tuple[int, int, int, int]] = []
        positions: list[int] = []
        lengths: list[int] = []
        logit_rows: list[int] = []
        slots: list[int] = []
        for i, (row, first) in enumerate(zip(batch, firsts, strict=True)):
            sequence, count = row.sequence, len(row.tokens)
            page_table[i, : len(sequence.pages)] = sequence.pages
            tiles += [
                (int(first) + at, min(TILE, count - at), i, sequence.length + at)
                for at in range(0, count, TILE)
            ]
            positions += range(sequence.length, sequence.length + count)
            lengths.append(sequence.length + count)
            logit_rows += [int(first) + out for out in row.outs]
            slots += [sequence.slot] * len(row.outs)
        pages = [row.sequence.pages for row in batch]
        works = plan_works(lengths, pages, page_size, most_parts, piece_tokens, cores)
        inputs: dict[str, npt.NDArray[np.generic]] = {
            "token_ids": np.concatenate([np.array(row.tokens, np.int32) for row in batch]),
            "positions": np.array(positions, np.int32),
            "token_seq": np.repeat(np.arange(len(batch), dtype=np.int32), counts),
            "page_table": page_table,
            "logit_rows": np.array(logit_rows, np.int32),
            "tiles": np.array(tiles, np.int32),
            "work": works.work,
            "work_rows": works.work_rows,
            "slots": np.array(slots, np.int32),
            "sampling": sampling_rows(batch),
        }
        symbols = {
            "tokens": len(positions),
            "seqs": len(batch),
            "outs": len(slots),
            "q_tiles": len(tiles),
            "works": works.works,
            "shared_works": works.shared,
            "parts": works.parts,
        }
        return cls(inputs, symbols, works.pays)


def sampling_rows(batch: List[Row]) -> npt.NDArray[np.uint32]:
    """u32[outs, 16]: the settings of each draw; those of a sequence count on from what it has
    drawn."""
    rows = [
        row.sequence.sampling.row(row.sequence.generated + draw, row.sequence.mask_row)
        for row in batch
        for draw in range(len(row.outs))
    ]
    return np.array(rows, np.uint32).reshape(-1, 16)
