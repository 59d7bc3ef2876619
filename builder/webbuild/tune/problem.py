"""Inputs for an op's kernels: of the right sizes, with values that reach every path.

A maker is registered for an op; ops without one are not tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from webgpu_kernels.attrs import (
    AttentionAttrs,
    DecodeAttentionAttrs,
    LinearAttrs,
    OpAttrs,
    Quant,
)
from webgpu_kernels.launch import Tier
from webgpu_kernels.packing import PACKINGS

from .array import Array, Fill
from .case import Problem

#: Tokens of a prefill step, and of the context that attention looks back on.
PREFILL_TOKENS = 128
CONTEXT = 512

Maker = Callable[[Any, Tier, "tuple[int, int] | None"], Problem]
_MAKERS: dict[str, Maker] = {}


def problem(attrs: OpAttrs, tier: Tier, rows: tuple[int, int] | None) -> Problem | None:
    """A problem for an op; None if nobody has written how to make one.

    rows: of a cut matrix, those that the launch covers.
    """
    maker = _MAKERS.get(attrs.op)
    return maker(attrs, tier, rows) if maker else None


def _maker(op: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        _MAKERS[op] = maker
        return maker

    return register


class _Seeds:
    """Arrays with different contents, one after another."""

    def __init__(self) -> None:
        self._seeds: Iterator[int] = count(1)

    def __call__(self, fill: Fill, words: int) -> Array:
        return Array(max(words, 4), fill, next(self._seeds))


@_maker("linear")
def _linear(a: LinearAttrs, tier: Tier, piece: tuple[int, int] | None) -> Problem:
    tokens = a.columns if a.mode == "gemv" else PREFILL_TOKENS
    rows = piece[1] - piece[0] if piece else a.N
    make = _Seeds()
    arrays = {"x": make("f32", tokens * a.K)}
    for prefix in ("", "up_"):
        arrays |= _matrix(make, prefix, rows, a.K, a.quant)
        arrays[f"{prefix}bias"] = make("f32", a.N)
    arrays |= {
        "gamma": make("f32", a.K),
        "residual": make("f32", tokens * a.N),
        "rows": Array.of(range(tokens)),
        # What a piece does not write stays what it was: right in every case.
        "y": make("f32" if piece else "nan", tokens * a.N),
    }
    symbols = {"tokens": tokens, "seqs": tokens, "outs": tokens}
    return Problem(arrays, symbols, ("y",))


def _matrix(make: _Seeds, prefix: str, rows: int, k: int, quant: Quant) -> dict[str, Array]:
    if quant in PACKINGS:
        return {
            f"{prefix}q_weight": make("bits", rows * k * PACKINGS[quant].bits // 32),
            f"{prefix}q_scale": make("f16", -(-rows * k // 64)),
        }
    if quant == "f16":
        return {f"{prefix}weight": make("f16", -(-rows * k // 2))}
    return {f"{prefix}weight": make("f32", rows * k)}


def _pool(
    make: _Seeds, a: AttentionAttrs | DecodeAttentionAttrs, tier: Tier, pages: int
) -> dict[str, Array]:
    rows = pages * a.KV * a.page_size
    if a.kv == "int8":
        # Any steps; as f32, the two words of scales behind a key's are numbers.
        return {
            "kv_k": make("f32", rows * (a.D // 4 + 2)),
            "kv_v": make("bits", rows * a.D // 4),
        }
    words = rows * a.D // (2 if tier == "f16" else 1)
    return {"kv_k": make(tier, words), "kv_v": make(tier, words)}


@_maker("decode_attention")
def _decode(a: DecodeAttentionAttrs, tier: Tier, piece: tuple[int, int] | None) -> Problem:
    pages = -(-CONTEXT // a.page_size)
    make = _Seeds()
    arrays = {
        "qkv": make("f32", (a.H + 2 * a.KV) * a.D),
        "inv_freq": make("f32", a.D // 2),
        "q_gamma": make("f32", a.D),
        "k_gamma": make("f32", a.D),
        "positions": Array.of([CONTEXT - 1]),
        "page_table": Array.of(range(pages)),
        "sinks": make("f32", a.H),
        "y": make("nan", a.H * a.D),
        **_pool(make, a, tier, pages),
    }
    return Problem(arrays, {"tokens": 1, "seqs": 1, "max_pages": pages}, ("y",))


@_maker("attention")
def _prefill(a: AttentionAttrs, tier: Tier, piece: tuple[int, int] | None) -> Problem:
    tokens, tile = PREFILL_TOKENS, 16
    pages = -(-CONTEXT // a.page_size)
    first = CONTEXT - tokens
    tiles = [(at, tile, 0, first + at) for at in range(0, tokens, tile)]
    make = _Seeds()
    arrays = {
        "q": make("f32", tokens * a.H * a.D),
        "page_table": Array.of(range(pages)),
        "tiles": Array.of(value for row in tiles for value in row),
        "sinks": make("f32", a.H),
        "y": make("nan", tokens * a.H * a.D),
        **_pool(make, a, tier, pages),
    }
    symbols = {"tokens": tokens, "seqs": 1, "q_tiles": len(tiles), "max_pages": pages}
    return Problem(arrays, symbols, ("y",))
