"""Measures in this process, on wgpu."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import wgpu

from webbuild.native.device import Device, open_device
from webbuild.native.player import shader_code

from .case import KernelCase, Measurement, settle
from .runner import Adapter

#: A sample is at least this long; shorter ones measure the way to the GPU and back.
LEAST_SECONDS = 0.004
SAMPLES = 7
MOST_REPEATS = 4096

_U = wgpu.BufferUsage


class WgpuRunner:
    """The adapter that wgpu prefers. Raises NoAdapterError."""

    def __init__(self, device: Device | None = None, samples: int = SAMPLES) -> None:
        self._device = device or open_device()
        self._handle = self._device.handle
        self._samples = samples
        self.adapter = Adapter(
            self._device.kind,
            self._device.adapter,
            self._device.features,
            self._device.software,
        )

    async def measure(self, cases: Sequence[KernelCase]) -> list[Measurement]:
        """See Runner."""
        handle = self._handle
        usage = _U.STORAGE | _U.COPY_SRC | _U.COPY_DST
        first = cases[0]
        contents = [array.contents() for array in first.arrays]
        buffers = [handle.create_buffer_with_data(data=data, usage=usage) for data in contents]
        clock = _Clock(self._device)
        try:
            runs: list[_Run | None] = []
            failures: list[str | None] = []
            differences = []
            want: list[npt.NDArray[np.float32]] = []
            for case in cases:
                run, failure = self._prepare(case, buffers)
                got = self._outputs(case, run, buffers, contents) if run else []
                want = want or got
                runs.append(run)
                failures.append(failure)
                differences.append(_difference(got, want) if run else 0.0)
            times = self._times(clock, runs)
        finally:
            clock.close()
            for buffer in buffers:
                buffer.destroy()
        return settle(cases, times, differences, failures)

    def _prepare(self, case: KernelCase, buffers: Sequence[Any]) -> tuple[_Run | None, str | None]:
        handle = self._handle
        if lacking := set(case.features) - self._device.features:
            return None, f"{case.name} needs {', '.join(sorted(lacking))}"
        kinds = ["read-only-storage" if a == "read" else "storage" for a in case.access]
        resources = list(buffers)
        if case.params:
            words = [*case.params, *([0] * (-len(case.params) % 4))]
            block = np.array(words, "<u4")
            resources.append(handle.create_buffer_with_data(data=block, usage=_U.UNIFORM))
            kinds.append("uniform")
        try:
            layout = handle.create_bind_group_layout(
                entries=[
                    {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kind}}
                    for i, kind in enumerate(kinds)
                ]
            )
            pipeline = handle.create_compute_pipeline(
                layout=handle.create_pipeline_layout(bind_group_layouts=[layout]),
                compute={
                    "module": handle.create_shader_module(code=shader_code(case.wgsl)),
                    "entry_point": case.entry_point,
                },
            )
            entries = [
                {"binding": i, "resource": {"buffer": buffer}} for i, buffer in enumerate(resources)
            ]
            group = handle.create_bind_group(layout=layout, entries=entries)
        except wgpu.GPUError as error:
            return None, f"{case.name} does not compile: {str(error).splitlines()[0]}"
        return _Run(pipeline, group, case.grid), None

    def _outputs(
        self,
        case: KernelCase,
        run: _Run,
        buffers: Sequence[Any],
        contents: Sequence[npt.NDArray[np.uint32]],
    ) -> list[npt.NDArray[np.float32]]:
        """What the kernel writes, from what the buffers held at first."""
        queue = self._handle.queue
        for access, buffer, data in zip(case.access, buffers, contents, strict=True):
            if access == "read_write":
                queue.write_buffer(buffer, 0, data)
        encoder = self._handle.create_command_encoder()
        run.encode(encoder.begin_compute_pass(), 1)
        queue.submit([encoder.finish()])
        return [
            np.frombuffer(queue.read_buffer(buffers[index]), "<f4").copy() for index in case.outputs
        ]

    def _times(
        self, clock: _Clock, runs: Sequence[_Run | None]
    ) -> list[tuple[float, float] | None]:
        """The least and the median seconds of one launch of each, in turns."""
        repeats = 1
        leader = next((run for run in runs if run), None)
        if leader:
            clock.take(leader, 1)  # drivers compile late
        while leader and repeats < MOST_REPEATS and clock.take(leader, repeats) < LEAST_SECONDS:
            repeats *= 2
        taken: list[list[float]] = [[] for _ in runs]
        for _ in range(self._samples):
            for samples, run in zip(taken, runs, strict=True):
                if run:
                    samples.append(clock.take(run, repeats) / repeats)
        return [(min(s), statistics.median(s)) if s else None for s in taken]


class _Run:
    def __init__(self, pipeline: Any, group: Any, grid: tuple[int, int, int]) -> None:
        self.pipeline, self.group, self.grid = pipeline, group, grid

    def encode(self, compute: Any, repeats: int) -> None:
        """Launches in one pass, which this ends."""
        compute.set_pipeline(self.pipeline)
        compute.set_bind_group(0, self.group)
        for _ in range(repeats):
            compute.dispatch_workgroups(*self.grid)
        compute.end()


class _Clock:
    """Seconds of a pass: by timestamps where the device has them, else from submit to done."""

    def __init__(self, device: Device) -> None:
        self._handle = device.handle
        self._queries: Any = None
        if "timestamp-query" in device.features:
            self._queries = device.handle.create_query_set(type="timestamp", count=2)
        usage = _U.QUERY_RESOLVE | _U.COPY_SRC
        self._stamps = device.handle.create_buffer(size=256, usage=usage)

    def take(self, run: _Run, repeats: int) -> float:
        """Seconds of `repeats` launches."""
        encoder = self._handle.create_command_encoder()
        began = time.perf_counter()
        if self._queries is None:
            run.encode(encoder.begin_compute_pass(), repeats)
            self._handle.queue.submit([encoder.finish()])
            self._handle.queue.read_buffer(self._stamps, 0, 4)  # waits
            return time.perf_counter() - began
        stamps = {
            "query_set": self._queries,
            "beginning_of_pass_write_index": 0,
            "end_of_pass_write_index": 1,
        }
        run.encode(encoder.begin_compute_pass(timestamp_writes=stamps), repeats)
        encoder.resolve_query_set(self._queries, 0, 2, self._stamps, 0)
        self._handle.queue.submit([encoder.finish()])
        begin, end = np.frombuffer(self._handle.queue.read_buffer(self._stamps, 0, 16), "<u8")
        period = float(getattr(self._handle.queue, "timestamp_period", 1.0))
        return float(end - begin) * period * 1e-9

    def close(self) -> None:
        self._stamps.destroy()


def _difference(
    got: Sequence[npt.NDArray[np.float32]], want: Sequence[npt.NDArray[np.float32]]
) -> float:
    """The largest difference, relative to the largest value; inf where one is not finite."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return float("inf")
        largest = float(np.abs(b).max()) or 1.0
        worst = max(worst, float(np.abs(a.astype("f8") - b.astype("f8")).max()) / largest)
    return worst
