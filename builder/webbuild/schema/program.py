"""program.json: flat launch lists over named symbols; what an executor replays.

Expressions are integers, symbol names, or `[op, a, b]` with op one of `+ - * // % min max` over
non-negative integers (`//` and `%` floor). Grids and params are evaluated once per step; storage
sizes once at load, with every symbol at its maximum.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from .base import Format
from .kernels import ScalarType

PROGRAM_VERSION: Literal[5] = 5

SPLIT_CONTEXT = 384
"""Tokens of the longest context from which executors run `decode_split`, where a tier has it:
decoding in pieces pays from there, as a workgroup for each KV head leaves most of a GPU with
nothing to do. The same in runtime_js/src/engine/works.ts."""
SOFTWARE_SPLIT_CONTEXT = 1024
"""The same of software adapters, which have few cores."""

Operator = Literal["+", "-", "*", "//", "%", "min", "max"]
Integer = Annotated[int, Field(ge=-(2**53 - 1), le=2**53 - 1)]
"""What a float64, and so JavaScript, holds exactly."""
Expr = TypeAliasType("Expr", "Integer | str | tuple[Operator, Expr, Expr]")

DType = Literal["f32", "f16", "i32", "u32"]
KvStore = Literal["float", "int8"]
"""How keys and values are kept: in the tier's float type, or in int8 with a scale for each token
and KV head."""


class Symbol(Format):
    """A named integer known to the host at each step, or fixed at load."""

    name: str
    description: str
    scope: Literal["load", "step"]
    """`load`: chosen once by the runtime (pages, max_pages, slots); `step`: varies per step."""
    max: int | None = None
    """Upper bound fixed by the pack (tokens ≤ prefill chunk, seqs ≤ batch); None: set at load."""


class Segment(Format):
    """A byte range of a stored tensor that becomes one GPU binding.

    At most 128 MiB, so that it fits every adapter.
    """

    tensor: str
    """Name in tensor-cache.json."""
    offset: Annotated[int, Field(ge=0)]
    nbytes: Annotated[int, Field(gt=0)]
    transform: Literal["none", "f16_to_f32"] = "none"
    """Applied while uploading; `f16_to_f32` doubles the resident bytes (only for 1-D tensors)."""


class WeightBinding(Format):
    """A weight segment, by index into `Program.segments`."""

    kind: Literal["weight"] = "weight"
    segment: Annotated[int, Field(ge=0)]


class StorageBinding(Format):
    """A planned activation storage, by index into `Tier.storages`."""

    kind: Literal["storage"] = "storage"
    index: Annotated[int, Field(ge=0)]


class BufferBinding(Format):
    """A persistent named buffer (`Tier.buffers`): KV pages, logits, sampler state."""

    kind: Literal["buffer"] = "buffer"
    name: str


class InputBinding(Format):
    """A read-only slice of the step block (`Program.inputs`), written by the host once per step."""

    kind: Literal["input"] = "input"
    name: str


Binding = TypeAliasType(
    "Binding",
    Annotated[
        WeightBinding | StorageBinding | BufferBinding | InputBinding, Field(discriminator="kind")
    ],
)


class Input(Format):
    """A step-block array: row-major, sized at symbol maxima, 256-byte aligned in the block."""

    name: str
    dtype: Literal["i32", "u32"]
    shape: tuple[Expr, ...]


class Buffer(Format):
    """A persistent GPU buffer, zero at load."""

    name: str
    dtype: DType
    shape: tuple[Expr, ...]


class Param(Format):
    """One 32-bit field of a launch's uniform block."""

    dtype: ScalarType
    value: Expr | float


class Alternative(Format):
    """Another kernel for a launch: same bindings and params, its own grid."""

    kernel: str
    grid: tuple[Expr, Expr, Expr]


class Few(Format):
    """Another kernel for a launch in steps of few rows: same bindings and params, its own grid."""

    rows: Literal["tokens", "seqs", "outs"]
    """The symbol that counts the rows of the launch's result."""
    least: Annotated[int, Field(gt=0)]
    most: Annotated[int, Field(gt=0)]
    """It takes the launch's place in steps with least..most rows."""
    kernel: str
    """Runs on every adapter of the tier."""
    grid: tuple[Expr, Expr, Expr]
    alternatives: tuple[Alternative, ...] = ()


class Launch(Format):
    """One dispatch."""

    kernel: str
    """Key into kernels.json."""
    label: str
    """`layers.3.qkv`, `head`, `embed` …: where it comes from; stable across builds."""
    bindings: tuple[Binding, ...]
    params: int | None = None
    """Index into `Function.params`; launches with equal fields share an entry."""
    grid: tuple[Expr, Expr, Expr]
    """Workgroups; each ≤ 65535 (the builder splits larger x into x·z)."""
    alternatives: tuple[Alternative, ...] = ()
    """Best first. An executor takes one that suits its adapter; `kernel` runs on every adapter of
    the tier."""
    few: int | None = None
    """Index into `Function.few`."""


class Function(Format):
    """A launch list with its uniform blocks."""

    params: tuple[tuple[Param, ...], ...] = ()
    few: tuple[tuple[Few, ...], ...] = ()
    """For launches, which share entries: kernels for different numbers of rows, ascending."""
    launches: tuple[Launch, ...]


class Tier(Format):
    """One compiled form of the program. Weights are shared by all tiers."""

    requires: tuple[str, ...]
    """WebGPU features; the runtime takes the first tier whose features the adapter has."""
    kv_dtype: Literal["f16", "f32", "int8"]
    """Of the pages' buffers; int8 has a scale for each token and KV head: u32 words, of keys
    [pages, kv_heads, page_size, head_dim / 4 + 2], of values [.., head_dim / 4]."""
    storages: tuple[Expr, ...]
    """Bytes of each activation storage, evaluated with symbols at their maxima."""
    buffers: tuple[Buffer, ...]
    functions: dict[str, Function]
    """`prefill`, `decode`, `sample`, `logprobs`; `decode_split` and `sample_plain` (for rows
    without top-k, top-p and min-p), which a pack may lack."""


class Program(Format):
    """program.json."""

    format_version: Literal[5] = PROGRAM_VERSION
    page_size: Annotated[int, Field(gt=0)]
    """Tokens per KV page."""
    symbols: tuple[Symbol, ...]
    inputs: tuple[Input, ...]
    segments: tuple[Segment, ...]
    tiers: dict[str, Tier]
    """`f16`, `f32`, in order of preference."""
