"""Numpy twins of the kernels: slow, in float64 where it matters, and obviously right. The tests
compare against them.

Arrays have the names and shapes of the op's bindings; weights are given as float matrices (see
`dequantize`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .constants import FOLLOW, LOWEST, SETTINGS_WORDS
from .masks import positions_seen

Array = NDArray[np.generic]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

GROUP = 32
"""Weights that share a scale."""


def quantize(weights: F32, bits: int) -> tuple[U32, NDArray[np.float16]]:
    """W[N, K] → q_weight[N, K·bits/32], q_scale[N, K/32] with W ≈ (q - offset) · scale, where the
    offset is 7 for 4 bits and 127 for 8; the first q is in the lowest bits of a word."""
    n, k = weights.shape
    offset = 2 ** (bits - 1) - 1
    groups = weights.reshape(n, k // GROUP, GROUP)
    scale = (np.abs(groups).max(axis=2) / offset).astype(np.float16)
    steps = np.round(groups / np.maximum(scale[..., None].astype(np.float32), 1e-8))
    q = (np.clip(steps, -offset, offset + 1) + offset).astype(np.uint32)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    words = (q.reshape(n, -1, len(shifts)) << shifts).sum(axis=2, dtype=np.uint32)
    return words, scale


def dequantize(q_weight: U32, q_scale: NDArray[np.float16], bits: int) -> F32:
    """The matrix W[N, K] that packed words and scales stand for."""
    q = (q_weight[..., None] >> np.arange(0, 32, bits, dtype=np.uint32)) & (2**bits - 1)
    offset = 2 ** (bits - 1) - 1
    steps: F32 = q.reshape(q_weight.shape[0], -1).astype(np.float32) - np.float32(offset)
    return steps * np.repeat(q_scale.astype(np.float32), GROUP, axis=1)


def rms_norm(x: Array, gamma: Array, eps: float) -> F64:
    """x / sqrt(mean(x²) + ε) · γ over the last axis (Zhang and Sennrich, 2019)."""
    normal: F64 = x.astype(np.float64) / _rms(x, eps) * gamma.astype(np.float64)
    return normal


def _rms(x: Array, eps: float) -> F64:
    rms: F64 = np.sqrt((x.astype(np.float64) ** 2).mean(axis=-1, keepdims=True) + eps)
    return rms


def int8_groups(x: F32) -> F64:
    """x[T, K] rounded to int8 steps, with a scale for each row's group of 32, in float32 as the
    kernel computes them."""
    groups = x.reshape(len(x), -1, GROUP)
    most = np.abs(groups).max(axis=2, keepdims=True)
    steps = np.rint(groups * (np.float32(127) / np.maximum(most, np.float32(1e-30))))
    rounded: F64 = steps.astype(np.float64) * (most / np.float32(127))
    return rounded.reshape(x.shape)


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
    approximate: bool = False,
) -> F64:
    """y = norm(x[rows]) · Wᵀ + bias + residual; with `up_weight` silu(gate) · up + residual.

    approximate: x∘γ is rounded to int8.
    """
    gathered = x if rows is None else x[rows]
    if approximate:
        source = int8_groups(gathered if gamma is None else gathered * gamma)
        source = source if gamma is None else source / _rms(gathered, eps)
    else:
        source = gathered.astype(np.float64)
        source = source if gamma is None else rms_norm(gathered, gamma, eps)
    y: F64 = source @ weight.astype(np.float64).T + (0 if bias is None else bias)
    if up_weight is not None:
        up = source @ up_weight.astype(np.float64).T + (0 if up_bias is None else up_bias)
        y = y / (1 + np.exp(-y)) * up
    return y + (0 if residual is None else residual)


def embed(token_ids: I32, last_tokens: I32, table: F32) -> F32:
    """x[t] = table[token_ids[t]], or of last_tokens[-1 - token_ids[t]] where that is negative; ids
    clamped to the vocabulary."""
    ids = [last_tokens[-1 - given] if given < 0 else given for given in token_ids]
    found: F32 = table[np.clip(ids, 0, len(table) - 1)]
    return found


def keep_int8(keys: Array, values: Array) -> tuple[U32, U32]:
    """Keys and values [..., D] as pages keep them in int8: u32 [..., D/4 + 2] and [..., D/4].

    Each row in the nearest of 255 steps, the first in a word's lowest byte; after a row's keys the
    lengths of its steps, of the key and of the value."""
    rows, lengths = [], []
    for given in (keys, values):
        x = given.astype(np.float32)
        most = np.abs(x).max(axis=-1, keepdims=True)
        steps = np.rint(x * (np.float32(127) / np.maximum(most, np.float32(1e-30))))
        rows.append(np.ascontiguousarray(steps.astype(np.int8)).view(np.uint32))
        lengths.append((most / np.float32(127)).view(np.uint32))
    return np.concatenate([rows[0], *lengths], axis=-1), rows[1]


def kept_values(kv_k: Array, kv_v: Array) -> tuple[Array, Array]:
    """The numbers that pages of keys and values stand for: themselves, unless they are int8."""
    if kv_k.dtype != np.uint32:
        return kv_k, kv_v
    words = kv_v.shape[-1]
    lengths = np.ascontiguousarray(kv_k[..., words:]).view(np.float32)
    keys, values = (
        np.ascontiguousarray(rows).view(np.int8) * lengths[..., i : i + 1]
        for i, rows in enumerate((kv_k[..., :words], kv_v))
    )
    return keys, values


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
    """q with rotated halves (Su et al., 2021; pairs (i, i + D/2) as in transformers), and the
    pages after appending: floats, or of u32 as `keep_int8` gives them.

    The angle is the float32 product position · inv_freq, as transformers computes it.
    """
    _, kv_heads, page_size, _ = kv_k.shape
    dim = 2 * len(inv_freq)
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
    slots = positions % page_size
    new = rotate(k), v
    keys[pages, :, slots], values[pages, :, slots] = (
        keep_int8(*new) if kv_k.dtype == np.uint32 else new
    )
    return rotate(q).reshape(len(qkv), -1), keys, values


def text_attention(qkv: F32, token_seq: I32, texts: I32, *, heads: int, scale: float) -> F64:
    """softmax(q·kᵀ·scale)·v of each token over all tokens of its text: f64[tokens, heads · dim].

    qkv: f32[tokens, 3 · heads · dim]. token_seq[t]: the text of token t. texts: i32[seqs, 4]: the
    first row of a text's tokens and the row behind its last, and two more that do not matter here.
    """
    q, k, v = np.moveaxis(qkv.astype(np.float64).reshape(len(qkv), 3, heads, -1), 1, 0)
    y = np.empty_like(q)
    for t, text in enumerate(token_seq):
        own = slice(*texts[text, :2])
        scores = np.einsum("hd,khd->hk", q[t], k[own]) * scale
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y[t] = np.einsum("hk,khd->hd", weights / weights.sum(axis=-1, keepdims=True), v[own])
    return y.reshape(len(qkv), -1)


def attention(
    q: F32 | F64,
    kv_k: Array,
    kv_v: Array,
    positions: I32,
    token_seq: I32,
    page_table: I32,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    sinks: F32 | None = None,
    mask: U32 | None = None,
) -> F64:
    """softmax(q·kᵀ·scale)·v of each token over the positions 0 ..= its own, or the last `window`
    of them, or those that its row of `mask` says (see masks.py); scores are capped to ±softcap;
    sinks[H] are scores of a value that is zero."""
    kv_k, kv_v = kept_values(kv_k, kv_v)
    _, kv_heads, page_size, dim = kv_k.shape
    tokens = len(q)
    grouped = q.reshape(tokens, kv_heads, -1, dim).astype(np.float64)
    y = np.empty_like(grouped)
    for t in range(tokens):
        end = int(positions[t]) + 1
        seen = np.arange(max(0, end - window) if window else 0, end)
        if mask is not None:
            seen = positions_seen(mask[t], window)
        pages, slots = page_table[token_seq[t], seen // page_size], seen % page_size
        k, v = (cache[pages, :, slots].astype(np.float64) for cache in (kv_k, kv_v))
        scores = np.einsum("hgd,phd->hgp", grouped[t], k) * scale
        if softcap is not None:
            scores = softcap * np.tanh(scores / softcap)
        if sinks is not None:
            column = sinks.astype(np.float64).reshape(*scores.shape[:2], 1)
            scores = np.concatenate([scores, column], axis=-1)
            v = np.concatenate([v, np.zeros((1, *v.shape[1:]))])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y[t] = np.einsum("hgp,phd->hgd", weights / weights.sum(axis=-1, keepdims=True), v)
    return y.reshape(tokens, -1)


def decode_attention(
    qkv: F32,
    inv_freq: F32,
    positions: I32,
    page_table: I32,
    kv_k: Array,
    kv_v: Array,
    *,
    heads: int,
    scale: float,
    q_gamma: F32 | None = None,
    k_gamma: F32 | None = None,
    eps: float = 0.0,
    window: int | None = None,
    softcap: float | None = None,
    sinks: F32 | None = None,
    append: bool = True,
) -> tuple[F64, Array, Array]:
    """rope_append, then attention: token i is the newest of sequence i. Also gives the pages;
    without `append` they hold the new tokens already."""
    rows = np.arange(len(qkv), dtype=np.int32)
    q, keys, values = rope_append(
        qkv,
        inv_freq,
        positions,
        rows,
        page_table,
        kv_k,
        kv_v,
        heads=heads,
        q_gamma=q_gamma,
        k_gamma=k_gamma,
        eps=eps,
    )
    if not append:
        keys, values = kv_k, kv_v
    y = attention(
        q,
        keys,
        values,
        positions,
        rows,
        page_table,
        scale=scale,
        window=window,
        softcap=softcap,
        sinks=sinks,
    )
    return y, keys, values


@dataclass(frozen=True)
class Sampling:
    """A row of `sampling`, by name (see docs/architecture.md)."""

    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    top_k: int = 0
    seed: int = 0
    draw: int = 0
    use_bias: bool = False
    use_penalties: bool = False
    use_mask: bool = False
    top_logprobs: int = 0
    repetition_penalty: float = 1.0
    mask_row: int = FOLLOW
    """Row of `masks` that says what may be drawn, if `use_mask`."""

    def words(self) -> U32:
        """The 16 words of the row."""
        floats = [self.temperature, self.top_p, self.min_p]
        floats += [self.frequency_penalty, self.presence_penalty]
        flags = self.use_bias + 2 * self.use_penalties + 4 * self.use_mask
        seed = [self.seed & 0xFFFFFFFF, self.seed >> 32]
        integers = [self.top_k, *seed, self.draw, flags, self.top_logprobs]
        words: U32 = np.zeros(SETTINGS_WORDS, np.uint32)
        words[:5] = np.array(floats, np.float32).view(np.uint32)
        words[5:11] = integers
        words[11] = np.float32(self.repetition_penalty).view(np.uint32)
        words[12] = self.mask_row
        return words


def finite(logits: F64) -> F64:
    """NaN and -inf become LOWEST, +inf its opposite."""
    return np.clip(np.where(np.isnan(logits), LOWEST, logits), LOWEST, -LOWEST)


def adjust_logits(
    logits: F32, counts: U32, bias: F32, settings: Sampling, mask: U32 | None = None
) -> F64:
    """(logits[V] + bias - penalties) / temperature for one sequence; counts and bias are those
    of its slot. mask: u32[ceil(V / 32)], bit i % 32 of word i // 32 allows token i; what it
    forbids becomes twice LOWEST. The repetition penalty is Hugging Face's (CTRL, arXiv 1909.05858):
    it scales the model's own logit, before the bias."""
    adjusted = logits.astype(np.float64)
    if settings.use_penalties:
        penalty = settings.repetition_penalty
        scaled = np.where(adjusted > 0, adjusted / penalty, adjusted * penalty)
        adjusted = np.where(counts > 0, scaled, adjusted)
    if settings.use_bias:
        adjusted = adjusted + bias
    if settings.use_penalties:
        adjusted = adjusted - counts * settings.frequency_penalty
        adjusted = adjusted - (counts > 0) * settings.presence_penalty
    adjusted = finite(adjusted)
    if settings.temperature > 0:
        adjusted = finite(adjusted / settings.temperature)
    if settings.use_mask and mask is not None:
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)]
        adjusted = np.where(allowed, adjusted, 2 * LOWEST)
    return adjusted


def distribution(adjusted: F64, settings: Sampling) -> F64:
    """Probabilities of the next token: top-k, then top-p of what is left, then min-p; ties at a
    threshold are kept."""
    if settings.temperature <= 0:
        greedy = np.zeros(len(adjusted))
        greedy[np.argmax(adjusted)] = 1
        return greedy
    weights = np.exp(adjusted - adjusted.max())
    order = np.sort(adjusted)[::-1]
    if 0 < settings.top_k < len(adjusted):
        weights[adjusted < order[settings.top_k - 1]] = 0
    if settings.top_p < 1:
        sums = np.cumsum(np.sort(weights)[::-1])
        enough = int(np.searchsorted(sums, max(settings.top_p, 0) * sums[-1]))
        weights[adjusted < order[min(enough, len(order) - 1)]] = 0
    weights[weights < min(settings.min_p, 1)] = 0
    probabilities: F64 = weights / weights.sum()
    return probabilities


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon et al., 2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        even, odd = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (odd >> 32) ^ c1 ^ k0, odd, (even >> 32) ^ c3 ^ k1, even
        c1, c3 = c1 & 0xFFFFFFFF, c3 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def sample(probabilities: F64, settings: Sampling) -> int:
    """The token at the drawn place of the cumulative distribution in token order."""
    word = philox((settings.draw, 0, 0, 0), (settings.seed & 0xFFFFFFFF, settings.seed >> 32))[0]
    sums = np.cumsum(probabilities)
    place = int(np.searchsorted(sums, (word >> 8) * 2.0**-24 * sums[-1], side="right"))
    return min(place, int(np.flatnonzero(probabilities)[-1]))


def logprobs(logits: F32, chosen: int, top: int) -> tuple[float, list[int], F64]:
    """Log-softmax of raw logits[V]: of the chosen token, and the `top` likeliest ids (lower first)
    with theirs."""
    wide = finite(logits.astype(np.float64))
    logs: F64 = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    ids = [int(i) for i in np.argsort(-wide, kind="stable")[:top]]
    return float(logs[chosen]), ids, logs[ids]
