"""GPU bytes that executors will allocate, by what grows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from webbuild.schema.check import ITEM_BYTES
from webbuild.schema.expression import evaluate
from webbuild.schema.pack import TierMemory
from webbuild.schema.program import Expr, Program, Tier

_RESULTS = 5
"""Buffers in which results travel to the host, each as large as `sampled`."""
_ALIGNMENT = 256
"""Of an input or a uniform block in the step block."""


def tier_memory(
    program: Program, tier: Tier, maxima: Mapping[str, int], weights: int
) -> TierMemory:
    """Every size is a sum of parts that grow with one symbol each, but for the page table's.

    maxima: what does not grow with a load's choice, such as `tokens`, is taken from here.
    weights: resident bytes.
    """
    tiles = maxima["q_tiles"] - maxima["seqs"]

    def nbytes(**chosen: int) -> int:
        slots = chosen.get("slots", 0)
        symbols = {
            "tokens": maxima["tokens"],
            "seqs": slots,
            "outs": 0,
            "q_tiles": tiles + slots,
            "works": 0,
            "shared_works": 0,
            "parts": 0,
            "pages": 0,
            "max_pages": 0,
            "slots": slots,
        } | chosen
        arrays = [(4, item.shape) for item in program.inputs]
        for buffer in tier.buffers:
            copies = 1 + _RESULTS * (buffer.name == "sampled")
            arrays.append((copies * ITEM_BYTES[buffer.dtype], buffer.shape))
        sizes = [item * _product(shape, symbols) for item, shape in arrays]
        return sum(sizes) + sum(evaluate(size, symbols) for size in tier.storages)

    blocks = sum(len(function.params) for function in tier.functions.values())
    fixed = nbytes()
    page_bytes = nbytes(pages=1) - fixed
    return TierMemory(
        weights=weights,
        # A page more, through which pages are copied.
        fixed=fixed + (blocks + len(program.inputs)) * _ALIGNMENT + page_bytes,
        slot_bytes=nbytes(slots=1) - fixed,
        out_bytes=nbytes(outs=1) - fixed,
        work_bytes=-(-(nbytes(works=2, shared_works=1, parts=2) - fixed) // 2),
        page_bytes=page_bytes,
    )


def _product(shape: Iterable[Expr], symbols: Mapping[str, int]) -> int:
    return prod(evaluate(size, symbols) for size in shape)
