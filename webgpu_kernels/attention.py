"""What the templates of the attention kernels need to know (see constants.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .attrs import (
    AttentionAttrs,
    DecodeAttentionAttrs,
    RopeAppendAttrs,
    ScoreAttrs,
    TextAttentionAttrs,
)
from .launch import Grid, Tier, ceil_div

Constants = dict[str, Any]

WORKGROUP_BYTES = 16384
QUARTER_TURN = (1.5703125, 63 / 131072, 3.1749393656355096e-06)
"""π/2 in three parts; the first two are short, so that products with a turn count are exact."""


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _heads(a: RopeAppendAttrs | ScoreAttrs, tier: Tier) -> Constants:
    int8 = a.kv == "int8"
    return {
        "H": a.H,
        "KV": a.KV,
        "D": a.D,
        "PAGE": a.page_size,
        "kv": a.kv if int8 else tier,
        "int8": int8,
        "element": "u32" if int8 else tier,
        "max_pages": "max_pages",
        "QUARTER_TURN": QUARTER_TURN,
    }


def rope_append(a: RopeAppendAttrs, tier: Tier) -> Constants:
    norm = a.qk_norm is not None
    threads = max(32, _power_of_two(a.D // 2))
    return {
        **_heads(a, tier),
        "qk_norm": norm,
        "eps": a.qk_norm or 0.0,
        "THREADS": threads,
        "workgroup": (threads, 1, 1),
        "variant": ["qk_norm"] * norm + ["int8"] * (a.kv == "int8"),
    }


def rope_append_grid(c: Constants, rows: int) -> Grid:
    return (c["H"] + 2 * c["KV"], "tokens", 1)


def _grouped(a: ScoreAttrs, tier: Tier, most_heads: int) -> Constants:
    """Query heads of a KV head share a workgroup, at most `most_heads`: PARTS of HEADS each, the
    last may have fewer. Pages are read in chunks of 16 bytes, or of 8 values if they are int8."""
    group = a.H // a.KV
    parts = -(-group // most_heads)
    tags = {
        "window": a.window is not None,
        "softcap": a.softcap is not None,
        "sinks": a.sinks,
        "int8": a.kv == "int8",
    }
    common = _heads(a, tier)
    quads = 1 if common["kv"] == "f32" else 2
    return {
        **common,
        **tags,
        "SCALE": a.scale,
        "WINDOW": a.window,
        "SOFTCAP": a.softcap,
        "GROUP": group,
        "PARTS": parts,
        "HEADS": -(-group // parts),
        "QPC": quads,
        "CHUNKS": a.D // (4 * quads),
        "chunk": {"f16": "vec4<u32>", "f32": "vec4<f32>", "int8": "vec2<u32>"}[common["kv"]],
        "variant": [tag for tag, on in tags.items() if on],
    }


DECODE_THREADS = 128
DECODE_HEADS = 8
DECODE_TILE = 128


def decode(
    a: DecodeAttentionAttrs, tier: Tier, teams: bool = False, heads: int = DECODE_HEADS
) -> Constants:
    """teams: for attention_teams.wgsl. heads: most query heads of a workgroup."""
    split = a.mode == "split"
    c = _grouped(replace(a, sinks=a.sinks and not split), tier, heads)  # else the merge adds them
    norm = a.qk_norm is not None
    shape = _teams(c) if teams else _slices(c, norm)
    return {
        **c,
        **shape,
        "qk_norm": norm,
        "eps": a.qk_norm or 0.0,
        "split": split,
        "workgroup": (shape["THREADS"], 1, 1),
        "variant": ["qk_norm"] * norm + c["variant"],
        "parts_bytes": ("*", "parts", 4 * a.H * (a.D + 4)),
    }


def _slices(c: Constants, norm: bool) -> Constants:
    threads = DECODE_THREADS
    slices = threads // (c["D"] // 4)
    team = threads // _power_of_two(c["HEADS"])
    fixed = 4 * c["D"] * (c["HEADS"] + 2) + 4 * (threads + threads // team)
    fixed += 16 * threads + 64 * (c["HEADS"] + 1) * norm
    tile = DECODE_TILE
    while fixed + 4 * tile * (c["HEADS"] + 1 + c["int8"]) > WORKGROUP_BYTES:
        tile //= 2
    quad = {"f16": "vec2<u32>", "f32": "vec4<f32>", "int8": "u32"}[c["kv"]]
    return {"THREADS": threads, "SLICES": slices, "TEAM": team, "TILE": tile, "values": quad}


TEAMS_THREADS = 8
TEAMS_SLACK = 40.0
"""How far above the score that weights refer to others may be: exp(40) times the longest context
is far from what f32 holds, and exp(-40) from what it tells apart."""
TEAMS_RISE = 60.0
"""The same where scores that rise by more have all be read again, which should be seldom. exp(60)
times the longest context and f16's largest value is what f32 still holds; and where a part's weight
vanishes, exp(-87), all it has is less than exp(60 - 87) of the whole."""


def halves_of_chunks(a: DecodeAttentionAttrs, tier: Tier) -> bool:
    """Whether attention_teams.wgsl can run it: the halves of a head, which RoPE turns against each
    other, are whole chunks, and the teams' positions of a step lie in one page."""
    whole = a.D % (8 if tier == "f32" and a.kv == "float" else 16) == 0
    return whole and a.page_size % (TEAMS_THREADS // 4) == 0


def _teams(c: Constants) -> Constants:
    own = -(-c["CHUNKS"] // 8)
    return {
        "THREADS": TEAMS_THREADS,
        "OWN_CHUNKS": own,
        "RAGGED": c["CHUNKS"] != 8 * own,
        "values": c["chunk"],
        "SLACK": TEAMS_RISE,
    }


def decode_grid(c: Constants, rows: int) -> Grid:
    return (c["KV"] * c["PARTS"], "works" if c["split"] else "seqs", 1)


MERGE_THREADS = 64


def merge(a: DecodeAttentionAttrs, tier: Tier) -> Constants:
    return {
        **_heads(a, tier),
        "sinks": a.sinks,
        "THREADS": MERGE_THREADS,
        "workgroup": (MERGE_THREADS, 1, 1),
        "variant": ["sinks"] * a.sinks,
        "parts_bytes": ("*", "parts", 4 * a.H * (a.D + 4)),
    }


def merge_grid(c: Constants, rows: int) -> Grid:
    return (-(-c["H"] * c["D"] // (4 * MERGE_THREADS)), "seqs", 1)


TILE_ROWS = 16
"""Most tokens of a prefill tile: the host cuts so."""
PREFILL_THREADS = 64
PREFILL_BLOCK = 8
"""Rows that are scored together."""
PREFILL_SUMS = 64
"""Most numbers of the output that an invocation holds."""
TEAMS_NUMBERS = 1024
"""Most numbers of the output that a team holds, unless 4 rows have more: twice as many would take a
fifth less time, and more than twice as long to compile."""


def prefill(
    a: AttentionAttrs, tier: Tier, row_groups: int = 4, heads: int = 3, team_rows: int = 0
) -> Constants:
    """row_groups: most groups of invocations that share the rows. heads: most query heads of a
    workgroup. team_rows: not 0 for attention_prefill_teams.wgsl, most rows that share a load."""
    mask = {"shared": False, "mask": a.mask, "mask_words": "mask_words"}
    if team_rows:
        c = {**_grouped(a, tier, 1), **mask}
        shape = _prefill_teams(c, team_rows)
    else:
        words = _value_words(a, tier, row_groups)
        while heads > 1 and heads * TILE_ROWS > _most_rows(words):
            heads -= 1
        c = {**_grouped(a, tier, heads), **mask}
        shape = _prefill_rows(words, TILE_ROWS * c["HEADS"])
    return {
        **c,
        **shape,
        "TILE_ROWS": TILE_ROWS,
        "workgroup": (shape["THREADS"], 1, 1),
        "variant": ["mask"] * a.mask + c["variant"],
    }


def _value_words(a: ScoreAttrs, tier: Tier, row_groups: int) -> Constants:
    """Who of a workgroup has which words of the output."""
    threads = PREFILL_THREADS
    width = 4 if a.kv == "int8" else 2 if tier == "f16" else 1
    words = a.D // width
    own = -(-words // threads)
    while words % own:
        own += 1
    columns = words // own
    groups = 1
    while 2 * groups * columns <= threads and 2 * groups <= row_groups:
        groups *= 2
    return {
        "WIDTH": width,
        "OWN": own,
        "COLUMNS": columns,
        "ROW_GROUPS": groups,
        "word": "f32" if width == 1 else "u32",
        "output": "f32" if width == 1 else f"vec{width}<f32>",
    }


def _most_rows(words: Constants) -> int:
    """Rows whose sums an invocation's registers hold."""
    return int(PREFILL_SUMS * words["ROW_GROUPS"] // (words["OWN"] * words["WIDTH"]))


def _prefill_rows(words: Constants, rows: int) -> Constants:
    return {
        **words,
        "THREADS": PREFILL_THREADS,
        "KEYS": PREFILL_THREADS,
        "ROWS": rows,
        "BLOCK": PREFILL_BLOCK,
        "TEAM": PREFILL_THREADS // _power_of_two(rows // 4),
    }


def prefill_grid(c: Constants, rows: int) -> Grid:
    return (c["KV"] * c["PARTS"], "q_tiles", 1)


def _prefill_teams(c: Constants, rows: int) -> Constants:
    own = -(-c["CHUNKS"] // 4)
    while rows > 4 and rows * c["D"] > TEAMS_NUMBERS:
        rows //= 2
    return {
        "THREADS": TEAMS_THREADS,
        "ROWS": rows,
        "OWN_CHUNKS": own,
        "RAGGED": c["CHUNKS"] != 4 * own,
        "SLACK": TEAMS_SLACK,
        "word": c["chunk"],
        "output": "vec4<f32>",
    }


def prefill_teams_grid(c: Constants, rows: int) -> Grid:
    return (c["H"], "q_tiles", TILE_ROWS // c["ROWS"])


SHARED_ROWS = 8
"""Sequences that a piece is shaped for; of more, it reads keys and values once for each so many."""
SHARED_QUERIES = 32
"""Most query heads that share a load."""


def shared(
    a: DecodeAttentionAttrs, tier: Tier, row_groups: int = 2, team_rows: int = 0
) -> Constants:
    """For the kernels of prefill, whose rows are here query heads of several sequences. row_groups,
    team_rows: as there."""
    c = _grouped(replace(a, sinks=False), tier, a.H)  # the merge adds sinks
    norm = a.qk_norm is not None
    if team_rows:
        shape = _prefill_teams(c, team_rows)
    else:
        words = _value_words(a, tier, row_groups)
        fixed = (4 + 16 + 4 * c["int8"]) * PREFILL_THREADS
        rows = (WORKGROUP_BYTES - fixed) // (4 * a.D + 4 * PREFILL_THREADS + 8)
        rows = min(rows, SHARED_QUERIES, _most_rows(words), _round_up(SHARED_ROWS * c["GROUP"]))
        shape = _prefill_rows(words, rows // PREFILL_BLOCK * PREFILL_BLOCK)
    return {
        **c,
        **shape,
        "shared": True,
        "mask": False,
        "qk_norm": norm,
        "eps": a.qk_norm or 0.0,
        "works": "works",
        "workgroup": (shape["THREADS"], 1, 1),
        "variant": ["qk_norm"] * norm + c["variant"],
        "parts_bytes": ("*", "parts", 4 * a.H * (a.D + 4)),
    }


def _round_up(queries: int) -> int:
    return -(-queries // PREFILL_BLOCK) * PREFILL_BLOCK


def shared_grid(c: Constants, rows: int) -> Grid:
    return (c["KV"], "shared_works", 1)


TEXT_THREADS = 32
TEXT_KEYS = 8


def text(a: TextAttentionAttrs, tier: Tier) -> Constants:
    return {
        "H": a.H,
        "D": a.D,
        "SCALE": a.scale,
        "QUADS": a.D // 4,
        "THREADS": TEXT_THREADS,
        "KEYS": TEXT_KEYS,
        "tokens": "tokens",
        "workgroup": (TEXT_THREADS, 1, 1),
        "variant": [],
    }


def text_grid(c: Constants, rows: int) -> Grid:
    return (c["H"], ceil_div("tokens", c["THREADS"]), 1)
