"""Rows of attention's `mask`: which positions of its sequence each token of a step sees.

A row is u32[3 + words]: `begin`, `end`, `position`, then bits, the lowest of the first word first.
The token sees every position before `begin` (with a window: those less than it before `position`),
of begin .. end those whose bit is 1, and from `end` on none. Each token must see a position, its
own say: an empty softmax has no value. Rows are as long as the longest, padded with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

U32 = NDArray[np.uint32]
HEAD = 3
"""Words before the bits."""


def mask_rows(seen: Sequence[NDArray[np.bool_]], begin: int, positions: Sequence[int]) -> U32:
    """The rows of tokens that see all before `begin` and what `seen` says of the positions from
    there on. positions: where they stand, for the window."""
    words = max(-(-len(bits) // 32) for bits in seen)
    rows = np.zeros((len(seen), HEAD + words), np.uint32)
    for row, bits, position in zip(rows, seen, positions, strict=True):
        row[:HEAD] = begin, begin + len(bits), position
        padded = np.zeros(32 * words, np.uint8)
        padded[: len(bits)] = bits
        row[HEAD:] = np.packbits(padded, bitorder="little").view("<u4")
    return rows


def tree_mask(parents: Sequence[int], begin: int) -> U32:
    """The rows of a tree of tokens after a context of `begin` positions: each sees the context, its
    ancestors and itself.

    parents: of each token the index of the one before it, smaller than its own, or -1 for the
    context.
    Token i is kept at position begin + i, and rotated as, and stands at, begin + its depth.
    """
    seen = np.eye(len(parents), dtype=bool)
    depths: list[int] = []
    for i, parent in enumerate(parents):
        if not -1 <= parent < i:
            raise ValueError(f"token {i} has parent {parent}: parents come before their children")
        if parent >= 0:
            seen[i] |= seen[parent]
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
    return mask_rows(list(seen), begin, [begin + depth for depth in depths])


def join(masks: Sequence[U32]) -> U32:
    """The rows of several sequences under one another, as a step wants them."""
    width = max(mask.shape[1] for mask in masks)
    return np.concatenate([np.pad(mask, ((0, 0), (0, width - mask.shape[1]))) for mask in masks])


def positions_seen(row: U32, window: int | None = None) -> NDArray[np.int64]:
    """Positions that a token with this row sees, in order."""
    begin, end, position = (int(word) for word in row[:HEAD])
    first = max(0, position + 1 - window) if window else 0
    bits = np.unpackbits(row[HEAD:].astype("<u4").view(np.uint8), bitorder="little")
    own = begin + np.flatnonzero(bits[: end - begin])
    return np.concatenate([np.arange(first, begin), own]).astype(np.int64)
