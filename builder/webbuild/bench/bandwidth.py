"""What memory gives natively; runtime_js/src/bench/bandwidth.ts runs the same kernels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import wgpu

_WORKGROUPS = 1024
_BUFFERS = 4  # taken in turn, so that no cache holds them all
_LEAST_SECONDS = 0.06
_REPEATS = 4
_MOST_PASSES = 8192

_WGSL = Path(__file__).with_name("bandwidth.wgsl").read_text("utf-8")


def measure_bandwidth(device: Any, nbytes: int) -> dict[str, float]:
    """Bytes per second of a kernel that copies (reads and writes) and of one that only reads.

    device: wgpu.GPUDevice. nbytes: of one buffer; a multiple of 16 MiB, at most 128 MiB.
    """
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    buffers = [device.create_buffer(size=nbytes, usage=usage) for _ in range(_BUFFERS)]
    try:
        return {
            "nbytes": nbytes,
            "copy": 2 * nbytes * _passes_per_second(device, "copy_all", buffers),
            "read": nbytes * _passes_per_second(device, "read_all", buffers),
        }
    finally:
        for buffer in buffers:
            buffer.destroy()


def _passes_per_second(device: Any, entry_point: str, buffers: list[Any]) -> float:
    module = device.create_shader_module(code=_WGSL)
    pipeline = device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": entry_point}
    )
    groups = [
        device.create_bind_group(
            layout=pipeline.get_bind_group_layout(0),
            entries=[
                {"binding": 0, "resource": {"buffer": source}},
                {"binding": 1, "resource": {"buffer": buffers[(i + 1) % _BUFFERS]}},
            ],
        )
        for i, source in enumerate(buffers)
    ]

    def run(passes: int) -> float:
        began = time.perf_counter()
        encoder = device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(pipeline)
        for i in range(passes):
            compute.set_bind_group(0, groups[i % _BUFFERS])
            compute.dispatch_workgroups(_WORKGROUPS)
        compute.end()
        device.queue.submit([encoder.finish()])
        device.queue.read_buffer(buffers[0], 0, 4)  # waits
        return time.perf_counter() - began

    passes = _BUFFERS
    run(passes)  # drivers compile late
    while run(passes) < _LEAST_SECONDS and passes < _MOST_PASSES:
        passes *= 2
    return passes / min(run(passes) for _ in range(_REPEATS))
