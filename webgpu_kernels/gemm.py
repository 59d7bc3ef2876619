"""Constants and grids of the prefill matrix product's kernels."""

from __future__ import annotations

from .attrs import LinearAttrs
from .constants import Constants, linear
from .launch import Grid, Tier, ceil_div

LANES_THREADS = 8
FEW_ROWS = 4
"""A tile of `lanes` that has no more rows than these pays for no more."""


def tiles(
    a: LinearAttrs, tier: Tier, rows: int = 32, lanes: bool = False, matrix: bool = False
) -> Constants:
    """rows: token rows of a tile; a multiple of 16, at most 64, which fill 16 KiB of workgroup
    memory.

    lanes: for gemm_lanes.wgsl, where `rows` is a multiple of 4 and, with the columns of an
    invocation, makes its accumulators.

    matrix: for gemm_matrix.wgsl, which takes 32 rows.
    """
    matrices = 2 if a.glu else 1
    shape: Constants
    if matrix:
        # Not a power of two, against bank conflicts, but of whole vectors, which loads want.
        shape = {"WIDTH": 64 // matrices, "workgroup": (128, 1, 1), "STRIDE": 36}
    elif not lanes:
        shape = {"WIDTH": 64 // matrices, "workgroup": (16, 8, 1)}
    else:
        shape = {
            "THREADS": LANES_THREADS,
            "workgroup": (LANES_THREADS, 1, 1),
            "FEW": FEW_ROWS,
            "COLUMNS": 4 // matrices,
            "WIDTH": LANES_THREADS * 4 // matrices,
            # Vectors of x in one step: a word may hold the weights of two.
            "STEP": 2 if a.K % 8 == 0 else 1,
        }
    return {**linear(a, tier), "ROWS": rows, **shape}


def grid(c: Constants, rows: int) -> Grid:
    """Tiles of WIDTH output columns and ROWS output rows."""
    return (ceil_div(rows, c["WIDTH"]), ceil_div(c["rows"], c["ROWS"]), 1)
