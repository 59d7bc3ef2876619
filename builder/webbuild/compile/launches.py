"""Pass 10: calls on buffers become launches, within the limits of every WebGPU adapter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from webbuild.errors import KernelExceedsLimitsError, TensorTooLargeError
from webbuild.schema import Binding, Function, Kernel, Launch
from webbuild.schema.check import MAX_BINDING_BYTES, MAX_GRID
from webbuild.schema.expression import evaluate, symbols_of
from webbuild.schema.kernels import kernel_id
from webbuild.schema.program import (
    Alternative,
    BufferBinding,
    Expr,
    Few,
    InputBinding,
    Param,
    StorageBinding,
    WeightBinding,
)
from webgpu_kernels.launch import KernelLaunch
from webgpu_kernels.launch import Param as LibraryParam
from webgpu_kernels.launch import Tier as TierName
from webgpu_kernels.variation import lower_with

from .codegen import Dispatch, Lowered
from .expressions import as_expr, binary, ceil_div, substitute
from .few import FewRows, few_rows
from .limits import check_aliases, check_limits
from .segments import Segments
from .walk import LibraryCall, Operand, Plan, TirCall

#: What a page would read before anything can compile, slowly: they are not ASCII.
_COMMENT_LINES = re.compile(r"^ *//.*\n", re.MULTILINE)

Grid = tuple[Expr, Expr, Expr]

#: What library kernels call the arrays of a matrix; with `glu` also with `up_` before it.
_MATRIX = ("q_weight", "q_scale", "weight")

#: Symbols that loads choose, and that storages can depend on.
_GROWING = frozenset(("outs", "works", "shared_works", "parts"))

_LAYER_WEIGHT = re.compile(r"\.layers\.(\d+)\.(?:.*\.)?(\w+)\.\w+$")
_LAYER_PAGES = re.compile(r"kv_[kv]\.(\d+)$")


@dataclass(frozen=True)
class LibraryOp:
    """A library op that a program runs, as `webgpu_kernels.lower` takes it."""

    op: str
    attrs: Mapping[str, Any]
    tier: TierName


class _Pending(NamedTuple):
    """A launch whose storages have no place yet. params, few: indices in the function."""

    label: str
    kernel: str
    operands: Sequence[Operand | int]
    params: int | None
    grid: Grid
    alternatives: tuple[Alternative, ...]
    few: int | None


class Launches:
    """Builds the functions of one tier, which share storages and kernels.

    advised: names of the tunings that records advise for a tuning key.
    """

    def __init__(
        self,
        tier: TierName,
        segments: Segments,
        maxima: Mapping[str, int],
        advised: Callable[[str], Iterable[str]] = lambda key: (),
    ) -> None:
        self.tier = tier
        self.segments = segments
        self.maxima = maxima
        self.advised = advised
        self.ops: dict[str, LibraryOp] = {}
        self.kernels: dict[str, Kernel] = {}
        self.storages: list[Expr] = []
        """Their bytes. Most are planned for the largest step; those that grow with `outs` or
        pieces of contexts stand apart, as a load chooses how many there are."""
        self.planned: list[int] = []
        """Which storages the functions share, the largest first."""
        self.growing: dict[tuple[Expr, int], int] = {}
        """Which storage is the n-th of a size."""

    def function(self, plan: Plan, lowered: Callable[[str], Lowered]) -> Function:
        """The launches of `plan`. lowered: gives a PrimFunc's kernels by its name."""
        builder = _Builder(self, plan.storages)
        for call in plan.calls:
            if isinstance(call, TirCall):
                builder.tir(call, lowered(call.name))
            else:
                builder.library(call)
        return builder.function()


class _Builder:
    """One function."""

    def __init__(self, tier: Launches, storages: Sequence[Expr]) -> None:
        self.tier = tier
        self.sizes = list(storages)
        self.planned = len(storages)
        self.layer: str | None = None
        self.launches: list[_Pending] = []
        self.params: dict[tuple[Param, ...], int] = {}
        self.few: dict[tuple[Few, ...], int] = {}

    # --- calls ---------------------------------------------------------------------------------

    def tir(self, call: TirCall, lowered: Lowered) -> None:
        """The launches of a PrimFunc, with its symbols bound to the sizes of the operands."""
        symbols: dict[str, Expr] = {}
        for shape, operand in zip(lowered.shapes, call.operands, strict=True):
            for name, size in zip(shape, operand.shape, strict=True):
                if isinstance(name, str):
                    symbols[name] = size
        scratch = self._scratch(
            {name: substitute(size, symbols) for name, size in lowered.scratch.items()}
        )
        label = self._label(call.name, call.operands)
        for dispatch in lowered.dispatches:
            operands: list[Operand | int] = []
            for argument in dispatch.arguments:
                if isinstance(argument, str):
                    operands.append(scratch[argument])
                    continue
                operand = call.operands[argument]
                weight = operand.kind == "weight"
                operands.append(self.tier.segments.number(operand.name) if weight else operand)
            values = [substitute(value, symbols) for value in dispatch.params]
            grids = [self._grid(one, symbols) for one in (dispatch, *dispatch.others)]
            others = [
                (other.kernel, grid) for other, grid in zip(dispatch.others, grids[1:], strict=True)
            ]
            self._launch(label, dispatch.kernel, operands, values, grids[0], others)

    def library(self, call: LibraryCall) -> None:
        """The launches of a library op; a cut weight gives one for each piece."""
        attrs = dict(call.attrs)
        arrays = [call.operands[name].name for name in _MATRIX if name in call.operands]
        rows = attrs.get("N", attrs.get("vocab", 0))
        if arrays:
            attrs["row_splits"] = self.tier.segments.row_splits(arrays, rows)
        label = self._label(call.op, tuple(call.operands.values()))
        launches = self._lowered(call.op, attrs)
        others_of = [
            (few, self._lowered(call.op, few.attrs))
            for few in few_rows(call.op, attrs, self.tier.maxima)
        ]
        scratch = self._scratch(
            {
                binding.name: as_expr(binding.nbytes)
                for launch in launches
                for binding in launch.bindings
                if binding.nbytes is not None
            }
        )
        for i, launch in enumerate(launches):
            operands = [
                scratch[binding.name]
                if binding.nbytes is not None
                else self._library_operand(call, binding.name, rows, launch.rows)
                for binding in launch.bindings
            ]
            values = [as_expr(param.value) for param in launch.params]
            few = tuple(
                self._few(label, few, lowered[i], launch.params) for few, lowered in others_of
            )
            self._launch(
                label,
                _library_kernel(launch),
                operands,
                values,
                _library_grid(launch),
                _alternatives(launch),
                few,
            )

    def _lowered(self, op: str, attrs: Mapping[str, Any]) -> list[KernelLaunch]:
        """An op's launches; it becomes one of the tier's."""
        launches = lower_with(op, attrs, self.tier.tier, self.tier.advised)
        key = " ".join(launch.tuning_key for launch in launches)
        self.tier.ops.setdefault(key, LibraryOp(op, attrs, self.tier.tier))
        return launches

    def _few(
        self, label: str, few: FewRows, launch: KernelLaunch, params: Sequence[LibraryParam]
    ) -> Few:
        """A launch for few rows, in the place of one with these params."""
        assert tuple(launch.params) == tuple(params), f"{launch.name} has params of its own"
        grid = _library_grid(launch)
        return Few(
            rows=few.rows,
            least=few.least,
            most=few.most,
            kernel=self._kernel(label, _library_kernel(launch), grid),
            grid=grid,
            alternatives=tuple(
                Alternative(kernel=self._kernel(label, other, size), grid=size)
                for other, size in _alternatives(launch)
            ),
        )

    def _library_operand(
        self, call: LibraryCall, name: str, rows: int, piece: tuple[int, int] | None
    ) -> Operand | int:
        """What a kernel's binding `name` is: an operand, or the segment of a weight.

        rows: of the op's matrix; with `glu` of each half, the gate first. A piece counts within.
        """
        half = rows if name.startswith("up_") else 0
        operand = call.operands[name.removeprefix("up_")]
        if operand.kind != "weight":
            return operand
        if name.removeprefix("up_") in _MATRIX:
            begin, end = piece or (0, rows)
        elif call.attrs.get("glu") and name.removeprefix("up_") == "bias":
            begin, end = 0, rows
        else:
            return self.tier.segments.number(operand.name)
        return self.tier.segments.number(operand.name, (begin + half, end + half))

    # --- parts ---------------------------------------------------------------------------------

    def _label(self, op: str, operands: Sequence[Operand]) -> str:
        """`layers.3.qkv_proj` by the weight that is read, `layers.3.attention` by the KV pages."""
        for operand in operands:
            if pages := _LAYER_PAGES.match(operand.name):
                self.layer = pages[1]
                return f"layers.{self.layer}.{op}"
        weights = [operand for operand in operands if operand.kind == "weight"]
        if any(operand.name == "logit_rows" for operand in operands):
            return "head"
        if not weights:
            return op if self.layer is None else f"layers.{self.layer}.{op}"
        stored = self.tier.segments.stored
        main = max(weights, key=lambda weight: len(stored[weight.name].array.shape))  # the matrix
        if found := _LAYER_WEIGHT.search(main.name):
            self.layer = found[1]
            return f"layers.{self.layer}.{found[2]}"
        self.layer = None
        if main.name.startswith("model.norm."):
            return "norm"
        return "embed" if any(operand.name == "token_ids" for operand in operands) else "head"

    def _scratch(self, sizes: Mapping[str, Expr]) -> dict[str, Operand]:
        """Storages for buffers that live within one call: the same for every call of a function."""
        scratch = {}
        for number, (name, size) in enumerate(sizes.items()):
            index = self.planned + number
            if index == len(self.sizes):
                self.sizes.append(size)
            elif self.sizes[index] != size:
                most = max(evaluate(one, self.tier.maxima) for one in (self.sizes[index], size))
                self.sizes[index] = most
            scratch[name] = Operand("storage", index=index)
        return scratch

    def _grid(self, dispatch: Dispatch, symbols: Mapping[str, Expr]) -> Grid:
        """The grid of a TVM kernel; an x that may be too large is spread over x and z."""
        x, y, z = (substitute(size, symbols) for size in dispatch.grid)
        if evaluate(x, self.tier.maxima) <= MAX_GRID:
            return x, y, z
        if z != 1:
            name = dispatch.kernel.name
            raise KernelExceedsLimitsError(f"{name}: its grid is too large: {(x, y, z)}")
        return binary("min", x, MAX_GRID), y, ceil_div(x, MAX_GRID)

    def _launch(
        self,
        label: str,
        kernel: Kernel,
        operands: Sequence[Operand | int],
        values: Sequence[Expr],
        grid: Grid,
        others: Sequence[tuple[Kernel, Grid]] = (),
        few: tuple[Few, ...] = (),
    ) -> None:
        check_aliases(label, kernel, operands)
        identifier = self._kernel(label, kernel, grid)
        alternatives = tuple(
            Alternative(kernel=self._kernel(label, other, size), grid=size)
            for other, size in others
        )
        params = None
        if values:
            block = tuple(
                Param(dtype=dtype, value=value)
                for dtype, value in zip(kernel.params, values, strict=True)
            )
            params = self.params.setdefault(block, len(self.params))
        place = self.few.setdefault(few, len(self.few)) if few else None
        self.launches.append(
            _Pending(label, identifier, operands, params, grid, alternatives, place)
        )

    def _kernel(self, label: str, kernel: Kernel, grid: Grid) -> str:
        """Adds a kernel to those of the tier. Raises KernelExceedsLimitsError."""
        check_limits(label, kernel, [evaluate(size, self.tier.maxima) for size in grid])
        identifier = kernel_id(kernel.wgsl, kernel.entry_point)
        self.tier.kernels[identifier] = kernel
        return identifier

    def function(self) -> Function:
        """The function, on storages of the tier that it shares with the others."""
        place = self._place()
        return Function(
            params=tuple(self.params),
            few=tuple(self.few),
            launches=tuple(
                Launch(
                    kernel=one.kernel,
                    label=one.label,
                    bindings=tuple(_binding(operand, place) for operand in one.operands),
                    params=one.params,
                    grid=one.grid,
                    alternatives=one.alternatives,
                    few=one.few,
                )
                for one in self.launches
            ),
        )

    def _place(self) -> dict[int, int]:
        """Which storage of the tier each of the function's is. Functions run one after another, so
        that the largest of each share the tier's largest."""
        maxima, shared = self.tier.maxima, self.tier.storages
        sizes = [evaluate(size, maxima) for size in self.sizes]
        if max(sizes, default=0) > MAX_BINDING_BYTES:
            raise TensorTooLargeError(
                f"an activation needs {max(sizes) / 2**20:.0f} MiB, more than one 128 MiB binding: "
                "choose a smaller prefill chunk"
            )
        place: dict[int, int] = {}
        seen: Counter[Expr] = Counter()
        fixed: list[int] = []
        for index, size in enumerate(self.sizes):
            if _GROWING.isdisjoint(symbols_of(size)):
                fixed.append(index)
                continue
            key = (size, seen[size])
            seen[size] += 1
            if key not in self.tier.growing:
                self.tier.growing[key] = len(shared)
                shared.append(size)
            place[index] = self.tier.growing[key]
        for position, index in enumerate(sorted(fixed, key=lambda i: (-sizes[i], i))):
            if position == len(self.tier.planned):
                self.tier.planned.append(len(shared))
                shared.append(0)
            place[index] = self.tier.planned[position]
            shared[place[index]] = binary("max", shared[place[index]], sizes[index])
        return place


def _binding(operand: Operand | int, place: Mapping[int, int]) -> Binding:
    if isinstance(operand, int):
        return WeightBinding(segment=operand)
    match operand.kind:
        case "storage":
            return StorageBinding(index=place[operand.index])
        case "buffer":
            return BufferBinding(name=operand.name)
        case "input":
            return InputBinding(name=operand.name)
        case "weight":
            raise AssertionError(f"weight {operand.name} has no segment")


def _library_grid(launch: KernelLaunch) -> Grid:
    x, y, z = (as_expr(size) for size in launch.grid)
    return x, y, z


def _alternatives(launch: KernelLaunch) -> list[tuple[Kernel, Grid]]:
    return [(_library_kernel(other), _library_grid(other)) for other in launch.alternatives]


def _library_kernel(launch: KernelLaunch) -> Kernel:
    return Kernel(
        name=launch.name,
        origin="library",
        wgsl=_COMMENT_LINES.sub("", launch.wgsl).lstrip(),
        entry_point=launch.entry_point,
        workgroup_size=launch.workgroup_size,
        workgroup_bytes=launch.workgroup_bytes,
        bindings=tuple(binding.access for binding in launch.bindings),
        params=tuple(param.dtype for param in launch.params),
        features=launch.features,
        suits=launch.suits,
        tuning=launch.tuning,
        tuning_key=launch.tuning_key,
    )
