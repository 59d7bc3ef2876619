"""The WebGPU device that the native executor runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import wgpu

from webbuild.errors import NoAdapterError
from webbuild.schema.tuning import AdapterKind, adapter_kind

# wgpu-native's names of WebGPU features.
_FEATURES = {
    "shader-f16": "shader-f16",
    "subgroups": "subgroup",
    "timestamp-query": "timestamp-query",
}
# WebGPU's names of vendors by PCI id, as browsers give them (Dawn's gpu_info.json): wgpu tells the
# driver's name instead. Architectures it does not tell.
_VENDORS = {
    0x1002: "amd",
    0x1010: "img-tec",
    0x106B: "apple",
    0x10DE: "nvidia",
    0x13B5: "arm",
    0x1414: "microsoft",
    0x144D: "samsung",
    0x14E4: "broadcom",
    0x1AE0: "google",
    0x5143: "qualcomm",
    0x8086: "intel",
    0x10005: "mesa",
}
_LIMITS = (
    "max-buffer-size",
    "max-storage-buffer-binding-size",
    "max-storage-buffers-per-shader-stage",
)


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """An open device, with what the executor needs to know of it."""

    handle: Any
    """wgpu.GPUDevice"""
    adapter: str
    kind: AdapterKind
    features: frozenset[str]
    """WebGPU's names; of those that packs use."""
    software: bool
    """The adapter is a processor."""
    max_buffer_bytes: int
    max_binding_bytes: int


@cache
def open_device() -> Device:
    """Opens the adapter that wgpu prefers, once per process. Raises NoAdapterError."""
    try:
        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    except RuntimeError as error:
        raise NoAdapterError(
            f"wgpu finds no adapter ({error}): install a Vulkan driver, such as "
            "Debian's mesa-vulkan-drivers"
        ) from None
    features = frozenset(name for name, ours in _FEATURES.items() if ours in adapter.features)
    limits = {name: adapter.limits[name] for name in _LIMITS}
    handle = adapter.request_device_sync(
        required_features=[_FEATURES[name] for name in sorted(features)],
        required_limits=limits,
    )
    return Device(
        handle=handle,
        adapter=str(adapter.info.get("device")),
        kind=kind_of(adapter.info),
        features=features,
        software=adapter.info.get("adapter_type") == "CPU",
        max_buffer_bytes=limits["max-buffer-size"],
        max_binding_bytes=limits["max-storage-buffer-binding-size"],
    )


def kind_of(info: Mapping[str, Any]) -> AdapterKind:
    """What records are kept by, of wgpu's adapter info; as a browser on the same adapter has it,
    but for the architecture."""
    vendor, architecture, device, description = (
        str(info.get(name) or "") for name in ("vendor", "architecture", "device", "description")
    )
    vendor = _VENDORS.get(info.get("vendor_id", 0), vendor)
    return adapter_kind(vendor, architecture, device, description)
