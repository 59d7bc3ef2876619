"""From a config to a launch program: the passes, in order, on one screen.

1  quantize    weights become stored arrays and `dequantize` calls
2  match       patterns of hot ops become calls of library kernels (not with library=False)
3  legalize    everything else becomes TIR, our own ops included
4  fuse        element-wise TIR joins what it follows
5  schedule    dlight maps TIR to workgroups
6  lower       calls write to buffers given to them
7  plan        buffers share storages, sized for the largest step
8  generate    scheduled TIR becomes WGSL                        (codegen.py)
9  walk        the Relax function becomes calls on storages      (walk.py)
10 launch      calls become launches within WebGPU's limits      (launches.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tvm
from tvm import relax, tirx
from tvm.s_tir import dlight

from webgpu_kernels.launch import Tier

from .codegen import TARGET, Dispatch, Lowered, lower
from .domain import OPAQUE
from .legalize import legalize
from .match import CanCut, match
from .modules import replaced
from .quantize import Weight, quantize
from .traces import replay, tuning_key

Pass = Callable[[tvm.IRModule], tvm.IRModule]
Traces = Mapping[str, Sequence[Any]]


def passes(
    weights: Mapping[str, Weight],
    tier: Tier,
    maxima: Mapping[str, int],
    can_cut: CanCut,
    library: bool,
) -> list[tuple[str, Pass]]:
    """Passes 1 to 7 by name: each takes a module and returns a new one."""
    return [
        ("quantize", lambda module: quantize(module, weights, tier)),
        ("match", lambda module: match(module, tier, can_cut) if library else module),
        ("legalize", legalize),
        ("fuse", _fuse),
        ("schedule", _schedule),
        ("lower", _lower),
        ("plan", lambda module: _plan(module, maxima)),
    ]


def run(
    module: tvm.IRModule, passes: list[tuple[str, Pass]], tier: str, dump: Path | None
) -> dict[str, tvm.IRModule]:
    """The module after each pass, by name; their texts go to `dump` as ``03-legalize.f16.py``."""
    modules = {}
    for number, (name, transform) in enumerate(passes, start=1):
        with TARGET:
            module = transform(module)
        modules[name] = module
        if dump is not None:
            text = module.script(show_meta=False)
            (dump / f"{number:02}-{name}.{tier}.py").write_text(text, encoding="utf-8")
    return modules


def _fuse(module: tvm.IRModule) -> tvm.IRModule:
    return _sequence(
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    )(module)


def _schedule(module: tvm.IRModule) -> tvm.IRModule:
    gpu = dlight.gpu
    # The other rules want one element written per iteration, and crash on blocks that hold loops.
    opaque = {
        variable: function
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc) and function.attrs.get("op_pattern") == OPAQUE
    }
    scheduled = dlight.ApplyDefaultSchedule(gpu.Fallback())(tvm.IRModule(opaque))
    module = replaced(module, dict(scheduled.functions_items()))
    # Not gpu.Matmul: products belong to the library, and its kernels are 50 kB of WGSL each.
    return dlight.ApplyDefaultSchedule(
        gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback()
    )(module)


def _lower(module: tvm.IRModule) -> tvm.IRModule:
    return _sequence(
        relax.transform.RewriteDataflowReshape(),
        relax.transform.ToNonDataflow(),
        relax.transform.RemovePurityChecking(),
        relax.transform.CallTIRRewrite(),
    )(module)


def _plan(module: tvm.IRModule, maxima: Mapping[str, int]) -> tvm.IRModule:
    bounded = {
        variable: function.with_attr("tir_var_upper_bound", dict(maxima))
        for variable, function in module.functions_items()
        if isinstance(function, relax.Function)
    }
    return relax.transform.StaticPlanBlockMemory()(replaced(module, bounded))


def _sequence(*steps: tvm.transform.Pass) -> tvm.transform.Pass:
    return tvm.transform.Sequential(list(steps))


@dataclass(frozen=True)
class TvmOp:
    """A PrimFunc that a program runs as one launch, which other schedules could replace.

    function: not scheduled yet. default: its launch as dlight schedules it.
    """

    name: str
    key: str
    tier: Tier
    function: tirx.PrimFunc
    default: Dispatch


class Kernels:
    """Pass 8 on demand: the PrimFuncs of a planned module, each lowered once.

    modules: after each pass. traces: what records advise for a tuning key, by tuning.
    """

    def __init__(
        self, modules: Mapping[str, tvm.IRModule], tier: Tier, traces: Callable[[str], Traces]
    ) -> None:
        self.planned, self.fused = modules["plan"], modules["fuse"]
        self.tier = tier
        self.traces = traces
        self.ops: list[TvmOp] = []
        self._lowered: dict[str, Lowered] = {}

    def __call__(self, name: str) -> Lowered:
        if name not in self._lowered:
            with TARGET:
                self._lowered[name] = self._lower(name)
        return self._lowered[name]

    def _lower(self, name: str) -> Lowered:
        lowered = lower(name, self.planned[name])
        if lowered.single is None:
            return lowered
        function = self.fused[name]
        key = tuning_key(name, function)
        default = _tuned(lowered.single, "default", key, "any")
        others = []
        for tuning, trace in self.traces(key).items():
            other = retraced(name, function, default, trace)
            if other is not None and other.kernel.wgsl != default.kernel.wgsl:
                others.append(_tuned(other, tuning, key, "measured"))
        self.ops.append(TvmOp(name, key, self.tier, function, default))
        lowered.dispatches[:] = [replace(default, others=tuple(others))]
        return lowered


def retraced(
    name: str, function: tirx.PrimFunc, default: Dispatch, trace: Sequence[Any]
) -> Dispatch | None:
    """A function's launch under a trace; None if the trace does not lead to one that can take the
    default's place."""
    scheduled = replay(function, trace)
    if scheduled is None:
        return None
    try:
        with TARGET:
            other = lower(name, scheduled).single
    except (RuntimeError, ValueError, TypeError):
        return None  # a schedule that WGSL cannot express, such as two grids in one
    if other is None or (other.arguments, other.params) != (default.arguments, default.params):
        return None
    return other if other.kernel.bindings == default.kernel.bindings else None


def _tuned(
    dispatch: Dispatch, tuning: str, key: str, suits: Literal["any", "measured"]
) -> Dispatch:
    update = {"tuning": tuning, "tuning_key": key, "suits": suits}
    return replace(dispatch, kernel=dispatch.kernel.model_copy(update=update))
