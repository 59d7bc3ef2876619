"""Keys and values as numbers, out of the bytes that pages keep them in."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Kept = list[tuple[F32, F32]]
"""Keys and values of each layer: f32 [tokens, KV heads, head dim]."""


def kept_numbers(
    keys: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8], kind: Literal["f16", "f32", "int8"]
) -> tuple[F32, F32]:
    """f32 [.., head dim] of u8 [.., bytes of a row]. Rows of int8 are steps; behind a key's are two
    f32, the lengths of its steps and of its value's."""
    if kind != "int8":
        floats = "<f2" if kind == "f16" else "<f4"
        return keys.view(floats).astype(np.float32), values.view(floats).astype(np.float32)
    dim = values.shape[-1]
    lengths = np.ascontiguousarray(keys[..., dim:]).view("<f4")
    steps = np.ascontiguousarray(keys[..., :dim]).view(np.int8)
    return steps * lengths[..., :1], values.view(np.int8) * lengths[..., 1:]
