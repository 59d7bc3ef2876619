"""Which other kernels a product gets for steps of few rows.

Its own is made for one row (`gemv`), or for many (`gemm`); between lie batches of decodes, draft
tokens to verify and ends of prompts. Kernels with several columns read the weights once for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, Literal, NamedTuple

from webgpu_kernels import columns_for

FEW_TOKENS = 16
"""Most tokens of a prefill step for which reading weights twice beats the tiles of `gemm`."""


class FewRows(NamedTuple):
    """Steps of least..most `rows`, and the attributes of the product's kernel for them."""

    rows: Literal["tokens", "seqs", "outs"]
    least: int
    most: int
    attrs: Mapping[str, Any]


def few_rows(op: str, attrs: Mapping[str, Any], maxima: Mapping[str, int]) -> list[FewRows]:
    """Of a library op; none but `linear` has any."""
    if op != "linear":
        return []
    rows = attrs["rows_symbol"]
    most = maxima[rows] if attrs["mode"] == "gemv" else min(FEW_TOKENS, maxima[rows])
    ranges = (list(counts) for _, counts in groupby(range(2, most + 1), key=columns_for))
    return [
        FewRows(
            rows,
            counts[0],
            counts[-1],
            {**attrs, "mode": "gemv", "columns": columns_for(counts[-1])},
        )
        for counts in ranges
    ]
