"""Constants and grids of the decode matrix-vector product's kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from inspect import signature
from typing import Any

from .attrs import BadAttributeError, LinearAttrs
from .constants import Constants, linear
from .launch import MAX_GRID, Grid, Tier, ceil_div
from .packing import GROUP, PACKINGS

MEMORY = 16000
"""Bytes of workgroup memory to use, of 16 KiB."""
SIMD = 8
"""Invocations that a software adapter runs at once: vectors half empty waste its time."""

MOST_CHUNKS = 20
"""Of a row that a team goes through in one piece: 5 for each lane, some 3000 instructions. More are
more code than a core keeps decoded (4096 on Zen 3), shared with whatever else runs on it."""


def _blocks(a: LinearAttrs, rows: int) -> Constants:
    """The grid's width for workgroups of `rows` matrix rows; z takes what x cannot."""
    count = max((end - begin for begin, end in a.row_splits), default=a.N) if a.row_splits else a.N
    blocks = -(-count // rows)
    return {"ROWS": rows, "GRID_X": -(-blocks // -(-blocks // MAX_GRID))}


def grid(c: Constants, rows: int) -> Grid:
    """x·z: blocks of ROWS matrix rows; y: COLUMNS rows of x each."""
    blocks = -(-rows // c["ROWS"])
    groups = ceil_div(c["rows"], c["COLUMNS"]) if c["many"] else c["rows"]
    return (min(blocks, c["GRID_X"]), groups, -(-blocks // c["GRID_X"]))


THREADS = 128
TILE = 64
"""Lanes times columns whose part of x is staged at once: 8 KiB."""


def pairs(a: LinearAttrs, tier: Tier) -> bool:
    """Whether a team may take two rows of gate and two of up."""
    return a.glu and a.columns == 1 and packed(a, tier)


NARROW_SUMS = 16
"""Of a lane, where one has 64 registers: as many again hold x, weights and their words each."""


def narrow_rows(a: LinearAttrs, tier: Tier) -> int:
    """Matrix rows that a team takes where an invocation has few registers: 4 as elsewhere, or
    fewer."""
    if not packed(a, tier):
        return 4
    # With one column it is words that take them: as many of gate and up as else of one matrix.
    return 2 if pairs(a, tier) else min(4, NARROW_SUMS // (a.columns * (2 if a.glu else 1)))


def gpu(a: LinearAttrs, tier: Tier, team_rows: int = 4, narrow: bool = False) -> Constants:
    """team_rows: matrix rows that a team takes; with several columns any number, else a multiple of
    4, or 2, of gate and of up. narrow: `narrow_rows` instead."""
    if narrow:
        team_rows = narrow_rows(a, tier)
    if (team_rows * a.columns) % 4 and not (team_rows == 2 and pairs(a, tier)):
        problem = "must be a multiple of 4 with its columns, or 2 of packed gate and up"
        raise BadAttributeError(a.op, "team_rows", problem)
    packing = PACKINGS.get(a.quant)
    # Of x, for one load of 16 bytes of weights: several, which packed weights are unpacked for.
    vectors = 4 * packing.word_vectors if packing else 1
    chunks = -(-a.K // (4 * vectors if packing or a.K % 4 == 0 else 1))
    # A lane makes one load of packed weights in a step, or 8 of dense ones.
    loads = 1 if packing else min(8, chunks)
    lanes = 8
    while 2 * lanes * a.columns <= TILE and lanes * loads < chunks:
        lanes *= 2
    teams = THREADS // lanes
    steps = -(-chunks // (lanes * loads))
    stride = lanes + 1
    return {
        **linear(a, tier),
        "CHUNKS": chunks,
        "COLUMNS": a.columns,
        "THREADS": THREADS,
        "workgroup": (THREADS, 1, 1),
        "LANES": lanes,
        "TEAMS": teams,
        "SHARE": teams // a.columns,
        "TEAM_ROWS": team_rows,
        "LOADS": loads,
        "STEPS": steps,
        "RAGGED": steps * lanes * loads > chunks,
        "LOAD_VECTORS": vectors,
        "VECTORS": chunks * vectors,
        "TILE": lanes * vectors * loads,
        "STRIDE": stride,
        "STAGED": vectors * stride if packing else lanes * loads,
        **_blocks(a, teams * team_rows),
    }


def cpu(a: LinearAttrs, tier: Tier, workgroups: int = 4) -> Constants:
    """For dense weights; workgroups: how many there are at least, for as many cores, if the matrix
    has enough rows; a few are a multiple of it."""
    matrices, norm = 2 if a.glu else 1, a.norm is not None
    elements = 4 if a.K % 4 == 0 else 1
    chunks = -(-a.K // elements)
    # More are more code than a core keeps decoded.
    most = max(1, 16 // a.columns)

    def plan(run: int, widest: int, teams: int) -> tuple[float, Constants]:
        """Constants for teams of at most `widest` lanes with `run` chunks each, and what a chunk of
        a row costs with them."""
        lanes = min(-(-chunks // run), widest)
        pieces = -(-chunks // (run * lanes))
        threads = lanes * teams
        readers = min(SIMD, threads) if teams > 1 else lanes
        staged = 4 * a.columns * chunks * elements if teams > 1 else 0
        room = MEMORY - staged - (4 * a.columns * readers if norm else 0)
        most_rows = min(room // (4 * a.columns * matrices * threads), 128)
        if most_rows < 1 or (teams > 1 and pieces > 1):
            return math.inf, {}
        groups = -(-a.N // (most_rows * teams))
        if groups < 4 * workgroups:
            groups = -(-groups // workgroups) * workgroups
        rows = -(-a.N // (groups * teams))
        used = chunks / (run * lanes * pieces) * threads / (-(-threads // SIMD) * SIMD)
        # In the time of one column's product: products, reading x once for all rows, and the parts'
        # way through memory. Measured on lavapipe.
        products = (0.75 + 0.25 * a.columns) * matrices
        reading = 5 * a.columns * (2 if norm else 1) / rows
        if teams > 1:
            reading = reading / teams + 2 * a.columns / rows
        parts = (0.2 + 0.15 * a.columns * min(pieces, 2)) * matrices / run
        parts += 0.25 * a.columns * matrices * lanes / chunks
        return (products + reading + parts) / used, {
            "RUN": run,
            "LANES": lanes,
            "PIECES": pieces,
            "RAGGED": run * lanes * pieces > chunks,
            "THREADS": threads,
            "workgroup": (threads, 1, 1),
            "TEAM_ROWS": rows,
            # Several teams share x in workgroup memory; one has no use for that.
            "STAGED": teams > 1,
            "READERS": readers,
            **_blocks(a, rows * teams),
        }

    plans = [
        plan(run, widest, teams)
        for run in range(1, min(most, chunks) + 1)
        for widest in (16, 32, 64, 128)
        for teams in (1, 2, 4, 8)
        if min(-(-chunks // run), widest) * teams <= 128
    ]
    _, best = min(plans, key=lambda one: one[0])
    return {**linear(a, tier), "CHUNKS": chunks, "COLUMNS": a.columns, **best}


def packed(a: LinearAttrs, tier: Tier) -> bool:
    """Whether gemv_teams.wgsl can run it; else gemv_cpu.wgsl does."""
    return a.quant in PACKINGS


@dataclass(frozen=True)
class Piece:
    """Of a row's chunks, what a team of four lanes goes through with x in registers; code of its
    own, which may repeat."""

    begin: int
    """Its first chunk."""
    pairs: int
    """Times 8 chunks: two neighbouring ones for each lane."""
    tails: tuple[str, ...] = ()
    """Then `one` chunk for each lane, `some` (the last of the row again, times zero), or `half` a
    chunk."""
    repeat: int = 1
    """How often it runs, each time behind itself."""

    @property
    def held(self) -> int:
        """Chunks of which a lane holds x."""
        return 2 * self.pairs + len(self.tails)

    @property
    def segments(self) -> list[list[tuple[str, int, int]]]:
        """After each of these the team adds up: (kind, where the lane holds it, first chunk)."""
        pairs = [[("pair", 2 * n + i, 8 * n) for i in (0, 1)] for n in range(self.pairs)]
        tails = [
            [(kind, 2 * self.pairs + n, 8 * self.pairs + 4 * n)]
            for n, kind in enumerate(self.tails)
        ]
        return pairs + tails


def _pieces(chunks: int, whole: bool) -> list[Piece]:
    """A row in one piece, or pair by pair and what is left over; the same segments."""
    pairs, left = divmod(chunks, 8)
    rest: dict[int, tuple[str, ...]] = {0: (), 2: ("half",)}
    tails = ("one",) * (left // 4) + rest.get(left % 4, ("some",))
    if whole or pairs <= 1:
        return [Piece(0, pairs, tails)]
    return [Piece(0, 1, repeat=pairs), *([Piece(8 * pairs, 0, tails)] if tails else [])]


def teams(a: LinearAttrs, tier: Tier, workgroups: int = 4) -> Constants:
    """For packed weights; workgroups: as in `cpu`."""
    chunks = a.K // GROUP
    # Else pair by pair. So with several rows too, whose x is more than the nearest cache holds.
    pieces = _pieces(chunks, whole=a.columns == 1 and chunks <= MOST_CHUNKS)
    abreast = SIMD // 4
    groups = -(-a.N // (256 * abreast))
    if groups < 4 * workgroups:
        groups = -(-groups // workgroups) * workgroups
    rows = -(-a.N // (groups * abreast))
    pairs = chunks % 2 == 0
    return {
        **linear(a, tier),
        "CHUNKS": chunks,
        "COLUMNS": a.columns,
        "PARTS": max(1, a.columns // 4),
        "PIECES": pieces,
        "HELD": max(piece.held for piece in pieces),
        "LANES": 4,
        "TEAMS": abreast,
        "TEAM_ROWS": rows,
        "THREADS": SIMD,
        "workgroup": (SIMD, 1, 1),
        # The scales of a pair are one load, if rows begin with the first of one.
        "SCALES": 2 if pairs else 1,
        **({"half": "u32"} if pairs else {}),
        **_blocks(a, rows * abreast),
    }


def constants(
    a: LinearAttrs, tier: Tier, cores: bool = False, exchange: bool = False, **tuned: Any
) -> Constants:
    """cores: for software adapters; exchange: for those of them with subgroups. Raises
    BadAttributeError for an unknown keyword."""
    choose = (teams if exchange else cpu) if cores else gpu
    unknown = tuned.keys() - signature(choose).parameters.keys()
    if unknown:
        raise BadAttributeError(a.op, "tuning", f"has {sorted(unknown)}, which mean nothing here")
    return choose(a, tier, **tuned)
