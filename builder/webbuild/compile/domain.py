"""Our own ops as plain TIR and TE: obviously right, scheduled by dlight, slow.

They serve where the kernel library does not, and are the reference that it is compared with.
Shapes are those of docs/architecture.md, "Library ops".
"""
# TVMScript's annotations are code of its own, which mypy cannot read.
# mypy: ignore-errors

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tvm import te, tirx
from tvm.script import tirx as T  # noqa: N812

from webgpu_kernels.packing import GROUP, PACKINGS

OPAQUE = 8
"""The `op_pattern` of functions that nothing may be fused with (relax::OpPatternKind::kOpaque)."""

LOWEST = -1e30  # below every score; finite, because WGSL need not have infinities


def dequantize(quant: str, shape: tuple[int, int], arrays: Sequence[te.Tensor]) -> te.Tensor:
    """The f32[N, K] matrix that the stored arrays stand for (`webbuild.quantize`)."""
    N, K = shape
    if quant in PACKINGS:
        (words, scales), packing = arrays, PACKINGS[quant]
        bits, per_word = packing.bits, 32 // packing.bits

        def value(n: tirx.Var, k: tirx.Var) -> tirx.Expr:
            word = words[n, k // per_word]
            q = (word >> (k % per_word * bits).astype("uint32")) & _u32(2**bits - 1)
            scale = _f32(scales, n, k // GROUP, K // GROUP)
            return (q.astype("float32") - float(packing.offset)) * scale

    else:

        def value(n: tirx.Var, k: tirx.Var) -> tirx.Expr:
            return _f32(arrays[0], n, k, K)

    return te.compute((N, K), value, name="dequantize")


def linear(quant: str, shape: tuple[int, int], x: te.Tensor, *arrays: te.Tensor) -> te.Tensor:
    """x f32[T, K] · Wᵀ: f32[T, N]."""
    N, K = shape
    w = dequantize(quant, shape, arrays)
    k = te.reduce_axis((0, K), name="k")
    return te.compute(
        (x.shape[0], N), lambda t, n: te.sum(x[t, k] * w[n, k], axis=k), name="linear"
    )


def take_rows(quant: str, shape: tuple[int, int], ids: te.Tensor, *arrays: te.Tensor) -> te.Tensor:
    """Rows of a matrix: f32[T, K] for ids i32[T]."""
    w = dequantize(quant, shape, arrays)
    return te.compute((ids.shape[0], shape[1]), lambda t, k: w[ids[t], k], name="take_rows")


def resolve(token_ids: te.Tensor, last_tokens: te.Tensor) -> te.Tensor:
    """i32[T]: each id, or last_tokens[-1 - id] for a negative one."""

    def value(t: tirx.Var) -> tirx.Expr:
        given = token_ids[t]
        return tirx.if_then_else(given < 0, last_tokens[-1 - given], given)

    return te.compute(token_ids.shape, value, name="resolve")


def _f32(array: te.Tensor, row: tirx.Expr, column: tirx.Expr, columns: int) -> tirx.Expr:
    """Element [row, column] of a float array, which may be f16 seen as words of two."""
    if array.dtype != "uint32":
        return array[row, column].astype("float32")
    index = row * columns + column
    bits = (array[index // 2] >> ((index % 2) * 16).astype("uint32")) & _u32(0xFFFF)
    return _f16_to_f32(bits)


def _u32(value: int) -> tirx.Expr:
    return tirx.const(value, "uint32")


def _f16_to_f32(bits: tirx.Expr) -> tirx.Expr:
    """The f32 value of a finite f16, given as bits; exact, subnormals too."""
    magnitude = bits & _u32(0x7FFF)
    normal = tirx.reinterpret("float32", (magnitude << _u32(13)) + _u32((127 - 15) << 23))
    subnormal = magnitude.astype("float32") * tirx.const(2.0**-24, "float32")
    value = tirx.Select(magnitude >= _u32(0x400), normal, subnormal)
    return tirx.Select(bits >= _u32(0x8000), -value, value)


def qk_norm(
    attrs: Mapping[str, Any], qkv: te.Tensor, q_gamma: te.Tensor, k_gamma: te.Tensor
) -> te.Tensor:
    """qkv f32[T, (H + 2 KV) D] with each head of q and k RMS-normalised; v as it is."""
    H, KV, D = attrs["H"], attrs["KV"], attrs["D"]
    d = te.reduce_axis((0, D), name="d")
    # Over v's heads too, without need: dlight runs what follows a reduction in the reduction's own
    # grid, and would leave columns out that this does not cover.
    square = te.compute(
        (qkv.shape[0], H + 2 * KV),
        lambda t, h: te.sum(qkv[t, h * D + d] * qkv[t, h * D + d], axis=d),
        name="square",
    )

    def value(t: tirx.Var, c: tirx.Var) -> tirx.Expr:
        gamma = tirx.if_then_else(c < H * D, q_gamma[c % D], k_gamma[c % D])
        rstd = tirx.rsqrt(square[t, c // D] / float(D) + tirx.const(attrs["qk_norm"], "float32"))
        return tirx.if_then_else(c < (H + KV) * D, qkv[t, c] * rstd * gamma, qkv[t, c])

    return te.compute(qkv.shape, value, name="qk_norm")


# cos and sin of WGSL are only promised to be precise in [-π, π]. Angles reach the context length,
# so whole turns are taken off first, 2π in two parts of which the first has few bits
# (Cody and Waite): turns · _TURN_HIGH is exact.
_TURN_HIGH = 6.28125
_TURN_LOW = 2 * math.pi - _TURN_HIGH


def _rotation(position: tirx.Expr, inv_freq: tirx.Expr) -> tuple[tirx.Expr, tirx.Expr]:
    """cos and sin of position · inv_freq."""
    angle = position.astype("float32") * inv_freq
    turns = tirx.floor(angle * tirx.const(0.5 / math.pi, "float32"))
    rest = angle - turns * tirx.const(_TURN_HIGH, "float32")
    rest -= turns * tirx.const(_TURN_LOW, "float32")
    return tirx.cos(rest), tirx.sin(rest)


def _rotate_low(low: tirx.Expr, high: tirx.Expr, at: tirx.Expr, freq: tirx.Expr) -> tirx.Expr:
    cos, sin = _rotation(at, freq)
    return low * cos - high * sin


def _rotate_high(low: tirx.Expr, high: tirx.Expr, at: tirx.Expr, freq: tirx.Expr) -> tirx.Expr:
    cos, sin = _rotation(at, freq)
    return high * cos + low * sin


def rope_append(attrs: Mapping[str, Any], kv_dtype: str) -> tirx.PrimFunc:
    """Rotates q and k by position (rotate-half form) and stores k and v in their page.

    One block per token, head and rotated pair (i, i + D/2). `qk_norm` comes before it.
    """
    H, KV, D, page_size = attrs["H"], attrs["KV"], attrs["D"], attrs["page_size"]
    half = D // 2
    low, high = _rotate_low, _rotate_high

    @T.prim_func(private=True, s_tir=True)
    def rope_append(
        qkv_: T.handle,
        freq: T.Buffer((half,), "float32"),
        positions_: T.handle,
        token_seq_: T.handle,
        page_table_: T.handle,
        kv_k_: T.handle,
        kv_v_: T.handle,
        q_: T.handle,
    ):
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        tokens, seqs, max_pages, pages = T.int64(), T.int64(), T.int64(), T.int64()
        qkv = T.match_buffer(qkv_, (tokens, (H + 2 * KV) * D), "float32")
        at = T.match_buffer(positions_, (tokens,), "int32")
        seq = T.match_buffer(token_seq_, (tokens,), "int32")
        page_table = T.match_buffer(page_table_, (seqs, max_pages), "int32")
        kv_k = T.match_buffer(kv_k_, (pages, KV, page_size, D), kv_dtype)
        kv_v = T.match_buffer(kv_v_, (pages, KV, page_size, D), kv_dtype)
        q = T.match_buffer(q_, (tokens, H * D), "float32")
        for t, h, i in T.grid(tokens, H + 2 * KV, half):
            with T.sblock("rope_append"):
                vt, vh, vi = T.axis.remap("SSS", [t, h, i])
                if vh < H:
                    q[vt, vh * D + vi] = low(
                        qkv[vt, vh * D + vi], qkv[vt, vh * D + vi + half], at[vt], freq[vi]
                    )
                    q[vt, vh * D + vi + half] = high(
                        qkv[vt, vh * D + vi], qkv[vt, vh * D + vi + half], at[vt], freq[vi]
                    )
                elif vh < H + KV:
                    kv_k[
                        page_table[seq[vt], at[vt] // page_size], vh - H, at[vt] % page_size, vi
                    ] = T.Cast(
                        kv_dtype,
                        low(qkv[vt, vh * D + vi], qkv[vt, vh * D + vi + half], at[vt], freq[vi]),
                    )
                    kv_k[
                        page_table[seq[vt], at[vt] // page_size],
                        vh - H,
                        at[vt] % page_size,
                        vi + half,
                    ] = T.Cast(
                        kv_dtype,
                        high(qkv[vt, vh * D + vi], qkv[vt, vh * D + vi + half], at[vt], freq[vi]),
                    )
                else:
                    for part in T.serial(2):
                        kv_v[
                            page_table[seq[vt], at[vt] // page_size],
                            vh - H - KV,
                            at[vt] % page_size,
                            vi + part * half,
                        ] = T.Cast(kv_dtype, qkv[vt, vh * D + vi + part * half])

    return rope_append


def attention(attrs: Mapping[str, Any], kv_dtype: str) -> tirx.PrimFunc:
    """softmax(q·kᵀ·scale)·v over a token's sequence up to its own position.

    One block per token and head, with the running maximum, sum and output of an online softmax.
    """
    H, KV, D, page_size = attrs["H"], attrs["KV"], attrs["D"], attrs["page_size"]
    group = H // KV
    scale = attrs["scale"]

    @T.prim_func(private=True, s_tir=True)
    def attention(
        q_: T.handle,
        kv_k_: T.handle,
        kv_v_: T.handle,
        positions_: T.handle,
        token_seq_: T.handle,
        page_table_: T.handle,
        y_: T.handle,
    ):
        T.func_attr({"tirx.noalias": True, "op_pattern": OPAQUE})
        tokens, seqs, max_pages, pages = T.int64(), T.int64(), T.int64(), T.int64()
        q = T.match_buffer(q_, (tokens, H * D), "float32")
        kv_k = T.match_buffer(kv_k_, (pages, KV, page_size, D), kv_dtype)
        kv_v = T.match_buffer(kv_v_, (pages, KV, page_size, D), kv_dtype)
        positions = T.match_buffer(positions_, (tokens,), "int32")
        token_seq = T.match_buffer(token_seq_, (tokens,), "int32")
        page_table = T.match_buffer(page_table_, (seqs, max_pages), "int32")
        y = T.match_buffer(y_, (tokens, H * D), "float32")
        for t, h in T.grid(tokens, H):
            with T.sblock("attention"):
                vt, vh = T.axis.remap("SS", [t, h])
                score = T.sblock_alloc_buffer((1,), "float32", scope="local")
                largest = T.sblock_alloc_buffer((2,), "float32", scope="local")
                total = T.sblock_alloc_buffer((1,), "float32", scope="local")
                output = T.sblock_alloc_buffer((D,), "float32", scope="local")
                largest[0] = T.float32(LOWEST)
                total[0] = T.float32(0)
                for d in T.serial(D):
                    output[d] = T.float32(0)
                for j in T.serial(positions[vt] + 1):
                    score[0] = T.float32(0)
                    for d in T.serial(D):
                        score[0] += q[vt, vh * D + d] * T.Cast(
                            "float32",
                            kv_k[
                                page_table[token_seq[vt], j // page_size],
                                vh // group,
                                j % page_size,
                                d,
                            ],
                        )
                    largest[1] = T.max(largest[0], score[0] * T.float32(scale))
                    score[0] = T.exp(score[0] * T.float32(scale) - largest[1])
                    total[0] = total[0] * T.exp(largest[0] - largest[1]) + score[0]
                    for d in T.serial(D):
                        output[d] = output[d] * T.exp(largest[0] - largest[1]) + score[0] * T.Cast(
                            "float32",
                            kv_v[
                                page_table[token_seq[vt], j // page_size],
                                vh // group,
                                j % page_size,
                                d,
                            ],
                        )
                    largest[0] = largest[1]
                for d in T.serial(D):
                    y[vt, vh * D + d] = output[d] / total[0]

    return attention
