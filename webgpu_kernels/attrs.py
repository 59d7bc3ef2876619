"""Static attributes of each library op, checked before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Final, Literal, TypeVar, get_args

from .packing import GROUP, PACKINGS

Quant = Literal["q4", "q8", "f16", "f32"]
RowSplits = tuple[tuple[int, int], ...]
KvStore = Literal["float", "int8"]
"""How keys and values are kept: as floats of the tier's type, or as int8 with a scale for each
token and KV head."""

COLUMNS: Final = (4, 8)
"""How many output rows of a matrix-vector product one read of the weights may serve, besides one:
attribute `columns` of `linear`. Each is a kernel of its own; see `columns_for`."""


def columns_for(rows: int) -> int:
    """The `columns` to compile for steps of at most `rows` output rows: the fewest that serve them
    with one read of the weights, else the most there are; 1 for one row."""
    return 1 if rows <= 1 else next((n for n in COLUMNS if n >= rows), COLUMNS[-1])


class BadAttributeError(ValueError):
    """An op was asked for with attributes that no kernel can serve; the message says which and
    why."""

    def __init__(self, op: str, attribute: str, problem: str) -> None:
        super().__init__(f"{op}: attribute `{attribute}` {problem}")
        self.op = op
        self.attribute = attribute


@dataclass(frozen=True)
class OpAttrs:
    """Base of the attribute records; `op` is the name that `lower` takes."""

    op: ClassVar[str]

    def check(self) -> None:
        """Raises BadAttributeError for values that cannot work."""

    def require(self, good: bool, attribute: str, problem: str) -> None:
        """Raises BadAttributeError unless `good`."""
        if not good:
            raise BadAttributeError(
                self.op, attribute, f"is {getattr(self, attribute)!r}: {problem}"
            )

    def require_positive(self, *names: str) -> None:
        """Raises BadAttributeError unless every named attribute is an integer ≥ 1."""
        for name in names:
            value = getattr(self, name)
            good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            self.require(good, name, "must be an integer ≥ 1")

    def require_matrix(
        self, quant: Quant, rows: int, columns: str, splits: RowSplits | None
    ) -> None:
        """Checks a weight matrix: known quantisation, whole groups along K, splits that cover
        every row once."""
        self.require(quant in get_args(Quant), "quant", f"must be one of {get_args(Quant)}")
        if quant in PACKINGS:
            whole = getattr(self, columns) % GROUP == 0
            self.require(whole, columns, f"{quant} needs a multiple of {GROUP}")
        if splits is not None:
            edges = [0, *(end for _, end in splits)]
            good = [begin for begin, _ in splits] == edges[:-1] and edges == sorted(set(edges))
            good = good and edges[-1] == rows
            self.require(good, "row_splits", f"must cut 0..{rows} into consecutive ranges")


@dataclass(frozen=True)
class LinearAttrs(OpAttrs):
    """y[T, N] = [rms_norm(x)·γ | x | x[rows]] · Wᵀ + bias + residual, or silu(gate) · up with
    `glu`."""

    op: ClassVar[str] = "linear"
    N: int
    """Output columns; with `glu` the width F of gate and of up."""
    K: int
    quant: Quant
    mode: Literal["gemv", "gemm"]
    norm: float | None = None
    """ε of the RMSNorm folded into the product."""
    bias: bool = False
    residual: bool = False
    glu: bool = False
    gather: bool = False
    rows_symbol: str = "tokens"
    """Symbol that counts the output rows."""
    row_splits: RowSplits | None = None
    columns: int = 1
    """Mode gemv: output rows (columns of the transposed product) that one read of the weights
    serves: 1 or one of COLUMNS. More rows than that are served by a higher grid; fewer cost as
    much. A row's result is the same whatever the number: bit for bit with packed weights on
    software adapters, else but for rounding."""
    approximate: bool = False
    """Alternatives may round the activations to int8, with a scale for each group of 32."""

    def check(self) -> None:
        self.require_positive("N", "K", "columns")
        self.require_matrix(self.quant, self.N, "K", self.row_splits)
        self.require(self.mode in ("gemv", "gemm"), "mode", "must be 'gemv' or 'gemm'")
        self.require(self.norm is None or self.norm >= 0, "norm", "must be None or an ε ≥ 0")
        known = (1, *COLUMNS) if self.mode == "gemv" else (1,)
        self.require(self.columns in known, "columns", f"must be one of {known} in this mode")


@dataclass(frozen=True)
class EmbedAttrs(OpAttrs):
    """x[T, D] = table[token_ids]; a negative id stands for last_tokens[-1 - id]."""

    op: ClassVar[str] = "embed"
    vocab: int
    D: int
    quant: Quant
    row_splits: RowSplits | None = None

    def check(self) -> None:
        self.require_positive("vocab", "D")
        self.require_matrix(self.quant, self.vocab, "D", self.row_splits)


@dataclass(frozen=True)
class HeadsAttrs(OpAttrs):
    """Shape of grouped-query attention over a paged KV cache."""

    H: int
    """Query heads."""
    KV: int
    """Key/value heads."""
    D: int
    """Head dimension."""
    kv: KvStore = field(default="float", kw_only=True)

    def check(self) -> None:
        self.require_positive("H", "KV", "D")
        self.require(self.kv in get_args(KvStore), "kv", f"must be one of {get_args(KvStore)}")
        self.require(self.H % self.KV == 0, "H", f"must be a multiple of KV = {self.KV}")
        self.require(self.D % 8 == 0 and self.D <= 256, "D", "must be a multiple of 8, at most 256")


@dataclass(frozen=True)
class RopeAppendAttrs(HeadsAttrs):
    """Rotates q and k (after the optional per-head RMSNorm) and appends k and v to their page."""

    op: ClassVar[str] = "rope_append"
    qk_norm: float | None = None
    """ε of the per-head RMSNorm of q and k (Qwen3)."""
    page_size: int = 16

    def check(self) -> None:
        super().check()
        self.require_positive("page_size")


@dataclass(frozen=True)
class ScoreAttrs(HeadsAttrs):
    """softmax(q·kᵀ·scale)·v over pages: what becomes of scores."""

    scale: float
    page_size: int = 16
    window: int | None = None
    """A token sees only the last so many positions, its own among them."""
    softcap: float | None = None
    """Scores become cap · tanh(score / cap) (Gemma 2)."""
    sinks: bool = False
    """A logit per head takes part in the softmax's sum, and stands for no value (gpt-oss)."""

    def check(self) -> None:
        super().check()
        self.require_positive("page_size", *(["window"] if self.window is not None else []))
        self.require(self.softcap is None or self.softcap > 0, "softcap", "must be None or > 0")


@dataclass(frozen=True)
class AttentionAttrs(ScoreAttrs):
    """Attention of a step's tokens over pages, which hold their keys and values already."""

    op: ClassVar[str] = "attention"
    mask: bool = False
    """A token sees what its row of `mask` says, instead of all positions up to its own."""


@dataclass(frozen=True)
class DecodeAttentionAttrs(ScoreAttrs):
    """rope_append and attention of one new token per sequence."""

    op: ClassVar[str] = "decode_attention"
    mode: Literal["whole", "split"] = "whole"
    """`split`: contexts are cut into pieces, as the host has planned, that are merged after."""
    qk_norm: float | None = None
    """ε of the per-head RMSNorm of q and k (Qwen3)."""

    def check(self) -> None:
        super().check()
        self.require(self.mode in ("whole", "split"), "mode", "must be 'whole' or 'split'")


@dataclass(frozen=True)
class TextAttentionAttrs(OpAttrs):
    """softmax(q·kᵀ·scale)·v of each token over all tokens of its text (encoders)."""

    op: ClassVar[str] = "text_attention"
    H: int
    D: int
    scale: float

    def check(self) -> None:
        self.require_positive("H", "D")
        self.require(self.D % 4 == 0, "D", "must be a multiple of 4")
        self.require(self.D <= 128, "D", "must be at most 128")


@dataclass(frozen=True)
class SampleAttrs(OpAttrs):
    """Draws the token that follows each row of logits."""

    op: ClassVar[str] = "sample"
    vocab: int
    limits: bool = True
    """Whether rows may ask for top-k, top-p or min-p; without, a kernel is a part as long."""

    def check(self) -> None:
        self.require_positive("vocab")


@dataclass(frozen=True)
class LogprobsAttrs(SampleAttrs):
    """Log-probabilities of the drawn token and of the likeliest ones."""

    op: ClassVar[str] = "logprobs"


A = TypeVar("A", bound=OpAttrs)


def parse(kind: type[A], attrs: Mapping[str, Any]) -> A:
    """Builds the record `kind` from plain data. Raises BadAttributeError for unknown, missing or
    bad attributes."""
    known = {field.name: field for field in fields(kind)}
    for name in attrs:
        if name not in known:
            raise BadAttributeError(kind.op, name, f"is unknown; known are {', '.join(known)}")
    for name, one in known.items():
        if name not in attrs and one.default is MISSING:
            raise BadAttributeError(kind.op, name, "is missing")
    values = dict(attrs)
    if values.get("row_splits") is not None:
        values["row_splits"] = tuple((int(begin), int(end)) for begin, end in values["row_splits"])
    record = kind(**values)
    record.check()
    return record
