"""One WebGPU device for all tests: runs launches over numpy arrays, with pipelines compiled
once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import wgpu

from webgpu_kernels.launch import MAX_BINDINGS, NARROW, Expr, KernelLaunch

WEIGHTS = {"q_weight", "q_scale", "weight", "up_q_weight", "up_q_scale", "up_weight"}
FEATURES = {"shader-f16": "shader-f16", "subgroups": "subgroup"}
"""wgpu-native's names of WebGPU features."""
Arrays = Mapping[str, np.ndarray]


def evaluate(expr: Expr, symbols: Mapping[str, int]) -> int:
    """The value of an expression."""
    if isinstance(expr, int):
        return expr
    if isinstance(expr, str):
        return symbols[expr]
    op, a, b = expr[0], evaluate(expr[1], symbols), evaluate(expr[2], symbols)
    table = {"+": a + b, "-": a - b, "*": a * b, "min": min(a, b), "max": max(a, b)}
    return table[op] if op in table else a // b if op == "//" else a % b


def for_naga(wgsl: str) -> str:
    """naga knows the subgroup built-ins without a directive and does not look where they are
    called: it refuses the one, and complains of the other."""
    for directive in ("enable subgroups;", "diagnostic(off, subgroup_uniformity);"):
        wgsl = wgsl.replace(directive, "")
    return wgsl


class Device:
    """The adapter with WebGPU's default limits, save for storage buffers per stage."""

    def __init__(self) -> None:
        self.adapter = wgpu.gpu.request_adapter_sync()
        self.f16 = "shader-f16" in self.adapter.features
        features = [name for name in FEATURES.values() if name in self.adapter.features]
        self.device = self.adapter.request_device_sync(
            required_features=features,
            required_limits={
                "max-storage-buffers-per-shader-stage": MAX_BINDINGS,
                "max-compute-workgroup-storage-size": 16384,
                "max-compute-invocations-per-workgroup": 256,
            },
        )
        self._pipelines: dict[str, tuple[Any, Any]] = {}

    def has(self, features: Iterable[str]) -> bool:
        """Whether the adapter can run what names these features."""
        needed = (name for name in features if name != NARROW)
        return all(FEATURES.get(name) in self.adapter.features for name in needed)

    def quick(self, launch: KernelLaunch) -> KernelLaunch:
        """The kernel for software adapters, which compiles soonest, if the adapter can run it."""
        others = (other for other in launch.alternatives if other.suits == "cpu")
        return next((other for other in others if self.has(other.features)), launch)

    @property
    def compiled(self) -> int:
        """How many different kernels were compiled."""
        return len(self._pipelines)

    def pipeline(self, launch: KernelLaunch) -> tuple[Any, Any]:
        """The pipeline of a launch and its bind group layout."""
        if launch.wgsl not in self._pipelines:
            kinds = [
                "read-only-storage" if binding.access == "read" else "storage"
                for binding in launch.bindings
            ] + ["uniform"] * bool(launch.params)
            layout = self.device.create_bind_group_layout(
                entries=[
                    {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kind}}
                    for i, kind in enumerate(kinds)
                ]
            )
            pipeline = self.device.create_compute_pipeline(
                layout=self.device.create_pipeline_layout(bind_group_layouts=[layout]),
                compute={
                    "module": self.device.create_shader_module(
                        code=for_naga(launch.wgsl), label=launch.name
                    ),
                    "entry_point": launch.entry_point,
                },
            )
            self._pipelines[launch.wgsl] = pipeline, layout
        return self._pipelines[launch.wgsl]

    def run(
        self,
        launches: Sequence[KernelLaunch],
        arrays: Arrays,
        symbols: Mapping[str, int],
        repeat: int = 1,
    ) -> tuple[dict[str, np.ndarray], float]:
        """Runs launches in order. Returns every array they may have written, and seconds per run.

        Weights of a launch with `rows` are those rows of the given arrays. A scratch array that is
        given is an input; one that is not is made.
        """
        buffers, written, steps = self._bind(launches, arrays, symbols)
        begin = time.perf_counter()
        self._submit(steps * repeat)
        results = {}
        for name, like in written.items():
            raw = self.device.queue.read_buffer(buffers[name, None])
            results[name] = np.frombuffer(raw, like.dtype)[: like.size].reshape(like.shape).copy()
        seconds = (time.perf_counter() - begin) / repeat
        for buffer in buffers.values():
            buffer.destroy()
        return results, seconds

    def timer(
        self, launch: KernelLaunch, arrays: Arrays, symbols: Mapping[str, int]
    ) -> Callable[[int], float]:
        """Of a launch on buffers of its own: a function that runs it so many times and returns
        seconds per run; of processor time, over all cores, if the adapter is the processor."""
        buffers, _, steps = self._bind([launch], arrays, symbols)
        software = self.adapter.info["adapter_type"] == "CPU"
        clock = time.process_time if software else time.perf_counter
        smallest = min(buffers.values(), key=lambda buffer: buffer.size)

        def seconds(repeat: int) -> float:
            begin = clock()
            self._submit(steps * repeat)
            self.device.queue.read_buffer(smallest, size=4)
            return (clock() - begin) / repeat

        return seconds

    def _submit(self, steps: Sequence[Any]) -> None:
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        for pipeline, group, grid in steps:
            compute.set_pipeline(pipeline)
            compute.set_bind_group(0, group)
            compute.dispatch_workgroups(*grid)
        compute.end()
        self.device.queue.submit([encoder.finish()])

    def _bind(
        self, launches: Sequence[KernelLaunch], arrays: Arrays, symbols: Mapping[str, int]
    ) -> tuple[dict[Any, Any], dict[str, np.ndarray], list[Any]]:
        """Buffers, the arrays that may be written, and pipelines with bind groups and grids."""
        buffers: dict[Any, Any] = {}
        written: dict[str, np.ndarray] = {}
        steps = []
        for launch in launches:
            pipeline, layout = self.pipeline(launch)
            resources = []
            for name, access, nbytes in launch.bindings:
                part = launch.rows if name in WEIGHTS else None
                if (name, part) not in buffers:
                    if name not in arrays and nbytes is not None:
                        data = np.zeros(evaluate(nbytes, symbols) // 4, np.float32)
                    else:
                        data = arrays[name] if part is None else arrays[name][slice(*part)]
                    buffers[name, part] = self._buffer(data)
                    written |= {name: data} if access == "read_write" else {}
                elif access == "read_write" and name not in written:
                    written[name] = arrays[name]
                resources.append(buffers[name, part])
            if launch.params:
                block = [self._word(p.dtype, evaluate(p.value, symbols)) for p in launch.params]
                words = np.array(block + [0] * (-len(block) % 4), np.uint32)
                usage = wgpu.BufferUsage.UNIFORM
                resources.append(self.device.create_buffer_with_data(data=words, usage=usage))
            group = self.device.create_bind_group(
                layout=layout,
                entries=[
                    {"binding": i, "resource": {"buffer": buffer, "offset": 0, "size": buffer.size}}
                    for i, buffer in enumerate(resources)
                ],
            )
            steps.append((pipeline, group, [evaluate(e, symbols) for e in launch.grid]))
        return buffers, written, steps

    def _buffer(self, data: np.ndarray) -> Any:
        raw = np.ascontiguousarray(data).tobytes()
        usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
        return self.device.create_buffer_with_data(data=raw + bytes(-len(raw) % 4), usage=usage)

    @staticmethod
    def _word(dtype: str, value: float) -> int:
        kind = {"u32": np.uint32, "i32": np.int32, "f32": np.float32}[dtype]
        return int(np.array([value], kind).view(np.uint32)[0])
