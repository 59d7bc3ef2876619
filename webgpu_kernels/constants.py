"""What the templates need to know: constants and grids of each kernel, from an op's attributes and
the tier.

The tuning of a kernel (threads, tiles) lives here; its declaration is a row of registry.py.
"""

from __future__ import annotations

from typing import Any

from .attrs import EmbedAttrs, LinearAttrs, Quant, SampleAttrs
from .launch import Grid, Tier, ceil_div
from .packing import PACKINGS, Packing

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
    return {"words": tier == "f32", "half": "u32" if tier == "f32" else "f16", "SCALES": 1}


def _grouped(packing: Packing | None) -> Constants:
    """Whether weights lie in groups, and how. SHIFTS: what is done to a word for each vector of
    four weights in it."""
    if packing is None:
        return {"grouped": False, "dense": True}
    return {
        "grouped": True,
        "dense": False,
        "BITS": packing.bits,
        "OFFSET": packing.offset,
        "SHIFTS": ["", " >> 16u"][: packing.word_vectors],
        "GROUP_WORDS": packing.words,
    }


def _matrix(quant: Quant, columns: int, tier: Tier) -> Constants:
    """A weight matrix with rows of `columns` elements, and activations read beside it four at a
    time if possible."""
    wide = columns % 4 == 0
    half4, half1 = ("vec2<u32>", "u32") if tier == "f32" else ("vec4<f16>", "f16")
    stored = {"f16": (half4, half1), "f32": ("vec4<f32>", "f32")}.get(quant, ("", ""))
    return {
        **_grouped(PACKINGS.get(quant)),
        "q4": quant == "q4",
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
        "many": a.columns > 1,
        "variant": [
            *(tag for tag, on in tags.items() if on),
            *["residual"] * a.residual,
            *[f"columns{a.columns}"] * (a.columns > 1),
        ],
        "quant": a.quant,
    }


EMBED_THREADS = 64


def embed(a: EmbedAttrs, tier: Tier) -> Constants:
    packing = PACKINGS.get(a.quant)
    chunk = 4 * packing.word_vectors if packing else 4 if a.D % 4 == 0 else 1
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


ADJUST_THREADS, ADJUST_LANES = 64, 8
PICK_THREADS = 256
SMALLEST_BLOCK, MOST_BLOCKS = 256, 640
"""The vocabulary in blocks: small, so that few tokens lie in those that hold the likeliest; not too
many for workgroup memory."""
BOUND_CANDIDATES = 64
LISTED_TOKENS = 256
"""Most tokens among which a threshold is found by rank."""


MASK_HEAD = 2
"""Words of a row of `masks` before its mask: which row a slot's next draw takes, and the tag."""
FOLLOW = 0xFFFFFFFF
"""In the place of a row's number: the one that the slot's last draw led to."""


def mask_row_words(vocab: int) -> int:
    """A row of `masks`: its head, a bit for each token, and a byte for each token."""
    return MASK_HEAD + -(-vocab // 32) + -(-vocab // 4)


def spare_mask_rows(vocab: int) -> int:
    """Rows of `masks` beside one for each slot: as many as 4 MiB hold and a byte can number."""
    return min(192, max(16, (4 << 20) // (4 * mask_row_words(vocab))))


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
        "MASK_WORDS": -(-a.vocab // 32),
        "MASK_ROW": mask_row_words(a.vocab),
        "MASK_HEAD": MASK_HEAD,
        "FOLLOW": FOLLOW,
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
        "adjusted_bytes": ("*", "outs", 4 * padded),
        "blocks_bytes": ("*", "outs", 16 * blocks),
        "limits": a.limits,
        "variant": [] if a.limits else ["plain"],
    }


def sample_adjust(a: SampleAttrs, tier: Tier) -> Constants:
    """LANES: invocations that share a block; a workgroup takes TEAMS blocks."""
    c = sample(a, tier, ADJUST_THREADS)
    teams = ADJUST_THREADS // ADJUST_LANES
    groups = -(-c["BLOCKS"] // teams)
    # It is the same whether there are limits or not.
    return {**c, "variant": [], "LANES": ADJUST_LANES, "TEAMS": teams, "GROUPS": groups}
