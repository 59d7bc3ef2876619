"""An encoder's own ops as plain TIR and TE, as `domain` has them of decoders."""
# TVMScript's annotations are code of its own, which mypy cannot read.
# mypy: ignore-errors

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tvm import te, tirx
from tvm.script import tirx as T  # noqa: N812

from .domain import LOWEST, OPAQUE


def text_attention(attrs: Mapping[str, Any]) -> tirx.PrimFunc:
    """softmax(q·kᵀ·scale)·v over all tokens of a token's text.

    One block per token and head, with the running maximum, sum and output of an online softmax.
    """
    H, D, scale = attrs["H"], attrs["D"], attrs["scale"]

    @T.prim_func(private=True, s_tir=True)
    def text_attention(qkv_: T.handle, token_seq_: T.handle, texts_: T.handle, y_: T.handle):
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        tokens, seqs = T.int64(), T.int64()
        qkv = T.match_buffer(qkv_, (tokens, 3 * H * D), "float32")
        token_seq = T.match_buffer(token_seq_, (tokens,), "int32")
        texts = T.match_buffer(texts_, (seqs, 4), "int32")
        y = T.match_buffer(y_, (tokens, H * D), "float32")
        for t, h in T.grid(tokens, H):
            with T.sblock("text_attention"):
                vt, vh = T.axis.remap("SS", [t, h])
                score = T.sblock_alloc_buffer((1,), "float32", scope="local")
                largest = T.sblock_alloc_buffer((2,), "float32", scope="local")
                total = T.sblock_alloc_buffer((1,), "float32", scope="local")
                output = T.sblock_alloc_buffer((D,), "float32", scope="local")
                largest[0] = T.float32(LOWEST)
                total[0] = T.float32(0)
                for d in T.serial(D):
                    output[d] = T.float32(0)
                for j in T.serial(texts[token_seq[vt], 1] - texts[token_seq[vt], 0]):
                    score[0] = T.float32(0)
                    for d in T.serial(D):
                        score[0] += (
                            qkv[vt, vh * D + d] * qkv[texts[token_seq[vt], 0] + j, (H + vh) * D + d]
                        )
                    largest[1] = T.max(largest[0], score[0] * T.float32(scale))
                    score[0] = T.exp(score[0] * T.float32(scale) - largest[1])
                    total[0] = total[0] * T.exp(largest[0] - largest[1]) + score[0]
                    for d in T.serial(D):
                        output[d] = (
                            output[d] * T.exp(largest[0] - largest[1])
                            + score[0] * qkv[texts[token_seq[vt], 0] + j, (2 * H + vh) * D + d]
                        )
                    largest[0] = largest[1]
                for d in T.serial(D):
                    y[vt, vh * D + d] = output[d] / total[0]

    return text_attention


def layer_norm(attrs: Mapping[str, Any], columns: int) -> tirx.PrimFunc:
    """(x - mean) / sqrt(variance + eps) · gamma + beta: one block per row, in three passes."""
    eps = attrs["eps"]

    @T.prim_func(private=True, s_tir=True)
    def layer_norm(
        x_: T.handle,
        gamma: T.Buffer((columns,), "float32"),
        beta: T.Buffer((columns,), "float32"),
        y_: T.handle,
    ):
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        tokens = T.int64()
        x = T.match_buffer(x_, (tokens, columns), "float32")
        y = T.match_buffer(y_, (tokens, columns), "float32")
        for t in T.serial(tokens):
            with T.sblock("layer_norm"):
                vt = T.axis.spatial(tokens, t)
                mean = T.sblock_alloc_buffer((1,), "float32", scope="local")
                square = T.sblock_alloc_buffer((1,), "float32", scope="local")
                mean[0] = T.float32(0)
                square[0] = T.float32(0)
                for k in T.serial(columns):
                    mean[0] += x[vt, k]
                mean[0] = mean[0] / T.float32(columns)
                for k in T.serial(columns):
                    square[0] += (x[vt, k] - mean[0]) * (x[vt, k] - mean[0])
                square[0] = T.rsqrt(square[0] / T.float32(columns) + T.float32(eps))
                for k in T.serial(columns):
                    y[vt, k] = (x[vt, k] - mean[0]) * square[0] * gamma[k] + beta[k]

    return layer_norm


def pool(attrs: Mapping[str, Any], columns: int) -> tirx.PrimFunc:
    """Means of rows of x, of text s the rows from texts[s, 2] to before texts[s, 3]."""

    @T.prim_func(private=True, s_tir=True)
    def pool(texts_: T.handle, x_: T.handle, y_: T.handle):
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        tokens, seqs = T.int64(), T.int64()
        texts = T.match_buffer(texts_, (seqs, 4), "int32")
        x = T.match_buffer(x_, (tokens, columns), "float32")
        y = T.match_buffer(y_, (seqs, columns), "float32")
        for s, k in T.grid(seqs, columns):
            with T.sblock("pool"):
                vs, vk = T.axis.remap("SS", [s, k])
                total = T.sblock_alloc_buffer((1,), "float32", scope="local")
                total[0] = T.float32(0)
                for j in T.serial(texts[vs, 3] - texts[vs, 2]):
                    total[0] += x[texts[vs, 2] + j, vk]
                y[vs, vk] = total[0] / T.Cast("float32", texts[vs, 3] - texts[vs, 2])

    return pool


# Abramowitz and Stegun 7.1.26: WGSL has no error function. |error| ≤ 1.5e-7 for x ≥ 0.
_P = 0.3275911
_COEFFICIENTS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def gelu(x: te.Tensor) -> te.Tensor:
    """x Φ(x), Φ by the error function."""

    def number(value: float) -> tirx.Expr:
        return tirx.const(value, "float32")

    def value(t: tirx.Var, k: tirx.Var) -> tirx.Expr:
        z = tirx.abs(x[t, k]) * number(math.sqrt(0.5))
        u = number(1.0) / (number(1.0) + number(_P) * z)
        polynomial = number(0.0)
        for coefficient in _COEFFICIENTS:
            polynomial = (polynomial + number(coefficient)) * u
        # Half of 1 - erf(z): what lies beyond |x|.
        tail = number(0.5) * polynomial * tirx.exp(-z * z)
        return x[t, k] * tirx.Select(x[t, k] >= number(0.0), number(1.0) - tail, tail)

    return te.compute(x.shape, value, name="gelu")
