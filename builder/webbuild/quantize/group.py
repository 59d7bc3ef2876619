"""q4f16_1: four-bit integers in groups of 32 along the rows, MLC's layout.

For a weight W[N, K] (K = input features, or the embedding's width):

    scale[n, g] = float16( max |W[n, 32 g : 32 g + 32]| / 7 )
    q[n, k]     = clip( round(W[n, k] / scale[n, k // 32] + 7), 0, 14 )      ties to even
    W'[n, k]    = (q[n, k] - 7) * scale[n, k // 32]

``q_weight`` is uint32 [N, K/8], eight values a word, the first in the lowest nibble; ``q_scale``
is float16 [N, K/32]. As in MLC-LLM (``quantization/group_quantization.py``), the division takes
the *stored* float16 scale. Unlike there, the arithmetic is float32 where MLC's is float16, so that
single values next to a rounding boundary can come out one step apart (never further from the
weight), and a group of zeros gives q = 7 where MLC's 0/0 is undefined. A group whose scale rounds
to zero in float16 is stored as zeros.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from webbuild.errors import NonFiniteWeightError, NotDivisibleError
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
from webbuild.quantize.plain import encode_float
from webbuild.weights.parameter import Kind, Parameter

GROUP = 32
MAX_INT = 7
_NIBBLES = 8  # per uint32 word

# Floats in [2^23, 2^24) are the integers, so adding 1.5 * 2^23 rounds to an integer, ties to
# even, and leaves it in the low bits of the pattern. The constant also adds the 7.
_ROUND = np.float32(1.5 * 2**23 + MAX_INT)

# Values handled at once: the temporaries then stay in the processor's L2 cache.
_CHUNK = 1 << 18

# The smallest normal float16. Below it a scale has fewer bits, and W / scale can exceed 7.
_F16_NORMAL = np.float32(2.0**-14)


class GroupQuantization(Quantization):
    """Matrices as four-bit groups, vectors as float16."""

    name: QuantizationName = "q4f16_1"

    def stored(self, parameter: Parameter) -> tuple[StoredArray, ...]:
        if parameter.kind == "vector":
            return (StoredArray(parameter.name, "float16", parameter.shape),)
        if parameter.kind == "constant":
            return (StoredArray(parameter.name, "float32", parameter.shape),)
        N, K = parameter.shape
        if K % GROUP:
            raise NotDivisibleError(
                f"{self.name} needs rows in groups of {GROUP}, but {parameter.name!r} "
                f"has {K} columns: pack this model with --quant q0f16"
            )
        base = parameter.name.removesuffix(".weight")
        return (
            StoredArray(f"{base}.q_weight", "uint32", (N, K // _NIBBLES)),
            StoredArray(f"{base}.q_scale", "float16", (N, K // GROUP)),
        )

    def encode(self, kind: Kind, rows: Array, tensor: str) -> tuple[Array, ...]:
        if kind == "vector":
            return (encode_float(rows, "float16", tensor),)
        if kind == "constant":
            return (encode_float(rows, "float32", tensor),)
        N, K = rows.shape
        flat = np.ascontiguousarray(rows).reshape(-1)
        packed = np.empty(flat.size // 2, np.uint8)
        scales = np.empty(flat.size // GROUP, np.float16)
        for start in range(0, flat.size, _CHUNK):
            stop = min(start + _CHUNK, flat.size)
            _encode_chunk(
                flat[start:stop],
                packed[start // 2 : stop // 2],
                scales[start // GROUP : stop // GROUP],
                tensor,
            )
        words = packed.view("<u4")
        return words.reshape(N, K // _NIBBLES), scales.reshape(N, K // GROUP)

    def decode(self, kind: Kind, arrays: tuple[Array, ...]) -> F32:
        if kind in ("vector", "constant"):
            return arrays[0].astype(np.float32)
        words, scales = arrays[0].view(np.uint32), arrays[1]
        shifts = np.arange(0, 4 * _NIBBLES, 4, dtype=np.uint32)
        q = (words[..., None] >> shifts) & np.uint32(15)
        groups = (q.astype(np.float32) - MAX_INT).reshape(*scales.shape, GROUP)
        values: F32 = groups * scales.astype(np.float32)[..., None]
        return values.reshape(words.shape[0], -1)


def _encode_chunk(
    values: Array,
    packed: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float16],
    tensor: str,
) -> None:
    """Quantises whole groups: values [n] into packed [n/2] (two nibbles a byte), scales [n/32]."""
    # Reducing over the leading axis of a transposed copy is a vector loop; over a short last
    # axis it is not.
    by_position = np.ascontiguousarray(magnitude_bits(values).reshape(-1, GROUP).T)
    largest = np.maximum.reduce(by_position, axis=0)
    check_finite(largest, values.dtype, tensor)
    with np.errstate(over="ignore"):
        np.divide(
            to_float32(largest.view(values.dtype)),
            np.float32(MAX_INT),
            out=scales,
            casting="same_kind",
        )
    if not np.isfinite(scales).all():
        raise NonFiniteWeightError(
            f"tensor {tensor!r} has groups too large for a float16 scale: "
            "pack this model with --quant q0f32"
        )
    divisor = scales.astype(np.float32)
    smallest = divisor.min(initial=_F16_NORMAL)
    if smallest == 0:
        divisor[divisor == 0] = np.inf
    quotient = to_float32(values).reshape(-1, GROUP)
    quotient /= divisor[:, None]
    if smallest < _F16_NORMAL:
        np.clip(quotient, -MAX_INT, MAX_INT, out=quotient)
    quotient += _ROUND
    # The low byte of each pattern is q; neighbours share a byte, the first in the low nibble.
    pairs = quotient.view(np.uint32).astype(np.uint8).reshape(-1).view("<u2")
    pairs |= pairs >> 4
    np.copyto(packed, pairs, casting="unsafe")
