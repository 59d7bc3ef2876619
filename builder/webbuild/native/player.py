"""Plays launch lists: everything is made at load, a run only evaluates, writes and dispatches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import wgpu

from webbuild.errors import InvalidProgramError
from webbuild.schema.expression import evaluate
from webbuild.schema.kernels import Kernel
from webbuild.schema.program import Expr, Few, Function, Launch, Tier

from .device import Device
from .memory import Memory

# naga knows the subgroup built-ins without the directive and does not look where they are called:
# it refuses the one directive, and complains of the other.
_SUBGROUPS = re.compile(
    r"^\s*(enable\s+subgroups|diagnostic\(off, subgroup_uniformity\))\s*;", re.MULTILINE
)
_TYPES = {"read": "read-only-storage", "read_write": "storage"}


def shader_code(wgsl: str) -> str:
    """A kernel's source as wgpu takes it."""
    return _SUBGROUPS.sub("", wgsl)


@dataclass(frozen=True, slots=True)
class _Dispatch:
    kernel: str
    bind_group: Any
    grid: tuple[Expr, Expr, Expr]
    few: tuple[Few, ...]

    def at(self, symbols: Mapping[str, int]) -> tuple[str, tuple[Expr, Expr, Expr]]:
        """The kernel and the grid for a step."""
        for one in self.few:
            if one.least <= symbols[one.rows] <= one.most:
                return one.kernel, one.grid
        return self.kernel, self.grid


class Player:
    """The functions of one tier, ready to run.

    Raises InvalidProgramError if a kernel does not compile.
    """

    def __init__(
        self, device: Device, kernels: Mapping[str, Kernel], tier: Tier, memory: Memory
    ) -> None:
        self._device = device.handle
        self._memory = memory
        self._functions = tier.functions
        self._kernels = kernels
        self._layouts: dict[tuple[str, ...], Any] = {}
        used = {
            launch.kernel for function in tier.functions.values() for launch in function.launches
        }
        self._pipelines = {name: self._pipeline(kernels[name]) for name in sorted(used)}
        self._dispatches = {
            name: [self._dispatch(name, function, launch) for launch in function.launches]
            for name, function in tier.functions.items()
        }

    def run(
        self,
        name: str,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        symbols: Mapping[str, int],
    ) -> None:
        """Submits one function: one write, one compute pass. Does not wait for the GPU."""
        function: Function = self._functions[name]
        block = self._memory.layout.pack(name, function, inputs, symbols)
        self._device.queue.write_buffer(self._memory.step, 0, block)
        encoder = self._device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        for dispatch in self._dispatches[name]:
            kernel, sizes = dispatch.at(symbols)
            grid = [evaluate(size, symbols) for size in sizes]
            if 0 in grid:
                continue  # a step without outs has no use for the head
            compute.set_pipeline(self._made(kernel))
            compute.set_bind_group(0, dispatch.bind_group)
            compute.dispatch_workgroups(*grid)
        compute.end()
        self._device.queue.submit([encoder.finish()])

    def _made(self, kernel: str) -> Any:
        """A kernel's pipeline; those for few rows are made when a step needs them."""
        if kernel not in self._pipelines:
            self._pipelines[kernel] = self._pipeline(self._kernels[kernel])
        return self._pipelines[kernel]

    def _pipeline(self, kernel: Kernel) -> Any:
        layout = self._device.create_pipeline_layout(bind_group_layouts=[self._layout(kernel)])
        try:
            module = self._device.create_shader_module(
                label=kernel.name, code=shader_code(kernel.wgsl)
            )
            return self._device.create_compute_pipeline(
                label=kernel.name,
                layout=layout,
                compute={"module": module, "entry_point": kernel.entry_point},
            )
        except wgpu.GPUError as error:
            raise InvalidProgramError(f"kernel {kernel.name!r} does not compile: {error}") from None

    def _layout(self, kernel: Kernel) -> Any:
        types = [_TYPES[access] for access in kernel.bindings]
        if kernel.params:
            types.append("uniform")
        key = tuple(types)
        if key not in self._layouts:
            entries = [
                {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kind}}
                for i, kind in enumerate(types)
            ]
            self._layouts[key] = self._device.create_bind_group_layout(entries=entries)
        return self._layouts[key]

    def _dispatch(self, name: str, function: Function, launch: Launch) -> _Dispatch:
        resources = [self._memory.resource(binding) for binding in launch.bindings]
        if launch.params is not None:
            where = self._memory.layout.params[name][launch.params]
            resources.append(
                {"buffer": self._memory.step, "offset": where.offset, "size": where.nbytes}
            )
        entries = [{"binding": i, "resource": item} for i, item in enumerate(resources)]
        group = self._device.create_bind_group(
            label=launch.label, layout=self._layout(self._kernels[launch.kernel]), entries=entries
        )
        few = () if launch.few is None else function.few[launch.few]
        return _Dispatch(launch.kernel, group, launch.grid, few)
