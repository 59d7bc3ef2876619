"""The test matrix: inputs and expected outputs for a row of the registry and one setting of its
attributes."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from webgpu_kernels import masks, oracle
from webgpu_kernels.launch import Tier
from webgpu_kernels.packing import PACKINGS

Attrs = dict[str, Any]


@dataclass
class Case:
    """Attributes for `lower`, the arrays to bind, the symbols, and what must come out."""

    attrs: Attrs
    arrays: dict[str, np.ndarray]
    symbols: dict[str, int]
    want: dict[str, np.ndarray]
    settle: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None
    """What else must come out, from what has come out: a value that is stored as f16 may round up
    or down, and what is computed from it follows."""


def pairwise(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """A small set of settings in which every two values of two axes meet (greedy cover, always the
    same)."""
    names = list(axes)
    if len(names) < 2:
        yield from ({name: value} for name in names for value in axes[name])
        return

    def pairs_of(setting: Iterable[tuple[str, int]]) -> set[Any]:
        return set(itertools.combinations(sorted(setting), 2))

    indices = {name: range(len(axes[name])) for name in names}
    left = set().union(
        *(
            pairs_of([(a, x), (b, y)])
            for a, b in itertools.combinations(names, 2)
            for x in indices[a]
            for y in indices[b]
        )
    )
    while left:
        setting = dict(min(left, key=lambda pair: zlib.crc32(repr(pair).encode())))
        for name in names:
            if name not in setting:
                gains = [len(left & pairs_of([*setting.items(), (name, x)])) for x in indices[name]]
                setting[name] = gains.index(max(gains))
        left -= pairs_of(setting.items())
        yield {name: axes[name][setting[name]] for name in names}


def seeded(*key: Any) -> np.random.Generator:
    """A generator that depends on the case alone."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def matrix(
    rng: np.random.Generator, n: int, k: int, quant: str, tier: Tier, prefix: str = ""
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Stored arrays of a random weight matrix, and its values."""
    values = (rng.standard_normal((n, k)) * rng.uniform(0.5, 2, (n, 1)) / np.sqrt(k)).astype(
        np.float32
    )
    if quant in PACKINGS:
        bits = PACKINGS[quant].bits
        q_weight, q_scale = oracle.quantize(values, bits)
        words: np.ndarray = q_weight
        stored = {f"{prefix}q_weight": words, f"{prefix}q_scale": q_scale}
        return stored, oracle.dequantize(q_weight, q_scale, bits)
    dense = values.astype(np.float16 if quant == "f16" else np.float32)
    return {f"{prefix}weight": dense}, dense.astype(np.float32)


def two(rows: int) -> list[tuple[int, int]]:
    """An uneven cut of `rows` rows."""
    cut = max(1, rows * 5 // 8)
    return [(0, cut), (cut, rows)]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def linear(setting: Attrs, tier: Tier) -> Case:
    """Shapes (tokens, N, K) come with the setting; K is rounded to whole groups."""
    attrs = dict(setting)
    tokens, n, k = attrs.pop("shape")
    if attrs["quant"] in PACKINGS:
        k = -(-k // 32) * 32
    rng = seeded(setting, tier)
    stored, weight = matrix(rng, n, k, attrs["quant"], tier)
    arrays = {"x": normal(rng, tokens, k) + 0.5, **stored}
    more: dict[str, Any] = {"approximate": attrs.get("approximate", False)}
    if attrs["glu"]:
        up, more["up_weight"] = matrix(rng, n, k, attrs["quant"], tier, "up_")
        arrays |= up
    if attrs["norm"] is not None:
        more["gamma"] = arrays["gamma"] = normal(rng, k) + 1
        more["eps"] = attrs["norm"]
    if attrs["bias"]:
        more["bias"] = arrays["bias"] = normal(rng, n)
        if attrs["glu"]:
            more["up_bias"] = arrays["up_bias"] = normal(rng, n)
    symbols = {"tokens": tokens, "seqs": tokens}
    rows = tokens
    if attrs["gather"]:
        rows = symbols["seqs"] = max(1, tokens - 1)
        more["rows"] = arrays["rows"] = rng.integers(0, tokens, rows, dtype=np.int32)
        attrs["rows_symbol"] = "seqs"
    if attrs["residual"]:
        more["residual"] = arrays["residual"] = normal(rng, rows, n)
    arrays["y"] = np.full((rows, n), np.nan, np.float32)
    attrs |= {"N": n, "K": k}
    if attrs["row_splits"]:
        attrs["row_splits"] = two(n)
    return Case(attrs, arrays, symbols, {"y": oracle.linear(arrays["x"], weight, **more)})


def embed(setting: Attrs, tier: Tier) -> Case:
    attrs = dict(setting)
    tokens, vocab, dim = attrs.pop("shape")
    if attrs["quant"] in PACKINGS:
        dim = -(-dim // 32) * 32
    rng = seeded(setting, tier)
    stored, table = matrix(rng, vocab, dim, attrs["quant"], tier)
    ids = rng.integers(0, vocab, tokens, dtype=np.int32)
    last = rng.integers(0, vocab, 3, dtype=np.int32)
    last[1] = -7
    ids[:6] = [0, -3, vocab - 1, -1, vocab + 9, -2][: len(ids[:6])]
    attrs |= {"vocab": vocab, "D": dim}
    if attrs["row_splits"]:
        attrs["row_splits"] = two(vocab)
    x = np.full((tokens, dim), np.nan, np.float32)
    arrays = {"token_ids": ids, "last_tokens": last, "x": x, **stored}
    return Case(attrs, arrays, {"tokens": tokens}, {"x": oracle.embed(ids, last, table)})


@dataclass
class Batch:
    """A ragged batch over a shuffled page pool."""

    positions: np.ndarray
    token_seq: np.ndarray
    page_table: np.ndarray
    tiles: list[tuple[int, int, int, int]]
    pages: int

    def __init__(
        self,
        rng: np.random.Generator,
        sequences: Sequence[tuple[int, int]],
        page: int,
        history: bool = True,
    ) -> None:
        """`sequences`: (first position, new tokens) each; without `history` only pages written
        exist."""
        longest = max(begin + new for begin, new in sequences)
        width = -(-longest // page) + 1
        spans = [
            (begin // page if not history else 0, -(-(begin + new) // page))
            for begin, new in sequences
        ]
        self.pages = sum(end - begin for begin, end in spans) + 3
        order = iter(rng.permutation(self.pages).astype(np.int32))
        # Entries outside a sequence's pages are never read: make them wild.
        self.page_table = np.full((len(sequences), width), 2**30, np.int32)
        positions: list[int] = []
        owners: list[int] = []
        self.tiles, start = [], 0
        for i, ((begin, new), span) in enumerate(zip(sequences, spans, strict=True)):
            for entry in range(*span):
                self.page_table[i, entry] = next(order)
            positions += range(begin, begin + new)
            owners += [i] * new
            self.tiles += [
                (start + at, min(16, new - at), i, begin + at) for at in range(0, new, 16)
            ]
            start += new
        self.positions = np.array(positions, np.int32)
        self.token_seq = np.array(owners, np.int32)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "positions": self.positions,
            "token_seq": self.token_seq,
            "page_table": self.page_table,
        }

    @property
    def symbols(self) -> dict[str, int]:
        return {
            "tokens": len(self.positions),
            "seqs": len(self.page_table),
            "q_tiles": len(self.tiles),
            "max_pages": self.page_table.shape[1],
        }


def _pages(
    rng: np.random.Generator, attrs: Attrs, tier: Tier, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Random pages, as the attributes and the tier want them kept. `peaks`: (first, factor) of
    every fifth position of a page, whose keys are so much larger."""
    keys, values = normal(rng, *shape), normal(rng, *shape)
    first, factor = attrs.pop("peaks", (0, 1))
    keys[:, :, first::5] *= factor
    if attrs.get("kv") == "int8":
        keys, values = oracle.keep_int8(keys, values)
    else:
        kind = np.float16 if tier == "f16" else np.float32
        keys, values = keys.astype(kind), values.astype(kind)
    return {"kv_k": keys, "kv_v": values}


def rope_append(setting: Attrs, tier: Tier) -> Case:
    attrs = dict(setting)
    heads, kv_heads, dim, sequences = attrs.pop("shape")
    page = attrs.get("page_size", 16)
    rng = seeded(setting, tier)
    batch = Batch(rng, sequences, page, history=False)
    inv_freq = (1.0 / 500000.0 ** (np.arange(0, dim, 2, dtype=np.float32) / dim)).astype(np.float32)
    tokens = len(batch.positions)
    arrays = {
        "qkv": normal(rng, tokens, (heads + 2 * kv_heads) * dim),
        "inv_freq": inv_freq,
        **_pages(rng, attrs, tier, (batch.pages, kv_heads, page, dim)),
        **batch.arrays,
    }
    more: dict[str, Any] = {}
    if attrs.get("qk_norm") is not None:
        gammas = {"q_gamma": normal(rng, dim) + 1, "k_gamma": normal(rng, dim) + 1}
        arrays |= gammas
        more = {**gammas, "eps": attrs["qk_norm"]}
    names = ("qkv", "inv_freq", "positions", "token_seq", "page_table", "kv_k", "kv_v")
    want = oracle.rope_append(*(arrays[n] for n in names), heads=heads, **more)
    arrays["q"] = np.full((tokens, heads * dim), np.nan, np.float32)
    attrs |= {"H": heads, "KV": kv_heads, "D": dim}
    wanted = dict(zip(("q", "kv_k", "kv_v"), want, strict=True))
    return Case(attrs, arrays, batch.symbols, wanted)


def attention(setting: Attrs, tier: Tier) -> Case:
    attrs = dict(setting)
    heads, kv_heads, dim, sequences = attrs.pop("shape")
    page = attrs.get("page_size", 16)
    rng = seeded(setting, tier)
    batch = Batch(rng, sequences, page)
    arrays = {
        "q": normal(rng, len(batch.positions), heads * dim) * 2,
        **_pages(rng, attrs, tier, (batch.pages, kv_heads, page, dim)),
        **batch.arrays,
    }
    more = _scores(rng, attrs, arrays, heads, dim)
    if attrs.get("mask"):
        arrays["mask"] = more["mask"] = masks.join([_mask(rng, *one) for one in sequences])
    names = ("q", "kv_k", "kv_v", "positions", "token_seq", "page_table")
    want = oracle.attention(*(arrays[n] for n in names), **more)
    ends = [begin + new for begin, new in sequences]
    _forget(arrays, batch, page, [ends[owner] for owner in batch.token_seq])
    arrays["y"] = np.full((len(batch.positions), heads * dim), np.nan, np.float32)
    arrays["tiles"] = np.array(batch.tiles, np.int32)
    attrs |= {"H": heads, "KV": kv_heads, "D": dim}
    symbols = batch.symbols | ({"mask_words": arrays["mask"].shape[1]} if "mask" in arrays else {})
    return Case(attrs, arrays, symbols, {"y": want})


def _mask(rng: np.random.Generator, begin: int, new: int) -> np.ndarray:
    """A random mask of one sequence's new tokens: a tree, or any of the positions from some place
    on, later ones of the same step among them."""
    if rng.random() < 0.5:
        parents = [int(rng.integers(max(-1, i - 4), i)) for i in range(new)]
        return masks.tree_mask(parents, begin)
    first = int(rng.integers(0, begin + 1))
    seen = rng.random((new, begin + new - first)) < 0.4
    seen[:, begin - first :] |= np.eye(new, dtype=bool)
    return masks.mask_rows(list(seen), first, list(range(begin, begin + new)))


def _scores(
    rng: np.random.Generator, attrs: Attrs, arrays: dict[str, np.ndarray], heads: int, dim: int
) -> dict[str, Any]:
    """What becomes of scores: attributes, arrays, and the oracle's arguments."""
    attrs["scale"] = float(dim**-0.5)
    more = {name: attrs.get(name) for name in ("scale", "window", "softcap")}
    if attrs.get("sinks"):
        arrays["sinks"] = more["sinks"] = normal(rng, heads) * 2
        arrays["sinks"][0] = 200  # more than everything else
    return more


def _forget(
    arrays: dict[str, np.ndarray], batch: Batch, page: int, lengths: Sequence[int] | np.ndarray
) -> None:
    """Slots that hold no token yet must not matter: all but the first `lengths` of each token's
    sequence."""
    stale = np.ones((batch.pages, page), bool)
    for length, owner in zip(lengths, batch.token_seq, strict=True):
        for p in range(length):
            stale[batch.page_table[owner, p // page], p % page] = False
    for name in ("kv_k", "kv_v"):
        pages = arrays[name]
        pages.swapaxes(1, 2)[stale] = 2**32 - 1 if pages.dtype == np.uint32 else np.nan


def decode_attention(setting: Attrs, tier: Tier) -> Case:
    """One new token for each sequence: its shape gives their positions. Some begin with pages of
    others."""
    attrs = dict(setting)
    heads, kv_heads, dim, positions = attrs.pop("shape")
    page = attrs.get("page_size", 16)
    rng = seeded(setting, tier)
    batch = Batch(rng, [(position, 1) for position in positions], page)
    if attrs.get("mode") == "split":
        share(rng, batch.page_table, positions, page)
    rows = len(positions)
    arrays = {
        "qkv": normal(rng, rows, (heads + 2 * kv_heads) * dim) * 2,
        "inv_freq": (1e-4 ** (np.arange(0, dim, 2) / dim)).astype(np.float32),
        **_pages(rng, attrs, tier, (batch.pages, kv_heads, page, dim)),
        **batch.arrays,
    }
    more = _scores(rng, attrs, arrays, heads, dim)
    if attrs.get("qk_norm") is not None:
        gammas = {"q_gamma": normal(rng, dim) + 1, "k_gamma": normal(rng, dim) + 1}
        arrays |= gammas
        more |= {**gammas, "eps": attrs["qk_norm"]}
    _forget(arrays, batch, page, positions)
    names = ("qkv", "inv_freq", "positions", "page_table", "kv_k", "kv_v")
    given = {name: arrays[name] for name in names}
    want = oracle.decode_attention(**given, heads=heads, **more)

    def settle(got: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pages = {name: got[name] for name in ("kv_k", "kv_v")}
        y, *_ = oracle.decode_attention(**given | pages, heads=heads, append=False, **more)
        return {"y": y}

    cut = Cut(rng, positions, batch.page_table, page)
    arrays |= {
        "y": np.full((rows, heads * dim), np.nan, np.float32),
        "work": cut.table,
        "work_rows": cut.work_rows,
    }
    attrs |= {"H": heads, "KV": kv_heads, "D": dim}
    wanted = dict(zip(("y", "kv_k", "kv_v"), want, strict=True))
    return Case(attrs, arrays, batch.symbols | cut.symbols, wanted, settle)


def share(
    rng: np.random.Generator, page_table: np.ndarray, positions: Sequence[int], page: int
) -> None:
    """Lets rows begin with the pages of others before them, which may do so themselves."""
    for row in range(1, len(positions)):
        other = int(rng.integers(row))
        whole = min(positions[row], positions[other]) // page
        if rng.random() < 0.8:
            kept = int(rng.integers(whole // 2, whole + 1))
            page_table[row, :kept] = page_table[other, :kept]


class Cut:
    """Contexts cut at random pages, some not at all; most of what rows share is read once for them.
    Works of up to four pieces."""

    def __init__(
        self,
        rng: np.random.Generator,
        positions: Sequence[int],
        page_table: np.ndarray,
        page: int,
    ) -> None:
        self._rng = rng
        self._page_table, self._page = page_table, page
        self._positions = positions
        self._pieces: list[tuple[list[int], int, int]] = []
        self._visit(list(range(len(positions))), 0)
        counts = [sum(row in rows for rows, *_ in self._pieces) for row in range(len(positions))]
        self.work_rows = np.array([0, *itertools.accumulate(counts)], np.int32)
        self.table, self.symbols = self._table()

    def _visit(self, rows: list[int], depth: int) -> None:
        """Pieces of `rows`, which have the first pages in common, from page `depth` on."""
        if len(rows) == 1:
            self._cut(rows, depth * self._page, self._positions[rows[0]] + 1)
            return
        whole = min(self._positions[row] // self._page for row in rows)
        equal = (self._page_table[rows, :whole] == self._page_table[rows[0], :whole]).all(axis=0)
        end = whole if equal.all() else int(np.argmin(equal))
        at_end = [
            int(self._page_table[row, end])
            if self._positions[row] // self._page > end
            else -1 - row
            for row in rows
        ]
        if end > depth and self._rng.random() < 0.9:
            self._cut(rows, depth * self._page, end * self._page)
            depth = end
        for first in dict.fromkeys(at_end):
            group = [row for row, entry in zip(rows, at_end, strict=True) if entry == first]
            self._visit(group, depth)

    def _cut(self, rows: list[int], begin: int, end: int) -> None:
        inner = self._rng.permutation(np.arange(begin + self._page, end, self._page))
        edges = [begin, *sorted(int(at) for at in inner[: self._rng.integers(0, 5)]), end]
        self._pieces += [(rows, *piece) for piece in itertools.pairwise(edges)]

    def _table(self) -> tuple[np.ndarray, dict[str, int]]:
        part = self.work_rows.tolist()
        parts = {
            (row, begin): part[row] + order
            for row in range(len(self._positions))
            for order, begin in enumerate(b for rows, b, _ in self._pieces if row in rows)
        }
        kinds = [
            [piece for piece in self._pieces if (len(piece[0]) > 1) == shared]
            for shared in (False, True)
        ]
        works = [self._works(kind) for kind in kinds]
        item = len(works[0]) + len(works[1])
        named = item + len(self._pieces)
        headers: list[Any] = []
        pieces: list[Any] = []
        names: list[Any] = []
        for rows, begin, end in (piece for kind in works for work in kind for piece in work):
            if len(rows) == 1:
                pieces.append((rows[0], begin, end, parts[rows[0], begin]))
                continue
            pieces.append((named + len(names), begin, end, len(rows)))
            names += [(row, parts[row, begin], 0, 0) for row in rows]
        for work in (*works[0], *works[1]):
            headers.append((item, item + len(work), 0, 0))
            item += len(work)
        table = np.array([*headers, *pieces, *names], np.int32)
        symbols = {"works": len(works[0]), "shared_works": len(works[1]), "parts": part[-1]}
        return table, symbols

    def _works(self, pieces: list[Any]) -> list[list[Any]]:
        works = []
        while pieces:
            count = int(self._rng.integers(1, 5))
            works.append(pieces[:count])
            pieces = pieces[count:]
        return works


def text_attention(setting: Attrs, tier: Tier) -> Case:
    """Its shape gives the tokens of each text."""
    heads, dim, lengths = setting["shape"]
    rng = seeded(setting, tier)
    ends = np.cumsum(lengths)
    texts = np.stack([ends - lengths, ends, *rng.integers(0, 99, (2, len(ends)))], 1)
    arrays = {
        "qkv": normal(rng, ends[-1], 3 * heads * dim) * 2,
        "token_seq": np.repeat(np.arange(len(ends)), lengths).astype(np.int32),
        "texts": texts.astype(np.int32),
    }
    scale = float(dim**-0.5)
    want = oracle.text_attention(*arrays.values(), heads=heads, scale=scale)
    arrays["y"] = np.full((ends[-1], heads * dim), np.nan, np.float32)
    attrs = {"H": heads, "D": dim, "scale": scale}
    return Case(attrs, arrays, {"tokens": int(ends[-1]), "seqs": len(ends)}, {"y": want})


MAKERS: dict[str, Callable[[Attrs, Tier], Case]] = {
    "linear": linear,
    "embed": embed,
    "rope_append": rope_append,
    "attention": attention,
    "decode_attention": decode_attention,
    "text_attention": text_attention,
}
_DECODE_SHAPES = (
    (3, 1, 24, (0, 14, 15, 16, 17, 1030)),
    (4, 4, 64, (15, 511, 512)),
    (8, 4, 80, (33, 0)),
    (8, 2, 128, (16, 200)),
    (16, 2, 64, (300, 31, 32)),
    (14, 1, 96, (47, 100)),
    (22, 2, 32, (5, 260)),
    (2, 1, 256, (40, 7)),
)
SHAPES: dict[str, tuple[Any, ...]] = {
    "gemv": ((1, 7, 33), (3, 130, 256), (2, 41, 100), (1, 4, 2500), (2, 9, 4), (11, 37, 608)),
    "gemm": ((1, 7, 33), (65, 130, 96), (3, 64, 100), (17, 71, 5), (70, 3, 160)),
    "embed": ((5, 11, 33), (1, 300, 100), (70, 65, 544)),
    "rope_append": (
        (3, 1, 24, ((0, 1), (17, 5))),
        (4, 4, 64, ((15, 2), (0, 33), (5, 1))),
        (8, 2, 128, ((130000, 3),)),
        (2, 1, 256, ((31, 4),)),
        (14, 2, 80, ((1, 1), (1000, 1))),
    ),
    "attention_decode": _DECODE_SHAPES,
    "attention_partial": _DECODE_SHAPES[1::2],
    "attention_shared": (
        (9, 3, 64, (300, 310, 290, 300, 64, 200, 90, 301, 17)),
        (3, 1, 24, (40, 50, 60)),
        (14, 2, 128, (70, 130, 200, 129, 33)),
        (2, 1, 256, (170, 164)),
    ),
    "attention_merge": _DECODE_SHAPES[:1],
    "attention_prefill": (
        (3, 1, 24, ((0, 1), (17, 5), (0, 40))),
        (4, 4, 64, ((15, 2), (0, 33), (500, 17))),
        (8, 4, 80, ((33, 16),)),
        (6, 1, 96, ((0, 31), (3, 1))),
        (16, 2, 64, ((16, 20), (63, 1), (64, 1), (65, 2))),
        (14, 1, 32, ((60, 9),)),
        (8, 2, 128, ((16, 20), (100, 3))),
        (2, 1, 256, ((0, 35), (7, 1))),
    ),
    "text_attention": (
        (3, 4, (1,)),
        (2, 32, (5, 1, 9, 70, 3, 128)),
        (1, 64, (33, 300)),
        (2, 20, (64, 64, 1)),
        (1, 128, (31, 40)),
    ),
}
"""Odd shapes of each row: (tokens, N, K), (tokens, vocab, D), (heads, KV heads, head dim,
sequences or their positions) or (heads, head dim, tokens of each text)."""
