"""q4f16_1 and q8f16_1: integers of 4 or 8 bits in groups of 32 along the rows, MLC's layout.

For a weight W[N, K] (K = input features, or the embedding's width) and the largest step
m = 7 of 4 bits, 127 of 8:

    scale[n, g] = float16( max |W[n, 32 g : 32 g + 32]| / m )
    q[n, k]     = clip( round(W[n, k] / scale[n, k // 32] + m), 0, 2 m )      ties to even
    W'[n, k]    = (q[n, k] - m) * scale[n, k // 32]

``q_weight`` is uint32 [N, K/8] or [N, K/4], 8 or 4 values a word, the first in the lowest bits;
``q_scale`` is float16 [N, K/32]. As in MLC-LLM (``quantization/group_quantization.py``), the
division takes the *stored* float16 scale. Unlike there, the arithmetic is float32 where MLC's is
float16, so that single values next to a rounding boundary can come out one step apart (never
further from the weight), and a group of zeros gives q = m where MLC's 0/0 is undefined. A group
whose scale rounds to zero in float16 is stored as zeros.
"""

from __future__ import annotations

from typing import Literal

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

# Floats in [2^23, 2^24) are the integers, so adding 1.5 * 2^23 rounds to an integer, ties to
# even, and leaves it in the low bits of the pattern.
_ROUND = 1.5 * 2**23

# Values handled at once: the temporaries then stay in the processor's L2 cache.
_CHUNK = 1 << 18

# The smallest normal float16. Below it a scale has fewer bits, and W / scale can exceed m.
_F16_NORMAL = np.float32(2.0**-14)


class GroupQuantization(Quantization):
    """Matrices as groups of integers of `bits` (4 or 8) bits, vectors as float16."""

    def __init__(self, name: QuantizationName, bits: Literal[4, 8]) -> None:
        self.name = name
        self.matrix_format = "q4" if bits == 4 else "q8"
        self.bits = bits
        self.max_int: int = 2 ** (bits - 1) - 1
        self._per_word = 32 // bits

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
            StoredArray(f"{base}.q_weight", "uint32", (N, K // self._per_word)),
            StoredArray(f"{base}.q_scale", "float16", (N, K // GROUP)),
        )

    def encode(self, kind: Kind, rows: Array, tensor: str) -> tuple[Array, ...]:
        if kind == "vector":
            return (encode_float(rows, "float16", tensor),)
        if kind == "constant":
            return (encode_float(rows, "float32", tensor),)
        N, K = rows.shape
        flat = np.ascontiguousarray(rows).reshape(-1)
        per_byte = 8 // self.bits
        packed = np.empty(flat.size // per_byte, np.uint8)
        scales = np.empty(flat.size // GROUP, np.float16)
        for start in range(0, flat.size, _CHUNK):
            stop = min(start + _CHUNK, flat.size)
            self._encode_chunk(
                flat[start:stop],
                packed[start // per_byte : stop // per_byte],
                scales[start // GROUP : stop // GROUP],
                tensor,
            )
        words = packed.view("<u4")
        return words.reshape(N, K // self._per_word), scales.reshape(N, K // GROUP)

    def decode(self, kind: Kind, arrays: tuple[Array, ...]) -> F32:
        if kind in ("vector", "constant"):
            return arrays[0].astype(np.float32)
        words, scales = arrays[0].view(np.uint32), arrays[1]
        shifts = np.arange(0, 32, self.bits, dtype=np.uint32)
        q = (words[..., None] >> shifts) & np.uint32(2**self.bits - 1)
        groups = (q.astype(np.float32) - self.max_int).reshape(*scales.shape, GROUP)
        values: F32 = groups * scales.astype(np.float32)[..., None]
        return values.reshape(words.shape[0], -1)

    def _encode_chunk(
        self,
        values: Array,
        packed: npt.NDArray[np.uint8],
        scales: npt.NDArray[np.float16],
        tensor: str,
    ) -> None:
        """Quantises whole groups: values [n] into packed [n·bits/8], scales [n/32]."""
        # Reducing over the leading axis of a transposed copy is a vector loop; over a short last
        # axis it is not.
        by_position = np.ascontiguousarray(magnitude_bits(values).reshape(-1, GROUP).T)
        largest = np.maximum.reduce(by_position, axis=0)
        check_finite(largest, values.dtype, tensor)
        with np.errstate(over="ignore"):
            np.divide(
                to_float32(largest.view(values.dtype)),
                np.float32(self.max_int),
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
            np.clip(quotient, -self.max_int, self.max_int, out=quotient)
        quotient += np.float32(_ROUND + self.max_int)
        # The low byte of each pattern is q.
        if self.bits == 8:
            np.copyto(packed, quotient.view(np.uint32).reshape(-1), casting="unsafe")
            return
        # Neighbours share a byte, the first in the low nibble.
        pairs = quotient.view(np.uint32).astype(np.uint8).reshape(-1).view("<u2")
        pairs |= pairs >> 4
        np.copyto(packed, pairs, casting="unsafe")
