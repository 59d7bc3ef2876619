"""Operations that Relax lacks: calls of the graph that the compiler knows by name.

Each is a `call_dps_packed("webbuild.<op>", …)` whose last argument is a JSON object of static
attributes. The compiler sends them to the kernel library, or lowers them to TIR of its own
(`webbuild.compile.domain`). docs/architecture.md, "Library ops", gives their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tvm import relax
from tvm.ir import StringImm
from tvm.relax.frontend.nn import Tensor

PREFIX = "webbuild."

PAGE_SIZE = 16
"""Tokens per KV page."""


def domain_call(
    op: str,
    args: Sequence[relax.Expr],
    out: relax.TensorType,
    attrs: Mapping[str, Any],
) -> relax.Call:
    """The Relax call of a domain op. `out` is the type of its one output."""
    text = StringImm(json.dumps(attrs, sort_keys=True))
    return relax.op.call_dps_packed(PREFIX + op, relax.Tuple([*args, text]), out)


def _emit(
    op: str, args: Sequence[Tensor], shape: Sequence[Any], attrs: Mapping[str, Any]
) -> Tensor:
    out = relax.TensorType([*shape], "float32")
    call = domain_call(op, [arg._expr for arg in args], out, attrs)
    return Tensor(_expr=relax.BlockBuilder.current().emit(call, name_hint=op))


def rope_append(
    qkv: Tensor,
    inv_freq: Tensor,
    qk_norm: tuple[Tensor, Tensor] | None,
    pages: tuple[Tensor, Tensor, Tensor],
    kv: tuple[Tensor, Tensor],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    norm_eps: float,
) -> Tensor:
    """Rotates q and k, writes k and v into their pages, returns q: f32[tokens, heads * head_dim].

    pages: positions, token_seq, page_table. kv: this layer's K and V pages, *changed in place*:
    a side effect that Relax does not see. What orders it is the returned q, which attention needs.
    """
    attrs = {
        "H": heads,
        "KV": kv_heads,
        "D": head_dim,
        "qk_norm": norm_eps if qk_norm else None,
        "page_size": PAGE_SIZE,
    }
    args = [qkv, inv_freq, *(qk_norm or ()), *pages, *kv]
    return _emit("rope_append", args, [qkv.shape[0], heads * head_dim], attrs)


def attention(
    q: Tensor,
    pages: tuple[Tensor, Tensor, Tensor],
    tiles: tuple[Tensor, Tensor] | None,
    kv: tuple[Tensor, Tensor],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
) -> Tensor:
    """Causal attention over the pages: f32[tokens, heads * head_dim].

    tiles: tile_start and tile_len, in prefill; None in decode.
    """
    attrs = {
        "H": heads,
        "KV": kv_heads,
        "D": head_dim,
        "scale": head_dim**-0.5,
        "mode": "prefill" if tiles else "decode",
        "page_size": PAGE_SIZE,
    }
    args = [q, *kv, *pages, *(tiles or ())]
    return _emit("attention", args, [q.shape[0], heads * head_dim], attrs)
