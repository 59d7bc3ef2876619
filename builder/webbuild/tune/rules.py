"""Search rules: which tunings of a kernel are worth a measurement.

A rule is a function of an op's attributes, the tier and the adapter that yields tunings of one row
of the registry; `@rule("gemv")` puts it into the table. A rule of your own, in a file that
`webbuild tune --rules FILE` names, needs no more than that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from webgpu_kernels.attrs import OpAttrs
from webgpu_kernels.launch import Tier
from webgpu_kernels.registry import KERNELS
from webgpu_kernels.row import Kernel, Tuning
from webgpu_kernels.variation import vary

from .runner import Adapter

Rule = Callable[[OpAttrs, Tier, Adapter], Iterable[Tuning]]

ROWS: dict[str, Kernel] = {row.name: row for row in KERNELS}
_RULES: list[tuple[str, Rule]] = []


def rule(*rows: str) -> Callable[[Rule], Rule]:
    """Registers a rule for rows of the registry, by name."""
    unknown = set(rows) - ROWS.keys()
    if unknown:
        raise KeyError(f"no kernel is called {', '.join(sorted(unknown))}")

    def register(function: Rule) -> Rule:
        _RULES.extend((row, function) for row in rows)
        return function

    return register


def candidates(row: Kernel, attrs: OpAttrs, tier: Tier, adapter: Adapter) -> list[Tuning]:
    """What the rules propose for a row, each once; the row's own tunings come first."""
    found = {tuning.name: tuning for tuning in row.tunings}
    for name, function in _RULES:
        if name == row.name:
            for tuning in function(attrs, tier, adapter):
                found.setdefault(tuning.name, tuning)
    return list(found.values())


def sweep(row: Kernel, base: str, **choices: Iterable[int]) -> Iterator[Tuning]:
    """Variations of the row's tuning `base` over all combinations of choices; nothing if the row
    has no such tuning."""
    if any(tuning.name == base for tuning in row.tunings):
        for values in itertools.product(*choices.values()):
            yield vary(row, base, **dict(zip(choices, values, strict=True)))


# --- shipped rules -------------------------------------------------------------------------------


@rule("gemv")
def gemv(attrs: OpAttrs, tier: Tier, adapter: Adapter) -> Iterator[Tuning]:
    """Threads, rows of a team; for software adapters the number of workgroups."""
    row = ROWS["gemv"]
    if adapter.software:
        for base in ("teams", "cpu"):
            yield from sweep(row, base, workgroups=(2, 4, 8, 16, 32))
    for base in ("default", "subgroups"):
        yield from sweep(row, base, team_rows=(4, 8, 16))


@rule("gemm")
def gemm(attrs: OpAttrs, tier: Tier, adapter: Adapter) -> Iterator[Tuning]:
    """Token rows of a tile."""
    row = ROWS["gemm"]
    yield from sweep(row, row.tunings[0].name, rows=(16, 32, 48, 64))
    if adapter.software:
        yield from sweep(row, "lanes8", rows=(4, 8, 12, 16))


@rule("attention_decode")
def attention_decode(attrs: OpAttrs, tier: Tier, adapter: Adapter) -> Iterator[Tuning]:
    """Query heads of a workgroup."""
    row = ROWS["attention_decode"]
    for base in ("default", "teams"):
        yield from sweep(row, base, heads=(1, 2, 4, 8))


@rule("attention_prefill")
def attention_prefill(attrs: OpAttrs, tier: Tier, adapter: Adapter) -> Iterator[Tuning]:
    """Query heads of a workgroup, groups of invocations that share the rows; rows of a team."""
    row = ROWS["attention_prefill"]
    yield from sweep(row, row.tunings[0].name, heads=(1, 2, 3, 4), row_groups=(1, 2, 4, 8))
    yield from sweep(row, "teams", team_rows=(4, 8, 16))
