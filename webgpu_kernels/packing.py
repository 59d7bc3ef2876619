"""How quantised weights lie in words: groups of 32 along K share a scale, and
W = (q - offset) · scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = 32


@dataclass(frozen=True)
class Packing:
    """Unsigned integers of `bits` bits, the first in the lowest bits of a word."""

    bits: int
    offset: int

    @property
    def word_vectors(self) -> int:
        """Vectors of four weights in a word."""
        return 8 // self.bits

    @property
    def words(self) -> int:
        """Words of a group."""
        return GROUP * self.bits // 32


PACKINGS: Final = {"q4": Packing(4, 7), "q8": Packing(8, 127)}
"""By the kernels' name of a quantisation; the others are dense."""
