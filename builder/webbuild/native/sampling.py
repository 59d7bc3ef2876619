"""Sampler settings of one sequence, as the `sampling` row of the step block."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from webbuild.errors import InvalidRequestError

_USE_BIAS = 1
_USE_PENALTIES = 2
_USE_MASK = 4


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; 0 for top_k turns it off."""

    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    top_k: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0, 100),
            ("top_p", 0, 1),
            ("min_p", 0, 1),
            ("top_k", 0, 2**31),
            ("seed", 0, 2**64 - 1),
            ("frequency_penalty", -2, 2),
            ("presence_penalty", -2, 2),
            ("repetition_penalty", 0.01, 100),
            ("top_logprobs", 0, 20),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidRequestError(f"{name} is {value}; it goes from {low} to {high}")

    @property
    def uses_penalties(self) -> bool:
        additive = self.frequency_penalty != 0 or self.presence_penalty != 0
        return additive or self.repetition_penalty != 1

    @property
    def plain(self) -> bool:
        """Whether `sample_plain` may draw for it: greedy, or nothing limits what may be drawn."""
        unlimited = self.top_k == 0 and self.top_p == 1 and self.min_p == 0
        return unlimited or np.float32(self.temperature) == 0

    def row(self, draw: int, mask_row: int = 0) -> npt.NDArray[np.uint32]:
        """u32[16] of docs/architecture.md; `draw` is the number of tokens generated so far;
        mask_row: the row of `masks` that says what may be drawn; 0: anything may."""
        flags = (
            (_USE_BIAS if self.logit_bias else 0)
            | (_USE_PENALTIES if self.uses_penalties else 0)
            | (_USE_MASK if mask_row else 0)
        )
        packed = struct.pack(
            "<5f6IfI12x",
            self.temperature,
            self.top_p,
            self.min_p,
            self.frequency_penalty,
            self.presence_penalty,
            self.top_k,
            self.seed & 0xFFFFFFFF,
            self.seed >> 32,
            draw,
            flags,
            self.top_logprobs,
            self.repetition_penalty,
            mask_row,
        )
        return np.frombuffer(packed, "<u4")
