"""Where things lie in the step block: the one buffer that the host writes per step."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from webbuild.schema.expression import evaluate
from webbuild.schema.program import Function, Param, Program, Tier

ALIGNMENT = 256  # of a binding's offset: WebGPU's default limit

_FORMATS = {"i32": "<i", "u32": "<I", "f32": "<f"}


@dataclass(frozen=True, slots=True)
class Range:
    """A byte range of the step block."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class StepLayout:
    """Ranges of all inputs and of all uniform blocks, at the symbols' maxima."""

    inputs: dict[str, Range]
    params: dict[str, tuple[Range, ...]]
    """By function, in the order of `Function.params`."""
    nbytes: int

    @classmethod
    def plan(cls, program: Program, tier: Tier, maxima: Mapping[str, int]) -> StepLayout:
        cursor = 0

        def place(nbytes: int) -> Range:
            nonlocal cursor
            start = cursor
            cursor += -(-nbytes // ALIGNMENT) * ALIGNMENT
            return Range(start, nbytes)

        inputs = {
            item.name: place(4 * prod(evaluate(size, maxima) for size in item.shape))
            for item in program.inputs
        }
        params = {
            name: tuple(place(-(-len(fields) // 4) * 16) for fields in function.params)
            for name, function in tier.functions.items()
        }
        return cls(inputs, params, cursor)

    def pack(
        self,
        name: str,
        function: Function,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        symbols: Mapping[str, int],
    ) -> bytes:
        """The step block for one run of the function called `name`.

        Inputs that the program does not have are left out; arrays may be shorter than their range.
        """
        block = bytearray(self.nbytes)
        for key, array in inputs.items():
            if key in self.inputs:
                data = array.tobytes()
                start = self.inputs[key].offset
                block[start : start + len(data)] = data
        for where, fields in zip(self.params[name], function.params, strict=True):
            for i, field in enumerate(fields):
                struct.pack_into(
                    _FORMATS[field.dtype], block, where.offset + 4 * i, _value(field, symbols)
                )
        return bytes(block)


def _value(field: Param, symbols: Mapping[str, int]) -> int | float:
    return field.value if isinstance(field.value, float) else evaluate(field.value, symbols)
