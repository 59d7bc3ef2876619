"""Which piece of a context each workgroup of a split decode attention takes.

The same rule as runtime_js/src/engine/works.ts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]

PIECE_TOKENS = 128
"""A piece holds at least so many, if its context does: each costs a rotation and a merge."""
SOFTWARE_PIECE_TOKENS = 256
"""The same for software adapters, which have few cores to keep busy."""
ROW_PIECES, LEAST_PIECES = 16, 32
"""Pieces aimed at: so many per row, and in all."""


def plan_works(
    lengths: Sequence[int], page_size: int, limit: int, piece_tokens: int = PIECE_TOKENS
) -> tuple[I32, I32]:
    """Cuts contexts of `lengths` ≥ 1 positions into at most max(limit, rows) pieces of whole pages.

    Returns `work` i32[works, 4] = (row, first position, end position, 0), in order, and `work_rows`
    i32[rows + 1], the first work of each row. Every piece has at most as many pages as the smallest
    number allows that keeps them few enough; the pieces of a context differ by at most one page.
    """
    pages = [-(-length // page_size) for length in lengths]
    target = max(len(pages), min(limit, max(LEAST_PIECES, ROW_PIECES * len(pages))))
    most = max(-(-piece_tokens // page_size), -(-sum(pages) // target))
    while sum(-(-count // most) for count in pages) > target:
        most += 1
    work: list[tuple[int, int, int, int]] = []
    work_rows = [0]
    for row, (length, count) in enumerate(zip(lengths, pages, strict=True)):
        pieces = -(-count // most)
        edges = [piece * count // pieces * page_size for piece in range(pieces)] + [length]
        work += [(row, edges[piece], edges[piece + 1], 0) for piece in range(pieces)]
        work_rows.append(len(work))
    return np.array(work, np.int32), np.array(work_rows, np.int32)
