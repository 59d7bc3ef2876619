"""The kernel table: one declarative row per WGSL kernel, and `lower`, which turns an op into
launches.

A row says everything about a kernel: its source, bindings, uniform fields, constants, grid, the
values that its attributes take, and its numpy twin. Declarations in WGSL, checks of limits and the
test matrix are made from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from . import attention, constants, gemm, gemv
from .attrs import (
    COLUMNS,
    AttentionAttrs,
    BadAttributeError,
    DecodeAttentionAttrs,
    EmbedAttrs,
    LinearAttrs,
    LogprobsAttrs,
    OpAttrs,
    RopeAppendAttrs,
    SampleAttrs,
    TextAttentionAttrs,
    parse,
)
from .constants import Constants
from .launch import (
    F32_MATRICES,
    MAX_BINDINGS,
    NARROW,
    Binding,
    KernelLaunch,
    Param,
    Tier,
)
from .packing import PACKINGS
from .row import Field, Kernel, Slot, Tuning
from .template import render, workgroup_bytes


def _matrix_slots(word: str) -> tuple[Slot, ...]:
    return (
        Slot("q_weight", word, when=("grouped",)),
        Slot("q_scale", "{half}", when=("grouped",)),
        Slot("weight", "{stored}", when=("dense",)),
    )


def _linear_slots(word: str) -> tuple[Slot, ...]:
    up = (
        Slot(f"up_{slot.name}", slot.type, slot.access, (*slot.when, "glu"))
        for slot in _matrix_slots(word)
    )
    return (
        Slot("x", "{value}"),
        *_matrix_slots(word),
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
# The same for all kernels of `linear`, with any number of columns, so that a launch can run either.
# K: unrolled, a loop over it takes software adapters many seconds to compile.
_LINEAR_FIELDS = (Field("rows", "u32", "rows"), Field("k", "u32", "K"), *_SPLIT_FIELDS)
_LINEAR_VARIANTS: Mapping[str, tuple[Any, ...]] = {
    "quant": ("q4", "q8", "f16", "f32"),
    "norm": (None, 1e-5),
    "bias": (False, True),
    "residual": (False, True),
    "glu": (False, True),
    "gather": (False, True),
    "row_splits": (None, "two"),
}
_MAX_PAGES = (Field("max_pages", "u32", "max_pages"),)
# Unrolled, a loop over the chunks takes software adapters many seconds to compile.
_CHUNKS = Field("chunks", "u32", "CHUNKS")
_NEW_TOKEN = (
    Slot("qkv", "vec4<f32>"),
    Slot("inv_freq", "vec4<f32>"),
    Slot("q_gamma", "vec4<f32>", when=("qk_norm",)),
    Slot("k_gamma", "vec4<f32>", when=("qk_norm",)),
    Slot("positions", "i32"),
    Slot("page_table", "i32"),
)
_PAGES = (Slot("kv_k", "{chunk}", "read_write"), Slot("kv_v", "{values}", "read_write"))
_SINKS = Slot("sinks", "f32", when=("sinks",))
_ATTENTION_VARIANTS: Mapping[str, tuple[Any, ...]] = {
    "window": (None, 20),
    "softcap": (None, 5.0),
    "sinks": (False, True),
    "kv": ("float", "int8"),
}
_DECODE_VARIANTS = {**_ATTENTION_VARIANTS, "qk_norm": (None, 1e-6)}
_DECODE_TUNINGS = (
    Tuning("default"),
    Tuning(
        "teams",
        {"teams": True},
        features=("subgroups",),
        suits="cpu",
        wgsl="attention_teams.wgsl",
        serves=attention.halves_of_chunks,
    ),
    Tuning(
        "narrow",
        {"heads": 4},
        features=(NARROW,),
        serves=lambda attrs, tier: attrs.H // attrs.KV > 4,
    ),
)

_PREFILL_TUNINGS = (
    Tuning("default"),
    Tuning(
        "teams",
        {"team_rows": 8},
        features=("subgroups",),
        suits="cpu",
        wgsl="attention_prefill_teams.wgsl",
    ),
)

KERNELS: tuple[Kernel, ...] = (
    Kernel(
        name="embed",
        attrs=EmbedAttrs,
        wgsl="embed.wgsl",
        slots=(
            Slot("token_ids", "i32"),
            Slot("last_tokens", "i32"),
            *_matrix_slots("u32"),
            Slot("x", "{value}", "read_write"),
        ),
        fields=_SPLIT_FIELDS,
        constants=constants.embed,
        grid=constants.embed_grid,
        oracle="embed",
        variants={"quant": ("q4", "q8", "f16", "f32"), "row_splits": (None, "two")},
    ),
    Kernel(
        name="gemv",
        attrs=LinearAttrs,
        mode="gemv",
        wgsl="gemv.wgsl",
        slots=_linear_slots("vec4<u32>"),
        fields=_LINEAR_FIELDS,
        constants=gemv.constants,
        grid=gemv.grid,
        oracle="linear",
        variants={**_LINEAR_VARIANTS, "columns": (1, *COLUMNS)},
        tunings=(
            Tuning("default"),
            Tuning(
                "narrow",
                {"narrow": True},
                features=("subgroups", NARROW),
                serves=lambda attrs, tier: gemv.narrow_rows(attrs, tier) < 4,
            ),
            Tuning("subgroups", features=("subgroups",)),
            Tuning(
                "subgroups8",
                {"team_rows": 8},
                features=("subgroups",),
                serves=lambda attrs, tier: attrs.columns == 1,
            ),
            Tuning(
                "teams",
                {"cores": True, "exchange": True},
                features=("subgroups",),
                suits="cpu",
                wgsl="gemv_teams.wgsl",
                serves=gemv.packed,
            ),
            Tuning(
                "cpu",
                {"cores": True},
                suits="cpu",
                wgsl="gemv_cpu.wgsl",
                serves=lambda attrs, tier: not gemv.packed(attrs, tier),
            ),
        ),
    ),
    Kernel(
        name="gemm",
        attrs=LinearAttrs,
        mode="gemm",
        wgsl="gemm.wgsl",
        slots=_linear_slots("u32"),
        fields=_LINEAR_FIELDS,
        constants=gemm.tiles,
        grid=gemm.grid,
        oracle="linear",
        variants=_LINEAR_VARIANTS,
        tunings=(
            Tuning("rows32"),
            Tuning(
                "packed",
                {"rows": 64},
                wgsl="gemm_packed.wgsl",
                serves=lambda attrs, tier: attrs.quant in PACKINGS,
                approximate=True,
            ),
            # Higher tiles read weights less often; lower ones keep more of a GPU busy.
            Tuning("rows64", {"rows": 64}, suits="measured"),
            Tuning("rows16", {"rows": 16}, suits="measured"),
            # Apple's GPUs have units for it; not measured on any yet.
            Tuning(
                "matrix",
                {"matrix": True},
                features=("subgroups", F32_MATRICES),
                suits="measured",
                wgsl="gemm_matrix.wgsl",
                serves=lambda attrs, tier: attrs.K % 32 == 0,
            ),
            Tuning(
                "lanes8",
                {"lanes": True, "rows": 8},
                features=("subgroups",),
                suits="cpu",
                wgsl="gemm_lanes.wgsl",
                serves=lambda attrs, tier: attrs.K % 4 == 0,
            ),
        ),
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
            Slot("positions", "i32"),
            Slot("token_seq", "i32"),
            Slot("page_table", "i32"),
            Slot("kv_k", "{element}", "read_write"),
            Slot("kv_v", "{element}", "read_write"),
            Slot("q", "f32", "read_write"),
        ),
        fields=_MAX_PAGES,
        constants=attention.rope_append,
        grid=attention.rope_append_grid,
        oracle="rope_append",
        variants={"qk_norm": (None, 1e-6), "kv": ("float", "int8")},
    ),
    Kernel(
        name="attention_decode",
        attrs=DecodeAttentionAttrs,
        mode="whole",
        wgsl="attention_decode.wgsl",
        slots=(*_NEW_TOKEN, *_PAGES, _SINKS, Slot("y", "vec4<f32>", "read_write")),
        fields=(*_MAX_PAGES, _CHUNKS),
        constants=attention.decode,
        grid=attention.decode_grid,
        oracle="decode_attention",
        variants=_DECODE_VARIANTS,
        tunings=_DECODE_TUNINGS,
    ),
    Kernel(
        name="attention_partial",
        attrs=DecodeAttentionAttrs,
        mode="split",
        wgsl="attention_decode.wgsl",
        slots=(
            *_NEW_TOKEN,
            Slot("work", "vec4<i32>"),
            *_PAGES,
            Slot("scratch0", "vec4<f32>", "read_write", nbytes="parts_bytes"),
        ),
        fields=(*_MAX_PAGES, _CHUNKS),
        constants=attention.decode,
        grid=attention.decode_grid,
        oracle="decode_attention",
        variants=_DECODE_VARIANTS,
        tunings=_DECODE_TUNINGS,
    ),
    Kernel(
        name="attention_shared",
        attrs=DecodeAttentionAttrs,
        mode="split",
        wgsl="attention_prefill.wgsl",
        slots=(
            Slot("qkv", "vec4<f32>"),
            Slot("inv_freq", "vec4<f32>"),
            Slot("q_gamma", "vec4<f32>", when=("qk_norm",)),
            Slot("positions", "i32"),
            Slot("page_table", "i32"),
            Slot("work", "vec4<i32>"),
            Slot("kv_k", "{chunk}"),
            Slot("kv_v", "{word}"),
            Slot("scratch0", "{output}", "read_write", nbytes="parts_bytes"),
        ),
        fields=(*_MAX_PAGES, _CHUNKS, Field("works", "u32", "works")),
        constants=attention.shared,
        grid=attention.shared_grid,
        oracle="decode_attention",
        variants={**_DECODE_VARIANTS, "page_size": (16, 32)},
        tunings=_PREFILL_TUNINGS,
    ),
    Kernel(
        name="attention_merge",
        attrs=DecodeAttentionAttrs,
        mode="split",
        wgsl="attention_merge.wgsl",
        slots=(
            Slot("scratch0", "vec4<f32>", nbytes="parts_bytes"),
            Slot("work_rows", "i32"),
            _SINKS,
            Slot("y", "vec4<f32>", "read_write"),
        ),
        constants=attention.merge,
        grid=attention.merge_grid,
        oracle="decode_attention",
    ),
    Kernel(
        name="attention_prefill",
        attrs=AttentionAttrs,
        wgsl="attention_prefill.wgsl",
        slots=(
            Slot("q", "vec4<f32>"),
            Slot("kv_k", "{chunk}"),
            Slot("kv_v", "{word}"),
            Slot("page_table", "i32"),
            Slot("tiles", "vec4<i32>"),
            Slot("mask", "u32", when=("mask",)),
            _SINKS,
            Slot("y", "{output}", "read_write"),
        ),
        fields=(*_MAX_PAGES, _CHUNKS, Field("mask_words", "u32", "mask_words", when=("mask",))),
        constants=attention.prefill,
        grid=attention.prefill_grid,
        oracle="attention",
        variants={**_ATTENTION_VARIANTS, "mask": (False, True)},
        tunings=(
            _PREFILL_TUNINGS[0],
            replace(_PREFILL_TUNINGS[1], grid=attention.prefill_teams_grid),
            Tuning(
                "narrow",
                {"heads": 1},
                features=(NARROW,),
                serves=lambda attrs, tier: attrs.H > attrs.KV,
            ),
        ),
    ),
    Kernel(
        name="text_attention",
        attrs=TextAttentionAttrs,
        wgsl="text_attention.wgsl",
        slots=(
            Slot("qkv", "vec4<f32>"),
            Slot("token_seq", "i32"),
            Slot("texts", "vec4<i32>"),
            Slot("y", "vec4<f32>", "read_write"),
        ),
        fields=(Field("tokens", "u32", "tokens"), Field("quads", "u32", "QUADS")),
        constants=attention.text,
        grid=attention.text_grid,
        oracle="text_attention",
    ),
    Kernel(
        name="sample_adjust",
        attrs=SampleAttrs,
        wgsl="sample_adjust.wgsl",
        slots=(
            Slot("logits", "f32"),
            Slot("token_counts", "u32"),
            Slot("logit_bias", "f32"),
            Slot("masks", "u32"),
            Slot("slots", "i32"),
            Slot("sampling", "u32"),
            Slot("scratch0", "f32", "read_write", nbytes="adjusted_bytes"),
            Slot("scratch1", "vec4<f32>", "read_write", nbytes="blocks_bytes"),
        ),
        constants=constants.sample_adjust,
        grid=lambda c, rows: (c["GROUPS"], "outs", 1),
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
            Slot("last_tokens", "i32", "read_write"),
            Slot("token_counts", "u32", "read_write"),
            Slot("masks", "u32", "read_write"),
        ),
        # As a constant, it has software adapters unroll loops and take many seconds to compile.
        fields=(Field("sixteen", "u32", "SIXTEEN"),),
        constants=constants.sample,
        grid=lambda c, rows: ("outs", 1, 1),
        oracle="sample",
        variants={"limits": (True, False)},
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
        grid=lambda c, rows: ("outs", 1, 1),
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
    return tuple(launch for row in rows_of(attrs) for launch in lower_row(row, attrs, tier))


def rows_of(attrs: OpAttrs) -> list[Kernel]:
    """The rows that compute an op, in order."""
    mode = getattr(attrs, "mode", None)
    return [row for row in KERNELS if row.attrs is type(attrs) and row.mode in (None, mode)]


def lower_row(row: Kernel, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch]:
    """The launches of one row, with its other tunings as alternatives, where these have code of
    their own: packs know a kernel by its code."""
    tunings = [tuning for tuning in row.tunings if allowed(tuning, attrs, tier)]
    first, *others = (lower_tuned(row, tuning, attrs, tier) for tuning in tunings)
    return [
        replace(launch, alternatives=distinct(launch, alternatives))
        for launch, *alternatives in zip(first, *others, strict=True)
    ]


def distinct(first: KernelLaunch, others: Iterable[KernelLaunch]) -> tuple[KernelLaunch, ...]:
    """Those with code of their own: packs know kernels by their code."""
    known = {first.wgsl: first}
    for other in others:
        known.setdefault(other.wgsl, other)
    return tuple(known.values())[1:]


def allowed(tuning: Tuning, attrs: OpAttrs, tier: Tier) -> bool:
    """Whether an op with these attributes may run so."""
    approximate = getattr(attrs, "approximate", False)
    return tuning.serves(attrs, tier) and (approximate or not tuning.approximate)


def lower_tuned(row: Kernel, tuning: Tuning, attrs: OpAttrs, tier: Tier) -> list[KernelLaunch]:
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
        "subgroup_matrix": F32_MATRICES in tuning.features,
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
        approximate=tuning.approximate,
        suits=tuning.suits,
        tuning_key=" ".join([variant, *(f"{k}={c[k]}" for k in _SHAPE if k in c)]),
    )
