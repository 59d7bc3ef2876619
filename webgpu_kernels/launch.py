"""What lowering an op gives: WGSL sources with their bindings, parameters and grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Operator = Literal["+", "-", "*", "//", "%", "min", "max"]
Expr: TypeAlias = int | str | tuple[Operator, "Expr", "Expr"]
"""An integer, the name of a symbol (`tokens`, `seqs`, …), or an operator over two expressions."""

Access = Literal["read", "read_write"]
ScalarType = Literal["i32", "u32", "f32"]
Tier = Literal["f16", "f32"]
"""`f16`: the adapter has shader-f16, the KV cache is f16; `f32`: runs everywhere, the KV cache is
f32."""

Suits = Literal["any", "cpu", "measured"]
"""Which adapters a kernel was shaped for: `cpu` for software adapters, whose subgroups are vector
registers and which pay for every load that differs between lanes; `measured` for those where a
record of a measurement names it."""

F32_MATRICES = "subgroup-matrix-f32-8x8x8"
"""Beside WebGPU's own, a feature of ours: the adapter has `chromium-experimental-subgroup-matrix`
for 8 × 8 matrices of f32, in subgroups of at most 32."""
NARROW = "narrow-subgroups"
"""Another feature of ours: the adapter's smallest subgroups have 8 or 16 invocations, as those of
Intel and Arm, each of which has some 64 registers. Every adapter can run what names it."""

Grid: TypeAlias = tuple[Expr, Expr, Expr]

MAX_GRID = 65535
"""Most workgroups of one dimension (the WebGPU default limit)."""


MAX_BINDINGS = 10
"""Most storage bindings of one kernel: what Metal gives, and Chrome by default."""


class Binding(NamedTuple):
    """A storage binding; its index in `KernelLaunch.bindings` is its number in group 0."""

    name: str
    access: Access
    nbytes: Expr | None = None
    """Size of a scratch buffer; None for the op's own inputs and outputs. Scratch of one name is
    one buffer for all
    launches of an op, and holds nothing before or after them."""


class Param(NamedTuple):
    """One 32-bit field of the uniform block, which is binding number `len(bindings)`."""

    name: str
    dtype: ScalarType
    value: Expr


@dataclass(frozen=True)
class KernelLaunch:
    """One dispatch of one WGSL kernel."""

    name: str
    """Readable variant, e.g. `gemv_q4.norm.glu`."""
    wgsl: str
    workgroup_size: tuple[int, int, int]
    workgroup_bytes: int
    """Workgroup memory in bytes; at most 16384."""
    bindings: tuple[Binding, ...]
    params: tuple[Param, ...]
    grid: Grid
    features: tuple[str, ...] = ()
    """WebGPU features the source needs."""
    entry_point: str = "main"
    rows: tuple[int, int] | None = None
    """For a matrix cut by rows: the rows this launch covers. Its weight bindings start at the
    first of them."""
    tuning: str = ""
    """Name of the row's tuning that this is, such as `lanes8`."""
    approximate: bool = False
    """Its numbers differ by more than rounding from those of the launch's first kernel."""
    suits: Suits = "any"
    alternatives: tuple[KernelLaunch, ...] = ()
    """Other kernels for the same launch, best first: same bindings, params and rows; own source,
    grid and features. This one itself needs only what the tier has, and runs anywhere."""
    tuning_key: str = ""
    """Names op, variant and shape in records of measured tunings; the same for all alternatives."""


def ceil_div(value: Expr, divisor: int) -> Expr:
    """⌈value / divisor⌉."""
    if isinstance(value, int):
        return -(-value // divisor)
    return ("//", ("+", value, divisor - 1), divisor)
