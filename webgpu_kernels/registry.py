"""The kernel table: one declarative row per WGSL kernel, and `lower`, which turns an op into launches.

A row says everything about a kernel: its source, bindings, uniform fields, constants, grid, the values its attributes
take, and its numpy twin. Declarations in WGSL, limits checks and the test matrix are made from the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .attrs import (
    AttentionAttrs,
    BadAttributeError,
    EmbedAttrs,
    LinearAttrs,
    LogprobsAttrs,
    OpAttrs,
    Quant,
    RopeAppendAttrs,
    SampleAttrs,
    parse,
)
from .launch import (
    MAX_BINDINGS,
    MAX_GRID,
    Access,
    Binding,
    Grid,
    KernelLaunch,
    Param,
    ScalarType,
    Tier,
    ceil_div,
)
from .template import render, workgroup_bytes

Constants = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """A storage binding of a row."""

    name: str
    type: str
    """WGSL element type; `{name}` stands for a constant."""
    access: Access = "read"
    when: tuple[str, ...] = ()
    """Constants that must all be true for the binding to exist."""
    nbytes: str | None = None
    """For scratch: the constant that holds its size."""


@dataclass(frozen=True)
class Field:
    """A uniform field of a row; `value` names the constant that holds its expression."""

    name: str
    dtype: ScalarType
    value: str
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """One row."""

    name: str
    attrs: type[OpAttrs]
    wgsl: str
    slots: tuple[Slot, ...]
    constants: Callable[[Any, Tier], Constants]
    """What the template, the slots and the grid need to know; `workgroup` is its size."""
    grid: Callable[[Constants, int], Grid]
    """From the constants and the matrix rows that the launch covers."""
    oracle: str
    """The numpy twin: a function of oracle.py."""
    fields: tuple[Field, ...] = ()
    mode: str | None = None
    """The value of attribute `mode` that this row serves."""
    variants: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Attribute values that select different code; tests cover them all."""


# --- constants ---------------------------------------------------------------------------------------------------


def _halves(tier: Tier) -> Constants:
    """How stored f16 is seen: as f16, or as words of two that unpack2x16float reads without shader-f16."""
    return {"words": tier == "f32", "half": "u32" if tier == "f32" else "f16"}


def _matrix(quant: Quant, columns: int, tier: Tier) -> Constants:
    """A weight matrix with rows of `columns` elements, and activations read beside it four at a time if possible."""
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


def _linear(a: LinearAttrs, tier: Tier) -> Constants:
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


def _gemv(a: LinearAttrs, tier: Tier) -> Constants:
    chunk = 32 if a.quant == "q4" else 4 if a.K % 4 == 0 else 1
    chunks = a.K // chunk
    lanes = 1
    while lanes < min(chunks, GEMV_THREADS):
        lanes *= 2
    teams = GEMV_THREADS // lanes
    count = max((end - begin for begin, end in a.row_splits), default=a.N) if a.row_splits else a.N
    blocks = -(-count // (teams * GEMV_COLUMNS))
    layers = -(-blocks // MAX_GRID)
    return {
        **_linear(a, tier),
        "THREADS": GEMV_THREADS,
        "workgroup": (GEMV_THREADS, 1, 1),
        "COLUMNS": GEMV_COLUMNS,
        "CHUNKS": chunks,
        "LANES": lanes,
        "TEAMS": teams,
        "GRID_X": -(-blocks // layers),
    }


def _gemv_grid(c: Constants, rows: int) -> Grid:
    blocks = -(-rows // (c["TEAMS"] * c["COLUMNS"]))
    return (min(blocks, c["GRID_X"]), c["rows"], -(-blocks // c["GRID_X"]))


GEMM_TILE = 64


def _gemm_grid(c: Constants, rows: int) -> Grid:
    return (ceil_div(rows, GEMM_TILE), ceil_div(c["rows"], GEMM_TILE), 1)


EMBED_THREADS = 64


def _embed(a: EmbedAttrs, tier: Tier) -> Constants:
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


def _embed_grid(c: Constants, rows: int) -> Grid:
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


def _rope_append(a: RopeAppendAttrs, tier: Tier) -> Constants:
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


def _rope_append_grid(c: Constants, rows: int) -> Grid:
    return (c["H"] + 2 * c["KV"], "tokens", 1)


ATTENTION_THREADS = 128
DECODE_TILE = 512
PREFILL_ROWS = 16
PREFILL_KEYS = 32


def _attention(a: AttentionAttrs, tier: Tier) -> Constants:
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


SAMPLE_THREADS = 256
SAMPLE_BLOCK = 1024


def _sample(a: SampleAttrs, tier: Tier) -> Constants:
    blocks = -(-a.vocab // SAMPLE_BLOCK)
    return {
        "VOCAB": a.vocab,
        "THREADS": SAMPLE_THREADS,
        "workgroup": (SAMPLE_THREADS, 1, 1),
        "BLOCK": SAMPLE_BLOCK,
        "BLOCKS": blocks,
        "RUN": -(-a.vocab // SAMPLE_THREADS),
        "SETTINGS": 16,
        "RESULT": 64,
        "TOP_IDS": 4,
        "TOP_LOGPROBS": 24,
        "TOP_MAX": 20,
        "LOWEST": -1e30,
        "adjusted_bytes": ("*", "seqs", 4 * a.vocab),
        "maxima_bytes": ("*", "seqs", 8 * blocks),
        "variant": [],
    }


# --- rows --------------------------------------------------------------------------------------------------------


def _matrix_slots(q4_type: str) -> tuple[Slot, ...]:
    return (
        Slot("q_weight", q4_type, when=("q4",)),
        Slot("q_scale", "{half}", when=("q4",)),
        Slot("weight", "{stored}", when=("dense",)),
    )


def _linear_slots(q4_type: str) -> tuple[Slot, ...]:
    up = (
        Slot(f"up_{slot.name}", slot.type, slot.access, (*slot.when, "glu"))
        for slot in _matrix_slots(q4_type)
    )
    return (
        Slot("x", "{value}"),
        *_matrix_slots(q4_type),
        *up,
        Slot("gamma", "{value}", when=("norm",)),
        Slot("bias", "f32", when=("bias",)),
        Slot("up_bias", "f32", when=("bias", "glu")),
        Slot("residual", "f32", when=("residual",)),
        Slot("rows", "i32", when=("gather",)),
        Slot("y", "f32", "read_write"),
    )


_SPLIT_FIELDS = (
    Field("row_begin", "u32", "row_begin", when=("split",)),
    Field("row_count", "u32", "row_count", when=("split",)),
)
_LINEAR_VARIANTS: Mapping[str, tuple[Any, ...]] = {
    "quant": ("q4", "f16", "f32"),
    "norm": (None, 1e-5),
    "bias": (False, True),
    "residual": (False, True),
    "glu": (False, True),
    "gather": (False, True),
    "row_splits": (None, "two"),
}
_PAGING = (
    Slot("positions", "i32"),
    Slot("token_seq", "i32"),
    Slot("page_table", "i32"),
)
_MAX_PAGES = (Field("max_pages", "u32", "max_pages"),)

KERNELS: tuple[Kernel, ...] = (
    Kernel(
        name="embed",
        attrs=EmbedAttrs,
        wgsl="embed.wgsl",
        slots=(
            Slot("token_ids", "i32"),
            *_matrix_slots("u32"),
            Slot("x", "{value}", "read_write"),
        ),
        fields=_SPLIT_FIELDS,
        constants=_embed,
        grid=_embed_grid,
        oracle="embed",
        variants={"quant": ("q4", "f16", "f32"), "row_splits": (None, "two")},
    ),
    Kernel(
        name="gemv",
        attrs=LinearAttrs,
        mode="gemv",
        wgsl="gemv.wgsl",
        slots=_linear_slots("vec4<u32>"),
        fields=_SPLIT_FIELDS,
        constants=_gemv,
        grid=_gemv_grid,
        oracle="linear",
        variants=_LINEAR_VARIANTS,
    ),
    Kernel(
        name="gemm",
        attrs=LinearAttrs,
        mode="gemm",
        wgsl="gemm.wgsl",
        slots=_linear_slots("u32"),
        fields=(Field("rows", "u32", "rows"), *_SPLIT_FIELDS),
        constants=_linear,
        grid=_gemm_grid,
        oracle="linear",
        variants=_LINEAR_VARIANTS,
    ),
    Kernel(
        name="rope_append",
        attrs=RopeAppendAttrs,
        wgsl="rope_append.wgsl",
        slots=(
            Slot("qkv", "f32"),
            Slot("inv_freq", "f32"),
            Slot("q_gamma", "f32", when=("qk_norm",)),
            Slot("k_gamma", "f32", when=("qk_norm",)),
            *_PAGING,
            Slot("kv_k", "{kv}", "read_write"),
            Slot("kv_v", "{kv}", "read_write"),
            Slot("q", "f32", "read_write"),
        ),
        fields=_MAX_PAGES,
        constants=_rope_append,
        grid=_rope_append_grid,
        oracle="rope_append",
        variants={"qk_norm": (None, 1e-6)},
    ),
    Kernel(
        name="attention_decode",
        attrs=AttentionAttrs,
        mode="decode",
        wgsl="attention_decode.wgsl",
        slots=(
            Slot("q", "vec4<f32>"),
            Slot("kv_k", "vec4<{kv}>"),
            Slot("kv_v", "vec4<{kv}>"),
            *_PAGING,
            Slot("y", "vec4<f32>", "read_write"),
        ),
        fields=_MAX_PAGES,
        constants=_attention,
        grid=lambda c, rows: (c["H"], "tokens", 1),
        oracle="attention",
    ),
    Kernel(
        name="attention_prefill",
        attrs=AttentionAttrs,
        mode="prefill",
        wgsl="attention_prefill.wgsl",
        slots=(
            Slot("q", "vec4<f32>"),
            Slot("kv_k", "vec4<{kv}>"),
            Slot("kv_v", "vec4<{kv}>"),
            *_PAGING,
            Slot("tile_start", "i32"),
            Slot("tile_len", "i32"),
            Slot("y", "vec4<f32>", "read_write"),
        ),
        fields=_MAX_PAGES,
        constants=_attention,
        grid=lambda c, rows: (c["H"], "q_tiles", 1),
        oracle="attention",
    ),
    Kernel(
        name="sample_adjust",
        attrs=SampleAttrs,
        wgsl="sample_adjust.wgsl",
        slots=(
            Slot("logits", "f32"),
            Slot("token_counts", "u32"),
            Slot("logit_bias", "f32"),
            Slot("slots", "i32"),
            Slot("sampling", "u32"),
            Slot("scratch0", "f32", "read_write", nbytes="adjusted_bytes"),
            Slot("scratch1", "vec2<f32>", "read_write", nbytes="maxima_bytes"),
        ),
        constants=_sample,
        grid=lambda c, rows: (c["BLOCKS"], "seqs", 1),
        oracle="adjust_logits",
    ),
    Kernel(
        name="sample_pick",
        attrs=SampleAttrs,
        wgsl="sample_pick.wgsl",
        slots=(
            Slot("scratch0", "f32", nbytes="adjusted_bytes"),
            Slot("scratch1", "vec2<f32>", nbytes="maxima_bytes"),
            Slot("slots", "i32"),
            Slot("sampling", "u32"),
            Slot("sampled", "u32", "read_write"),
            Slot("token_ids", "i32", "read_write"),
            Slot("token_counts", "u32", "read_write"),
        ),
        constants=_sample,
        grid=lambda c, rows: ("seqs", 1, 1),
        oracle="sample",
    ),
    Kernel(
        name="logprobs",
        attrs=LogprobsAttrs,
        wgsl="logprobs.wgsl",
        slots=(
            Slot("logits", "f32"),
            Slot("sampling", "u32"),
            Slot("sampled", "u32", "read_write"),
        ),
        constants=_sample,
        grid=lambda c, rows: ("seqs", 1, 1),
        oracle="logprobs",
    ),
)

OPS: dict[str, type[OpAttrs]] = {kernel.attrs.op: kernel.attrs for kernel in KERNELS}


# --- lowering ----------------------------------------------------------------------------------------------------


def lower(op: str, attrs: Mapping[str, Any], tier: Tier) -> list[KernelLaunch]:
    """The launches that compute `op`, in order; see attrs.py for the attributes of each op.

    Raises BadAttributeError for an unknown op or attributes that no kernel serves.
    """
    if op not in OPS:
        raise BadAttributeError(op, "op", f"is unknown; known ops are {', '.join(OPS)}")
    parsed = parse(OPS[op], attrs)
    rows = [row for row in KERNELS if row.attrs.op == op]
    rows = [row for row in rows if row.mode is None or row.mode == getattr(parsed, "mode", None)]
    return [launch for row in rows for launch in _launches(row, parsed, tier)]


def _launches(row: Kernel, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch]:
    constants = row.constants(attrs, tier)
    splits: tuple[tuple[int, int], ...] | None = getattr(attrs, "row_splits", None)
    if splits is None:
        return [_launch(row, constants, constants.get("N", 0), None)]
    return [
        _launch(
            row,
            {**constants, "row_begin": begin, "row_count": end - begin},
            end - begin,
            (begin, end),
        )
        for begin, end in splits
    ]


def _launch(row: Kernel, c: Constants, count: int, rows: tuple[int, int] | None) -> KernelLaunch:
    def present(item: Slot | Field) -> bool:
        return all(c[name] for name in item.when)

    slots = [slot for slot in row.slots if present(slot)]
    fields = [item for item in row.fields if present(item)]
    if len(slots) > MAX_BINDINGS:
        asked = ", ".join(slot.name for slot in slots)
        problem = f"give {len(slots)} bindings ({asked}); at most {MAX_BINDINGS} fit one kernel: use fewer fusions"
        raise BadAttributeError(row.attrs.op, ", ".join(c["variant"]), problem)
    types = [slot.type.format_map(c) for slot in slots]
    f16 = any("f16" in kind for kind in types)
    declared = {
        "slots": list(zip(slots, types, strict=True)),
        "fields": fields,
        "f16": f16,
    }
    name = "_".join([row.name, *([c["quant"]] if "quant" in c else [])])
    wgsl = render(
        row.wgsl, {**{k: v for k, v in c.items() if not k.startswith("row_")}, **declared}
    )
    return KernelLaunch(
        name=".".join([name, *c["variant"], *(["split"] if rows else [])]),
        wgsl=wgsl,
        workgroup_size=c["workgroup"],
        workgroup_bytes=workgroup_bytes(wgsl),
        bindings=tuple(
            Binding(slot.name, slot.access, c[slot.nbytes] if slot.nbytes else None)
            for slot in slots
        ),
        params=tuple(Param(item.name, item.dtype, c[item.value]) for item in fields),
        grid=row.grid(c, count),
        features=("shader-f16",) if f16 else (),
        rows=rows,
    )
