"""Numpy twins of the kernels: slow, in float64 where it matters, and obviously right. The tests compare against them.

Arrays have the names and shapes of the op's bindings; weights are given as float matrices (see `dequantize`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

GROUP = 32
"""Weights that share a q4 scale."""
TOP_IDS, TOP_LOGPROBS, TOP_MAX = 4, 24, 20
"""Where a row of `sampled` holds the likeliest tokens and their log-probabilities, and how many at most."""
LOWEST = -1e30
"""What NaN and -inf logits become: a finite number whose weight is zero."""


def quantize(weights: F32) -> tuple[U32, NDArray[np.float16]]:
    """W[N, K] → q_weight[N, K/8], q_scale[N, K/32] with W ≈ (q - 7) · scale; 8 nibbles a word, low nibble first."""
    n, k = weights.shape
    groups = weights.reshape(n, k // GROUP, GROUP)
    scale = (np.abs(groups).max(axis=2) / 7).astype(np.float16)
    steps = np.round(groups / np.maximum(scale[..., None].astype(np.float32), 1e-8))
    nibbles = (np.clip(steps, -7, 8) + 7).astype(np.uint32).reshape(n, k // 8, 8)
    words = (nibbles << np.arange(0, 32, 4, dtype=np.uint32)).sum(axis=2, dtype=np.uint32)
    return words, scale


def dequantize(q_weight: U32, q_scale: NDArray[np.float16]) -> F32:
    """The matrix W[N, K] that q4 words and scales stand for."""
    nibbles = (q_weight[..., None] >> np.arange(0, 32, 4, dtype=np.uint32)) & 15
    steps = nibbles.reshape(q_weight.shape[0], -1).astype(np.float32) - 7
    return steps * np.repeat(q_scale.astype(np.float32), GROUP, axis=1)


def rms_norm(x: Array, gamma: Array, eps: float) -> F64:
    """x / sqrt(mean(x²) + ε) · γ over the last axis (Zhang and Sennrich, 2019)."""
    wide = x.astype(np.float64)
    return wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + eps) * gamma.astype(np.float64)


def linear(
    x: F32,
    weight: F32,
    *,
    up_weight: F32 | None = None,
    gamma: F32 | None = None,
    eps: float = 0.0,
    bias: F32 | None = None,
    up_bias: F32 | None = None,
    residual: F32 | None = None,
    rows: I32 | None = None,
) -> F64:
    """y = norm(x[rows]) · Wᵀ + bias + residual; with `up_weight` silu(gate) · up + residual."""
    source = (x if rows is None else x[rows]).astype(np.float64)
    if gamma is not None:
        source = rms_norm(source, gamma, eps)
    y: F64 = source @ weight.astype(np.float64).T + (0 if bias is None else bias)
    if up_weight is not None:
        up = source @ up_weight.astype(np.float64).T + (0 if up_bias is None else up_bias)
        y = y / (1 + np.exp(-y)) * up
    return y + (0 if residual is None else residual)


def embed(token_ids: I32, table: F32) -> F32:
    """x[t] = table[token_ids[t]], ids clamped to the vocabulary."""
    found: F32 = table[np.clip(token_ids, 0, len(table) - 1)]
    return found


def rope_append(
    qkv: F32,
    inv_freq: F32,
    positions: I32,
    token_seq: I32,
    page_table: I32,
    kv_k: Array,
    kv_v: Array,
    *,
    heads: int,
    q_gamma: F32 | None = None,
    k_gamma: F32 | None = None,
    eps: float = 0.0,
) -> tuple[F64, Array, Array]:
    """q with rotated halves (Su et al., 2021; pairs (i, i + D/2) as in transformers), and the pages after appending.

    The angle is the float32 product position · inv_freq, as transformers computes it.
    """
    _, kv_heads, page_size, dim = kv_k.shape
    parts = qkv.reshape(len(qkv), heads + 2 * kv_heads, dim).astype(np.float64)
    q, k, v = np.split(parts, [heads, heads + kv_heads], axis=1)
    if q_gamma is not None and k_gamma is not None:
        q, k = rms_norm(q, q_gamma, eps), rms_norm(k, k_gamma, eps)
    angle = positions.astype(np.float32)[:, None] * inv_freq[None, :]
    cos, sin = np.cos(angle.astype(np.float64))[:, None], np.sin(angle.astype(np.float64))[:, None]

    def rotate(heads: F64) -> F64:
        low, high = np.split(heads, 2, axis=2)
        return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=2)

    keys, values = kv_k.copy(), kv_v.copy()
    pages = page_table[token_seq, positions // page_size]
    keys[pages, :, positions % page_size] = rotate(k)
    values[pages, :, positions % page_size] = v
    return rotate(q).reshape(len(qkv), -1), keys, values


def attention(
    q: F32,
    kv_k: Array,
    kv_v: Array,
    positions: I32,
    token_seq: I32,
    page_table: I32,
    *,
    scale: float,
) -> F64:
    """softmax(q·kᵀ·scale)·v of each token over the positions 0 ..= its own."""
    _, kv_heads, page_size, dim = kv_k.shape
    tokens = len(q)
    grouped = q.reshape(tokens, kv_heads, -1, dim).astype(np.float64)
    y = np.empty_like(grouped)
    for t in range(tokens):
        seen = np.arange(positions[t] + 1)
        pages, slots = page_table[token_seq[t], seen // page_size], seen % page_size
        k, v = (cache[pages, :, slots].astype(np.float64) for cache in (kv_k, kv_v))
        scores = np.einsum("hgd,phd->hgp", grouped[t], k) * scale
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y[t] = np.einsum("hgp,phd->hgd", weights / weights.sum(axis=-1, keepdims=True), v)
    return y.reshape(tokens, -1)
