"""All GPU buffers of one loaded tier, allocated once."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import wgpu

from webbuild.errors import AdapterLimitError
from webbuild.schema.check import ITEM_BYTES
from webbuild.schema.expression import evaluate
from webbuild.schema.program import (
    Binding,
    BufferBinding,
    InputBinding,
    StorageBinding,
    Tier,
    WeightBinding,
)

from .device import Device
from .layout import StepLayout
from .pack import Pack


class Memory:
    """Weights, activation storages, persistent buffers (zeroed) and the step block.

    Raises AdapterLimitError, before anything is allocated, if a buffer is too large.
    """

    def __init__(
        self,
        device: Device,
        pack: Pack,
        tier: Tier,
        layout: StepLayout,
        maxima: Mapping[str, int],
    ) -> None:
        self.layout = layout
        storages = [evaluate(size, maxima) for size in tier.storages]
        buffers = {
            buffer.name: ITEM_BYTES[buffer.dtype] * prod(evaluate(x, maxima) for x in buffer.shape)
            for buffer in tier.buffers
        }
        for name, nbytes in (
            *buffers.items(),
            *((f"storage {i}", n) for i, n in enumerate(storages)),
        ):
            if nbytes > min(device.max_binding_bytes, device.max_buffer_bytes):
                raise AdapterLimitError(
                    f"{name} needs {nbytes} bytes and {device.adapter} binds at most "
                    f"{device.max_binding_bytes}: ask for a shorter context"
                )
        self.nbytes = sum(storages) + sum(buffers.values()) + layout.nbytes
        self.storages = [_create(device, nbytes) for nbytes in storages]
        self.buffers = {name: _create(device, nbytes) for name, nbytes in buffers.items()}
        self.step = _create(device, layout.nbytes, wgpu.BufferUsage.UNIFORM)
        self.weights: dict[int, Any] = {}
        for index in sorted(_segments(tier)):
            data = pack.segment(pack.program.segments[index])
            self.nbytes += data.nbytes
            self.weights[index] = _create(device, data.nbytes)
            whole = data.nbytes // 4 * 4
            if whole:
                device.handle.queue.write_buffer(self.weights[index], 0, data[:whole])
            if whole != data.nbytes:  # writes are in words: an odd number of f16s is padded
                tail = data[whole:].tobytes().ljust(4, b"\0")
                device.handle.queue.write_buffer(self.weights[index], whole, tail)

    def resource(self, binding: Binding) -> dict[str, Any]:
        """The buffer range that a launch's binding means, as a bind group entry wants it."""
        match binding:
            case WeightBinding(segment=index):
                return {"buffer": self.weights[index]}
            case StorageBinding(index=index):
                return {"buffer": self.storages[index]}
            case BufferBinding(name=name):
                return {"buffer": self.buffers[name]}
            case InputBinding(name=name):
                where = self.layout.inputs[name]
                return {"buffer": self.step, "offset": where.offset, "size": where.nbytes}


def _segments(tier: Tier) -> set[int]:
    return {
        binding.segment
        for function in tier.functions.values()
        for launch in function.launches
        for binding in launch.bindings
        if isinstance(binding, WeightBinding)
    }


def _create(device: Device, nbytes: int, usage: int = 0) -> Any:
    usage |= wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.COPY_SRC
    return device.handle.create_buffer(size=max(16, -(-nbytes // 4) * 4), usage=usage)
