"""The kernel table: one declarative row per WGSL kernel, and `lower`, which turns an op into
launches.

A row says everything about a kernel: its source, bindings, uniform fields, constants, grid, the
values that its attributes take, and its numpy twin. Declarations in WGSL, checks of limits and the
test matrix are made from the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from . import constants
from .attrs import (
    AttentionAttrs,
    BadAttributeError,
    EmbedAttrs,
    LinearAttrs,
    LogprobsAttrs,
    OpAttrs,
    RopeAppendAttrs,
    SampleAttrs,
    parse,
)
from .constants import Constants
from .launch import (
    MAX_BINDINGS,
    Access,
    Binding,
    Grid,
    KernelLaunch,
    Param,
    ScalarType,
    Suits,
    Tier,
)
from .template import render, workgroup_bytes


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
class Tuning:
    """One way to run a row: constants, or a source of its own, for the same op and bindings."""

    name: str
    """Key in tuning records."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """What the row's `constants` gets as keyword arguments."""
    features: tuple[str, ...] = ()
    """WebGPU features beyond the tier's, such as `subgroups`."""
    suits: Suits = "any"
    wgsl: str | None = None
    """Its own template, instead of the row's."""
    grid: Callable[[Constants, int], Grid] | None = None
    """Its own grid, instead of the row's."""
    serves: Callable[[Any, Tier], bool] = lambda attrs, tier: True
    """Whether it can run an op with these attributes; the first tuning of a row always can."""


@dataclass(frozen=True)
class Kernel:
    """One row."""

    name: str
    attrs: type[OpAttrs]
    wgsl: str
    slots: tuple[Slot, ...]
    constants: Callable[..., Constants]
    """Of attributes, tier and a tuning's keywords: what the template, the slots and the grid need
    to know; `workgroup` is its size."""
    grid: Callable[[Constants, int], Grid]
    """From the constants and the matrix rows that the launch covers."""
    oracle: str
    """The numpy twin: a function of oracle.py."""
    fields: tuple[Field, ...] = ()
    mode: str | None = None
    """The value of attribute `mode` that this row serves."""
    variants: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Attribute values that select different code; tests cover them all."""
    tunings: tuple[Tuning, ...] = (Tuning("default"),)
    """The first runs anywhere; the others are its alternatives, best first."""


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
        constants=constants.embed,
        grid=constants.embed_grid,
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
        constants=constants.gemv,
        grid=constants.gemv_grid,
        oracle="linear",
        variants=_LINEAR_VARIANTS,
        # Alone with its rows, an invocation reads x at addresses that all share: one load for all.
        tunings=(Tuning("default"), Tuning("lanes1", {"lanes": 1}, suits="cpu")),
    ),
    Kernel(
        name="gemm",
        attrs=LinearAttrs,
        mode="gemm",
        wgsl="gemm.wgsl",
        slots=_linear_slots("u32"),
        fields=(Field("rows", "u32", "rows"), *_SPLIT_FIELDS),
        constants=constants.linear,
        grid=constants.gemm_grid,
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
        constants=constants.rope_append,
        grid=constants.rope_append_grid,
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
        # Unrolled, a loop over the columns takes software adapters many seconds to compile.
        fields=(*_MAX_PAGES, Field("columns", "u32", "COLUMNS")),
        constants=constants.attention,
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
        constants=constants.attention,
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
            Slot("scratch1", "vec4<f32>", "read_write", nbytes="blocks_bytes"),
        ),
        constants=constants.sample_adjust,
        grid=lambda c, rows: (c["GROUPS"], "seqs", 1),
        oracle="adjust_logits",
    ),
    Kernel(
        name="sample_pick",
        attrs=SampleAttrs,
        wgsl="sample_pick.wgsl",
        slots=(
            Slot("scratch0", "f32", nbytes="adjusted_bytes"),
            Slot("scratch1", "vec4<f32>", nbytes="blocks_bytes"),
            Slot("slots", "i32"),
            Slot("sampling", "u32"),
            Slot("sampled", "u32", "read_write"),
            Slot("token_ids", "i32", "read_write"),
            Slot("token_counts", "u32", "read_write"),
        ),
        # As a constant, it has software adapters unroll loops and take many seconds to compile.
        fields=(Field("sixteen", "u32", "SIXTEEN"),),
        constants=constants.sample,
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
        constants=constants.sample,
        grid=lambda c, rows: ("seqs", 1, 1),
        oracle="logprobs",
    ),
)

_SHAPE = ("N", "K", "VOCAB", "H", "KV", "D")
"""Constants that say how large an op is: part of a tuning record's key."""

OPS: dict[str, type[OpAttrs]] = {kernel.attrs.op: kernel.attrs for kernel in KERNELS}


def lower(op: str, attrs: Mapping[str, Any], tier: Tier) -> list[KernelLaunch]:
    """The launches that compute `op`, in order; see attrs.py for the attributes of each op.

    Raises BadAttributeError for an unknown op or attributes that no kernel serves.
    """
    if op not in OPS:
        raise BadAttributeError(op, "op", f"is unknown; known ops are {', '.join(OPS)}")
    return list(_lower(parse(OPS[op], attrs), tier))


@cache
def _lower(attrs: OpAttrs, tier: Tier) -> tuple[KernelLaunch, ...]:
    """A model asks for the same few ops in every layer."""
    mode = getattr(attrs, "mode", None)
    rows = [row for row in KERNELS if row.attrs is type(attrs) and row.mode in (None, mode)]
    return tuple(launch for row in rows for launch in _launches(row, attrs, tier))


def _launches(row: Kernel, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch]:
    tunings = [tuning for tuning in row.tunings if tuning.serves(attrs, tier)]
    first, *others = (_tuned(row, tuning, attrs, tier) for tuning in tunings)
    return [
        replace(launch, alternatives=tuple(alternatives))
        for launch, *alternatives in zip(first, *others, strict=True)
    ]


def _tuned(row: Kernel, tuning: Tuning, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch]:
    """The launches of a row under one of its tunings: one for each piece of a cut matrix."""
    c = row.constants(attrs, tier, **tuning.constants)
    splits: tuple[tuple[int, int], ...] | None = getattr(attrs, "row_splits", None)
    if splits is None:
        return [_launch(row, tuning, c, c.get("N", 0), None)]
    return [
        _launch(
            row,
            tuning,
            {**c, "row_begin": begin, "row_count": end - begin},
            end - begin,
            (begin, end),
        )
        for begin, end in splits
    ]


def _launch(
    row: Kernel, tuning: Tuning, c: Constants, count: int, rows: tuple[int, int] | None
) -> KernelLaunch:
    def present(item: Slot | Field) -> bool:
        return all(c[name] for name in item.when)

    slots = [slot for slot in row.slots if present(slot)]
    fields = [item for item in row.fields if present(item)]
    if len(slots) > MAX_BINDINGS:
        asked = ", ".join(slot.name for slot in slots)
        problem = f"give {len(slots)} bindings ({asked}); at most {MAX_BINDINGS}: use fewer fusions"
        raise BadAttributeError(row.attrs.op, ", ".join(c["variant"]), problem)
    types = [slot.type.format_map(c) for slot in slots]
    f16 = any("f16" in kind for kind in types)
    declared = {
        "slots": list(zip(slots, types, strict=True)),
        "fields": fields,
        "f16": f16,
        "subgroups": "subgroups" in tuning.features,
    }
    name = "_".join([row.name, *([c["quant"]] if "quant" in c else [])])
    wgsl = render(
        tuning.wgsl or row.wgsl,
        {**{k: v for k, v in c.items() if not k.startswith("row_")}, **declared},
    )
    variant = ".".join([name, *c["variant"], *(["split"] if rows else [])])
    return KernelLaunch(
        name=".".join([variant, *([tuning.name] if tuning is not row.tunings[0] else [])]),
        wgsl=wgsl,
        workgroup_size=c["workgroup"],
        workgroup_bytes=workgroup_bytes(wgsl),
        bindings=tuple(
            Binding(slot.name, slot.access, c[slot.nbytes] if slot.nbytes else None)
            for slot in slots
        ),
        params=tuple(Param(item.name, item.dtype, c[item.value]) for item in fields),
        grid=(tuning.grid or row.grid)(c, count),
        features=(*(["shader-f16"] if f16 else []), *tuning.features),
        rows=rows,
        tuning=tuning.name,
        suits=tuning.suits,
        tuning_key=" ".join([variant, *(f"{k}={c[k]}" for k in _SHAPE if k in c)]),
    )
