"""What a quantisation is: how parameters are stored, and the way from floats to stored arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from webbuild.errors import NonFiniteWeightError
from webbuild.weights.parameter import Kind, Parameter

Array = npt.NDArray[np.generic]
F32 = npt.NDArray[np.float32]

#: numpy dtypes that source weights may have; bf16 arrays carry ``ml_dtypes.bfloat16``.
BF16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = (BF16, np.dtype(np.float16), np.dtype(np.float32))

# Per dtype: unsigned integer of the same size, and the exponent mask. Without its sign bit a
# float's bit pattern orders like its magnitude, and from the exponent mask on it is Inf or NaN.
_EXPONENT: dict[np.dtype[Any], np.uint16 | np.uint32] = {
    BF16: np.uint16(0x7F80),
    np.dtype(np.float16): np.uint16(0x7C00),
    np.dtype(np.float32): np.uint32(0x7F800000),
}


QuantizationName = Literal["q4f16_1", "q8f16_1", "q0f16", "q0f32"]
MatrixFormat = Literal["q4", "q8", "f16", "f32"]


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One array of the pack: name, numpy dtype name ("uint32", "float16", "float32") and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Quantization(ABC):
    """A storage format for a model's parameters. Stateless; safe to use from many threads."""

    #: as given to ``--quant`` and recorded in pack.json
    name: QuantizationName
    #: what kernels call the way in which matrices are stored
    matrix_format: MatrixFormat

    @abstractmethod
    def stored(self, parameter: Parameter) -> tuple[StoredArray, ...]:
        """The arrays that hold `parameter`, in the order in which they are written.

        Raises NotDivisibleError if the shape does not fit, naming the parameter.
        """

    @abstractmethod
    def encode(self, kind: Kind, rows: Array, tensor: str) -> tuple[Array, ...]:
        """Encodes whole rows ``[n, K]`` (or a piece ``[n]`` of a vector) of bf16, f16 or f32.

        Returns one array for each of `stored`'s, holding the same rows.
        Raises NonFiniteWeightError, naming `tensor`, on NaN, Inf, or what the format cannot hold.
        """

    @abstractmethod
    def decode(self, kind: Kind, arrays: tuple[Array, ...]) -> F32:
        """The float32 values that the stored arrays stand for: what kernels must compute with."""


def magnitude_bits(values: Array) -> npt.NDArray[np.unsignedinteger]:
    """Bit patterns of |values|: unsigned integers that order like the magnitudes. A copy."""
    exponent = _EXPONENT[values.dtype]
    sign = exponent.dtype.type(1 << (8 * values.dtype.itemsize - 1))
    bits: npt.NDArray[np.unsignedinteger] = values.view(exponent.dtype) & ~sign
    return bits


def check_finite(
    largest: npt.NDArray[np.unsignedinteger], dtype: np.dtype[Any], tensor: str
) -> None:
    """Raises if any of `largest` (from `magnitude_bits`) is the pattern of an Inf or a NaN."""
    if largest.size and largest.max() >= _EXPONENT[dtype]:
        raise NonFiniteWeightError(
            f"tensor {tensor!r} holds NaN or Inf: the checkpoint is damaged or was saved in the "
            "middle of a diverging training; download it again, or take an earlier checkpoint"
        )


def to_float32(values: Array) -> F32:
    """Exact float32 values, as a fresh array."""
    if values.dtype == BF16:  # numpy's own cast takes ten times as long
        return np.left_shift(values.view(np.uint16), 16, dtype=np.uint32).view(np.float32)
    return values.astype(np.float32)
