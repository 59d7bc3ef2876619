"""What every WebGPU adapter takes, asked of each launch while it can still be mended."""

from __future__ import annotations

from collections.abc import Sequence

from webbuild.errors import KernelExceedsLimitsError
from webbuild.schema import Kernel
from webbuild.schema.check import (
    MAX_GRID,
    MAX_INVOCATIONS,
    MAX_STORAGE_BUFFERS,
    MAX_WORKGROUP,
    MAX_WORKGROUP_BYTES,
)

from .walk import Operand


def check_limits(label: str, kernel: Kernel, grid: Sequence[int]) -> None:
    """Raises KernelExceedsLimitsError if an adapter with WebGPU's default limits would refuse.

    grid: the most workgroups of each dimension.
    """
    x, y, z = kernel.workgroup_size
    sizes = zip(kernel.workgroup_size, MAX_WORKGROUP, strict=True)
    problems = []
    if len(kernel.bindings) > MAX_STORAGE_BUFFERS:
        problems.append(f"{len(kernel.bindings)} storage buffers (at most {MAX_STORAGE_BUFFERS})")
    if kernel.workgroup_bytes > MAX_WORKGROUP_BYTES:
        problems.append(f"{kernel.workgroup_bytes} bytes of workgroup memory")
    if x * y * z > MAX_INVOCATIONS or any(size > most for size, most in sizes):
        problems.append(f"a workgroup of {kernel.workgroup_size}")
    if max(grid) > MAX_GRID:
        problems.append(f"a grid of {tuple(grid)}")
    if problems:
        raise KernelExceedsLimitsError(
            f"{label}: kernel {kernel.name} needs {', '.join(problems)}, more than every WebGPU "
            "adapter offers: the operation must be cut up"
        )


def check_aliases(label: str, kernel: Kernel, operands: Sequence[Operand | int]) -> None:
    """WebGPU refuses one buffer bound for reading and for writing in one dispatch."""
    access: dict[tuple[str, str, int], str] = {}
    for operand, mode in zip(operands, kernel.bindings, strict=True):
        if isinstance(operand, Operand):
            key = (operand.kind, operand.name, operand.index)
            assert access.setdefault(key, mode) == mode, f"{label} reads and writes {key}"
