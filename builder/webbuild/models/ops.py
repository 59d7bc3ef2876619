"""Operations that Relax lacks: calls of the graph that the compiler knows by name.

Each is a `call_dps_packed("webbuild.<op>", …)` whose last argument is a JSON object: static
attributes and the operands' names. The compiler sends them to the kernel library, or lowers them to
TIR of its own (`webbuild.compile.domain`). docs/architecture.md, "Library ops", gives their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax
from tvm.ir import StringImm
from tvm.relax.frontend.nn import Tensor

from webbuild.schema.program import KvStore

PREFIX = "webbuild."
LIBRARY = "library."
"""In place of PREFIX once the compiler has chosen a kernel of the library."""

PAGE_SIZE = 16
"""Tokens per KV page."""

PAGES = ("positions", "token_seq", "page_table")
WORKS = ("work", "work_rows")
KV = ("kv_k", "kv_v")
INT8_LENGTHS = 2
"""Words after the int8 steps of a key: the lengths of its steps and of its value's, as f32."""


def domain_call(
    op: str,
    inputs: Mapping[str, relax.Expr],
    output: str,
    out: relax.TensorType,
    attrs: Mapping[str, Any],
    prefix: str = PREFIX,
) -> relax.Call:
    """The Relax call of a domain op.

    inputs: operands by the names that kernels give them, output: what they call the result.
    """
    about = {"attrs": attrs, "inputs": list(inputs), "output": output}
    text = StringImm(json.dumps(about, sort_keys=True))
    return relax.op.call_dps_packed(prefix + op, relax.Tuple([*inputs.values(), text]), out)


@dataclass(frozen=True)
class DomainCall:
    """A call of a domain op, read back from the graph."""

    op: str
    attrs: dict[str, Any]
    inputs: dict[str, relax.Expr]
    output: str


def read_domain_call(
    callee: relax.Expr, args: Sequence[relax.Expr], prefix: str = PREFIX
) -> DomainCall | None:
    """The domain call of external function `callee`; None if its name has another prefix.

    args: the operands and the JSON text, then nothing (the output may follow, and is ignored).
    """
    name = getattr(callee, "global_symbol", None)
    if name is None or not name.startswith(prefix):
        return None
    place = next(i for i, arg in enumerate(args) if isinstance(arg, StringImm))
    about = json.loads(args[place].value)
    inputs = dict(zip(about["inputs"], args[:place], strict=True))
    return DomainCall(name.removeprefix(prefix), about["attrs"], inputs, about["output"])


def _emit(
    op: str, inputs: Mapping[str, Tensor], output: str, columns: int, attrs: Mapping[str, Any]
) -> Tensor:
    first = next(iter(inputs.values()))
    out = relax.TensorType([first.shape[0], columns], "float32")
    exprs = {name: tensor._expr for name, tensor in inputs.items()}
    call = domain_call(op, exprs, output, out, attrs)
    return Tensor(_expr=relax.BlockBuilder.current().emit(call, name_hint=op))


def _named(names: Sequence[str], tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return dict(zip(names, tensors, strict=True))


def resolve(token_ids: Tensor, last_tokens: Tensor) -> Tensor:
    """i32[tokens]: each id itself, or for a negative one the token that slot -1 - id drew last."""
    out = relax.TensorType([token_ids.shape[0]], "int32")
    inputs = {"token_ids": token_ids._expr, "last_tokens": last_tokens._expr}
    call = domain_call("resolve", inputs, "ids", out, {})
    return Tensor(_expr=relax.BlockBuilder.current().emit(call, name_hint="ids"))


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
        "kv": _store(kv),
    }
    inputs = {"qkv": qkv, "inv_freq": inv_freq}
    if qk_norm:
        inputs |= {"q_gamma": qk_norm[0], "k_gamma": qk_norm[1]}
    inputs |= _named(PAGES, pages) | _named(KV, kv)
    return _emit("rope_append", inputs, "q", heads * head_dim, attrs)


def attention(
    q: Tensor,
    pages: tuple[Tensor, Tensor, Tensor],
    tiles: Tensor,
    kv: tuple[Tensor, Tensor],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
) -> Tensor:
    """Causal attention over the pages: f32[tokens, heads * head_dim].

    tiles: how the tokens go to workgroups.
    """
    attrs = {
        "H": heads,
        "KV": kv_heads,
        "D": head_dim,
        "scale": head_dim**-0.5,
        "page_size": PAGE_SIZE,
        "kv": _store(kv),
    }
    inputs = {"q": q} | _named(KV, kv) | _named(PAGES, pages) | {"tiles": tiles}
    return _emit("attention", inputs, "y", heads * head_dim, attrs)


def decode_attention(
    qkv: Tensor,
    inv_freq: Tensor,
    qk_norm: tuple[Tensor, Tensor] | None,
    pages: tuple[Tensor, Tensor, Tensor],
    works: tuple[Tensor, Tensor] | None,
    kv: tuple[Tensor, Tensor],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    norm_eps: float,
) -> Tensor:
    """rope_append and attention of one new token for each sequence: f32[seqs, heads * head_dim].

    Row i is sequence i; token_seq says so to what is not a kernel of the library.
    works: work and work_rows, if contexts are cut into pieces.
    """
    attrs = decode_attention_attrs(
        heads, kv_heads, head_dim, norm_eps if qk_norm else None, works is not None, _store(kv)
    )
    inputs = {"qkv": qkv, "inv_freq": inv_freq}
    if qk_norm:
        inputs |= {"q_gamma": qk_norm[0], "k_gamma": qk_norm[1]}
    inputs |= _named(PAGES, pages) | _named(KV, kv)
    if works:
        inputs |= _named(WORKS, works)
    return _emit("decode_attention", inputs, "y", heads * head_dim, attrs)


def text_attention(
    qkv: Tensor, token_seq: Tensor, texts: Tensor, *, heads: int, head_dim: int
) -> Tensor:
    """Attention of each token to all of its text: f32[tokens, heads * head_dim].

    texts: i32[seqs, 4], of which the first two are a text's first row and the row behind it.
    """
    attrs = {"H": heads, "D": head_dim, "scale": head_dim**-0.5}
    inputs = {"qkv": qkv, "token_seq": token_seq, "texts": texts}
    return _emit("text_attention", inputs, "y", heads * head_dim, attrs)


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * gamma + beta over the last axis: f32[tokens, n]."""
    inputs = {"x": x, "gamma": gamma, "beta": beta}
    return _emit("layer_norm", inputs, "y", int(gamma.shape[0]), {"eps": eps})


def gelu(x: Tensor) -> Tensor:
    """x Φ(x), by the error function: f32[tokens, n]."""
    return _emit("gelu", {"x": x}, "y", int(x.shape[1]), {})


def pool(x: Tensor, texts: Tensor) -> Tensor:
    """Means of rows of x, of each text those that the last two of `texts` say: f32[seqs, n]."""
    return _emit("pool", {"texts": texts, "x": x}, "y", int(x.shape[1]), {})


def decode_attention_attrs(
    heads: int,
    kv_heads: int,
    head_dim: int,
    qk_norm: float | None,
    split: bool,
    kv: KvStore = "float",
) -> dict[str, Any]:
    """What the library is told of decode_attention."""
    return {
        "H": heads,
        "KV": kv_heads,
        "D": head_dim,
        "scale": head_dim**-0.5,
        "mode": "split" if split else "whole",
        "qk_norm": qk_norm,
        "page_size": PAGE_SIZE,
        "kv": kv,
    }


def page_shapes(kv_heads: int, head_dim: int, kv: KvStore) -> tuple[list[int], list[int]]:
    """The shape of a page of a layer's keys, and of its values: of floats, or of u32 words."""
    row = head_dim if kv == "float" else head_dim // 4
    more = 0 if kv == "float" else INT8_LENGTHS
    return [kv_heads, PAGE_SIZE, row + more], [kv_heads, PAGE_SIZE, row]


def _store(kv: tuple[Tensor, Tensor]) -> KvStore:
    """How pages of this type keep keys and values."""
    return "int8" if kv[0].dtype == "uint32" else "float"
