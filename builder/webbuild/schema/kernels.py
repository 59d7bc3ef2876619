"""kernels.json: every WGSL source that a program launches, keyed by content hash.

Binding convention, one for hand-written and TVM-generated kernels: all bindings are in group 0; the
storage bindings come first, numbered 0..n-1 in the order of `bindings`; if `params` is not empty,
binding n is a uniform buffer that holds those 32-bit fields in order (std140-compatible: scalars
only), padded to a multiple of 16 bytes.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from .base import Format

KERNELS_VERSION: Literal[2] = 2

Access = Literal["read", "read_write"]
ScalarType = Literal["i32", "u32", "f32"]


class Kernel(Format):
    """One WGSL compute entry point."""

    name: str
    """Readable name: library kernel and variant (`gemv_q4.glu`), or the TVM function's name."""
    origin: Literal["library", "tvm"]
    wgsl: str
    entry_point: str
    workgroup_size: tuple[int, int, int]
    workgroup_bytes: Annotated[int, Field(ge=0)] = 0
    """Workgroup (shared) memory in bytes; at most 16384, the WebGPU default limit."""
    bindings: tuple[Access, ...]
    params: tuple[ScalarType, ...] = ()
    features: tuple[str, ...] = ()
    """What the source needs: WebGPU features, e.g. `shader-f16`, `subgroups`; or
    `subgroup-matrix-f32-8x8x8`, Chromium's experimental feature with that configuration; or
    `narrow-subgroups`, an adapter whose smallest subgroups have 8 or 16 invocations."""
    suits: Literal["any", "cpu", "measured"] = "any"
    """`cpu`: shaped for software adapters; others take it only when measured to be faster.
    `measured`: taken only where a record names it."""
    tuning: str = ""
    """How it is shaped, such as `lanes8`: with `tuning_key`, what records of measurements name."""
    tuning_key: str = ""
    """Op, variant and shape; the same for all alternatives of a launch."""


class KernelRecord(Format):
    """On an adapter this tuning was measured to be the fastest for a key; see tuning.py."""

    vendor: str
    architecture: str
    """As WebGPU's adapter info gives them."""
    tier: Literal["f16", "f32"]
    key: str
    """`Kernel.tuning_key`; the pack need not have it: nearest shapes help."""
    tuning: str
    """`Kernel.tuning`."""


class KernelFile(Format):
    """kernels.json."""

    format_version: Literal[2] = KERNELS_VERSION
    kernels: dict[str, Kernel]
    """Keyed by `kernel_id`."""
    records: tuple[KernelRecord, ...] = ()
    """Of adapters that were measured, for the op variants of these kernels."""


def kernel_id(wgsl: str, entry_point: str) -> str:
    """The first 16 hex digits of SHA-256 over entry point, a zero byte and WGSL text (UTF-8)."""
    return hashlib.sha256(f"{entry_point}\0{wgsl}".encode()).hexdigest()[:16]
