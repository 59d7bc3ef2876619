"""The contents of a kernel's buffers: made from a seed, on whatever device measures.

runtime_js/src/bench/fill.ts makes the same words.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

Fill = Literal["bits", "f32", "f16", "nan", "data"]
"""`bits`: any; `f32`: in [-1, 1); `f16`: two a word, ±[2⁻⁷, 2⁻⁶); `nan`: what a kernel has not
written shows; `data`: these words."""

NAN = 0x7FC00000


@dataclass(frozen=True, slots=True)
class Array:
    """A buffer of 32-bit words."""

    words: int
    fill: Fill
    seed: int = 0
    data: bytes = b""

    @classmethod
    def of(cls, values: Iterable[int]) -> Array:
        """Integers, as they are."""
        words = np.array(list(values), "<i4")
        return cls(len(words), "data", data=words.tobytes())

    def contents(self) -> Words:
        """u32 [words]."""
        if self.fill == "data":
            return np.frombuffer(self.data, "<u4")
        if self.fill == "nan":
            return np.full(self.words, NAN, "<u4")
        bits = hashed(self.words, self.seed)
        if self.fill == "f32":
            values: Words = ((bits >> 8).astype("<f4") * np.float32(2**-23) - 1).view("<u4")
            return values
        if self.fill == "f16":
            return (bits & np.uint32(0x83FF83FF)) | np.uint32(0x20002000)
        return bits

    def to_json(self) -> dict[str, Any]:
        """For a page or Node."""
        return {
            "words": self.words,
            "fill": self.fill,
            "seed": self.seed,
            "data": base64.b64encode(self.data).decode(),
        }


def hashed(count: int, seed: int) -> Words:
    """u32 [count]: a hash of each index (lowbias32, https://nullprogram.com/blog/2018/07/31/)."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    x ^= x >> 16
    x *= np.uint32(0x7FEB352D)
    x ^= x >> 15
    x *= np.uint32(0x846CA68B)
    x ^= x >> 16
    return x
