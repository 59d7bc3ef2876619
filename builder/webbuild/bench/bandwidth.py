"""What memory gives natively: the kernels of runtime_js/src/bench/bandwidth.ts."""

from __future__ import annotations

import time
from typing import Any

import wgpu

_WORKGROUPS, _THREADS = 1024, 256
_BUFFERS = 4  # taken in turn, so that no cache holds them all
_LEAST_SECONDS = 0.06
_REPEATS = 4
_MOST_PASSES = 8192

_KERNEL = f"""
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;
@compute @workgroup_size({_THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {{
  let stretch = arrayLength(&source) / {_WORKGROUPS}u;
  let end = (group.x + 1u) * stretch;
  var sum = vec4<u32>(0u);
  for (var i0 = group.x * stretch + thread; i0 < end; i0 += {4 * _THREADS}u) {{
    let i1 = i0 + {_THREADS}u;
    let i2 = i1 + {_THREADS}u;
    let i3 = i2 + {_THREADS}u;
    BODY
  }}
  if (all(sum == vec4<u32>(0x5eed5eedu))) {{ destination[group.x] = sum; }}
}}
"""
_COPY = " ".join(f"destination[i{i}] = source[i{i}];" for i in range(4))
_READ = "sum += source[i0] + source[i1] + source[i2] + source[i3];"


def measure_bandwidth(device: Any, nbytes: int) -> dict[str, float]:
    """Bytes per second of a kernel that copies (reads and writes) and of one that only reads.

    device: wgpu.GPUDevice. nbytes: of one buffer; a multiple of 16 MiB, at most 128 MiB.
    """
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    buffers = [device.create_buffer(size=nbytes, usage=usage) for _ in range(_BUFFERS)]
    try:
        return {
            "nbytes": nbytes,
            "copy": 2 * nbytes * _passes_per_second(device, _COPY, buffers),
            "read": nbytes * _passes_per_second(device, _READ, buffers),
        }
    finally:
        for buffer in buffers:
            buffer.destroy()


def _passes_per_second(device: Any, body: str, buffers: list[Any]) -> float:
    module = device.create_shader_module(code=_KERNEL.replace("BODY", body))
    pipeline = device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "main"}
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
