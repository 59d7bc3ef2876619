"""What the templates need to know: constants and grids of each kernel, from an op's attributes and
the tier.

The tuning of a kernel (threads, tiles) lives here; its declaration is a row of registry.py.
"""

from __future__ import annotations

from typing import Any

from .attrs import (
    AttentionAttrs,
    EmbedAttrs,
    LinearAttrs,
    Quant,
    RopeAppendAttrs,
    SampleAttrs,
)
from .launch import MAX_GRID, Grid, Tier, ceil_div

Constants = dict[str, Any]

SETTINGS_WORDS, RESULT_WORDS = 16, 64
"""Words of a row of `sampling` and of `sampled`."""
TOP_IDS, TOP_LOGPROBS, TOP_MAX = 4, 24, 20
"""Where a row of `sampled` holds the likeliest tokens and their log-probabilities, and how many at
most."""
LOWEST = -1e30
"""What NaN and -inf logits become: a finite number whose weight is zero."""


def _halves(tier: Tier) -> Constants:
    """How stored f16 is seen: as f16, or as words of two that unpack2x16float reads without
    shader-f16."""
    return {"words": tier == "f32", "half": "u32" if tier == "f32" else "f16"}


def _matrix(quant: Quant, columns: int, tier: Tier) -> Constants:
    """A weight matrix with rows of `columns` elements, and activations read beside it four at a
    time if possible."""
    wide = columns % 4 == 0
    half4, half1 = ("vec2<u32>", "u32") if tier == "f32" else ("vec4<f16>", "f16")
    stored = {"q4": ("", ""), "f16": (half4, half1), "f32": ("vec4<f32>", "f32")}[quant]
    return {
        "q4": quant == "q4",
        "dense": quant != "q4",
        "dense_f16": quant == "f16",
        "wide": wide,
        "value": "vec4<f32>" if wide else "f32",
        "stored": stored[0] if wide else stored[1],
        **_halves(tier),
    }


def linear(a: LinearAttrs, tier: Tier) -> Constants:
    tags = {"norm": a.norm is not None, "glu": a.glu, "gather": a.gather, "bias": a.bias}
    return {
        **_matrix(a.quant, a.K, tier),
        **tags,
        "residual": a.residual,
        "N": a.N,
        "K": a.K,
        "eps": a.norm or 0.0,
        "split": a.row_splits is not None,
        "matrices": ["", "up_"] if a.glu else [""],
        "rows": a.rows_symbol,
        "variant": [tag for tag, on in tags.items() if on] + ["residual"] * a.residual,
        "quant": a.quant,
        "workgroup": (16, 16, 1),
    }


GEMV_THREADS = 64
GEMV_COLUMNS = 4


def gemv(a: LinearAttrs, tier: Tier, lanes: int = GEMV_THREADS) -> Constants:
    """lanes: invocations that share the rows of a team, striding over K."""
    chunk = 32 if a.quant == "q4" else 4 if a.K % 4 == 0 else 1
    chunks = a.K // chunk
    most, lanes = lanes, 1
    while lanes < min(chunks, most):
        lanes *= 2
    teams = GEMV_THREADS // lanes
    count = max((end - begin for begin, end in a.row_splits), default=a.N) if a.row_splits else a.N
    blocks = -(-count // (teams * GEMV_COLUMNS))
    layers = -(-blocks // MAX_GRID)
    return {
        **linear(a, tier),
        "THREADS": GEMV_THREADS,
        "workgroup": (GEMV_THREADS, 1, 1),
        "COLUMNS": GEMV_COLUMNS,
        "CHUNKS": chunks,
        "LANES": lanes,
        "TEAMS": teams,
        "GRID_X": -(-blocks // layers),
    }


def gemv_grid(c: Constants, rows: int) -> Grid:
    blocks = -(-rows // (c["TEAMS"] * c["COLUMNS"]))
    return (min(blocks, c["GRID_X"]), c["rows"], -(-blocks // c["GRID_X"]))


GEMM_TILE = 64


def gemm_grid(c: Constants, rows: int) -> Grid:
    return (ceil_div(rows, GEMM_TILE), ceil_div(c["rows"], GEMM_TILE), 1)


EMBED_THREADS = 64


def embed(a: EmbedAttrs, tier: Tier) -> Constants:
    chunk = 8 if a.quant == "q4" else 4 if a.D % 4 == 0 else 1
    return {
        **_matrix(a.quant, a.D, tier),
        "D": a.D,
        "VOCAB": a.vocab,
        "CHUNKS": a.D // chunk,
        "THREADS": EMBED_THREADS,
        "workgroup": (EMBED_THREADS, 1, 1),
        "split": a.row_splits is not None,
        "matrices": [""],
        "variant": [],
        "quant": a.quant,
    }


def embed_grid(c: Constants, rows: int) -> Grid:
    return (ceil_div(c["CHUNKS"], EMBED_THREADS), "tokens", 1)


def _heads(a: RopeAppendAttrs | AttentionAttrs, tier: Tier) -> Constants:
    return {
        "H": a.H,
        "KV": a.KV,
        "D": a.D,
        "PAGE": a.page_size,
        "kv": tier,
        "max_pages": "max_pages",
    }


QUARTER_TURN = (1.5703125, 63 / 131072, 3.1749393656355096e-06)
"""π/2 in three parts; the first two are short, so that products with a turn count are exact."""


def rope_append(a: RopeAppendAttrs, tier: Tier) -> Constants:
    norm = a.qk_norm is not None
    threads = 32
    while threads < a.D // 2:
        threads *= 2
    return {
        **_heads(a, tier),
        "qk_norm": norm,
        "eps": a.qk_norm or 0.0,
        "QUARTER_TURN": QUARTER_TURN,
        "THREADS": threads,
        "workgroup": (threads, 1, 1),
        "variant": ["qk_norm"] * norm,
    }


def rope_append_grid(c: Constants, rows: int) -> Grid:
    return (c["H"] + 2 * c["KV"], "tokens", 1)


ATTENTION_THREADS = 128
DECODE_TILE = 512
PREFILL_ROWS = 16
PREFILL_KEYS = 32


def attention(a: AttentionAttrs, tier: Tier) -> Constants:
    columns = a.D // 4
    groups = 1
    while groups < PREFILL_ROWS and 2 * groups * columns <= ATTENTION_THREADS:
        groups *= 2
    staged = min(columns, 32)
    return {
        **_heads(a, tier),
        "SCALE": a.scale,
        "THREADS": ATTENTION_THREADS,
        "workgroup": (ATTENTION_THREADS, 1, 1),
        "COLUMNS": columns,
        "TILE": DECODE_TILE,
        "SLICES": ATTENTION_THREADS // columns,
        "ROWS": PREFILL_ROWS,
        "KEYS": PREFILL_KEYS,
        "ROW_GROUPS": groups,
        "STAGED": staged,
        "STAGES": -(-columns // staged),
        "variant": [],
    }


ADJUST_THREADS, ADJUST_LANES = 64, 8
PICK_THREADS = 256
SMALLEST_BLOCK, MOST_BLOCKS = 256, 640
"""The vocabulary in blocks: small, so that few tokens lie in those that hold the likeliest; not too
many for workgroup memory."""
BOUND_CANDIDATES = 64
LISTED_TOKENS = 256
"""Most tokens among which a threshold is found by rank."""


def sample(a: SampleAttrs, tier: Tier, threads: int = PICK_THREADS) -> Constants:
    block = SMALLEST_BLOCK
    while block * MOST_BLOCKS < a.vocab:
        block *= 2
    blocks = -(-a.vocab // block)
    padded = blocks * block
    return {
        "VOCAB": a.vocab,
        "THREADS": threads,
        "workgroup": (threads, 1, 1),
        "BLOCK": block,
        "BLOCKS": blocks,
        "PADDED": padded,
        "OWN_BLOCKS": -(-blocks // threads),
        "OWN_TOKENS": -(-block // threads),
        "SIXTEEN": 16,
        "CANDIDATES": BOUND_CANDIDATES,
        "LIST": LISTED_TOKENS,
        "SETTINGS": SETTINGS_WORDS,
        "RESULT": RESULT_WORDS,
        "TOP_IDS": TOP_IDS,
        "TOP_LOGPROBS": TOP_LOGPROBS,
        "TOP_MAX": TOP_MAX,
        "LOWEST": LOWEST,
        "PADDING": 2 * LOWEST,
        "adjusted_bytes": ("*", "seqs", 4 * padded),
        "blocks_bytes": ("*", "seqs", 16 * blocks),
        "variant": [],
    }


def sample_adjust(a: SampleAttrs, tier: Tier) -> Constants:
    """LANES: invocations that share a block; a workgroup takes TEAMS blocks."""
    c = sample(a, tier, ADJUST_THREADS)
    teams = ADJUST_THREADS // ADJUST_LANES
    return {**c, "LANES": ADJUST_LANES, "TEAMS": teams, "GROUPS": -(-c["BLOCKS"] // teams)}
