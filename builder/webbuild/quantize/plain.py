"""q0f16 and q0f32: parameters stored as they are, in one float format."""

from __future__ import annotations

import numpy as np

from webbuild.errors import NonFiniteWeightError
from webbuild.quantize.base import (
    F32,
    Array,
    Quantization,
    QuantizationName,
    StoredArray,
    check_finite,
    magnitude_bits,
    to_float32,
)
from webbuild.weights.parameter import Kind, Parameter

_F16_MAX = float(np.finfo(np.float16).max)


def encode_float(values: Array, dtype: str, tensor: str) -> Array:
    """Casts bf16, f16 or f32 `values` to "float16" or "float32", round to nearest even.

    Raises NonFiniteWeightError on NaN and Inf, and on finite values beyond f16's 65504.
    """
    check_finite(magnitude_bits(values), values.dtype, tensor)
    if values.dtype == np.dtype(dtype):
        return values.copy()
    exact = to_float32(values)
    if dtype == "float32":
        return exact
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)
    if not np.isfinite(half).all():
        largest = float(np.abs(exact).max())
        raise NonFiniteWeightError(
            f"tensor {tensor!r} reaches {largest:g}, beyond float16's {_F16_MAX:g}: "
            "pack this model with --quant q0f32"
        )
    return half


class Plain(Quantization):
    """Every parameter as one array of `dtype`, under its own name."""

    def __init__(self, name: QuantizationName, dtype: str) -> None:
        self.name = name
        self.matrix_format = "f16" if dtype == "float16" else "f32"
        self.dtype = dtype

    def stored(self, parameter: Parameter) -> tuple[StoredArray, ...]:
        if parameter.kind == "constant":
            return (StoredArray(parameter.name, "float32", parameter.shape),)
        return (StoredArray(parameter.name, self.dtype, parameter.shape),)

    def encode(self, kind: Kind, rows: Array, tensor: str) -> tuple[Array, ...]:
        dtype = "float32" if kind == "constant" else self.dtype
        return (encode_float(rows, dtype, tensor),)

    def decode(self, kind: Kind, arrays: tuple[Array, ...]) -> F32:
        return arrays[0].astype(np.float32)
