"""Which tunings records of measurements advise; the rule of runtime_js/src/gpu/records.ts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Record(Protocol):
    """What the rule reads of a record: a pack's KernelRecord, or one of the database."""

    @property
    def vendor(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def tuning(self) -> str: ...


@dataclass(frozen=True, slots=True)
class AdapterKind:
    """What records are kept by: WebGPU's adapter info. An unknown vendor ("") has no records."""

    vendor: str
    architecture: str

    @property
    def software(self) -> bool:
        """Whether it is one of the software adapters that `adapter_kind` tells."""
        return self in _SOFTWARE.values()


#: Software adapters by a part of their names: whoever runs them, and whichever ids they claim
#: (browsers take Mesa's only under SwiftShader's).
_SOFTWARE = {
    "llvmpipe": AdapterKind("mesa", "llvmpipe"),
    "swiftshader": AdapterKind("google", "swiftshader"),
}


def adapter_kind(vendor: str, architecture: str, device: str, description: str) -> AdapterKind:
    """What records of an adapter are kept by, of what its adapter info says."""
    names = f"{device} {description}".lower()
    for name, kind in _SOFTWARE.items():
        if name in names:
            return kind
    return AdapterKind(vendor, architecture)


def advised(records: Iterable[Record], adapter: AdapterKind, tier: str, key: str) -> list[str]:
    """Tunings for a tuning key, the most trusted first.

    The adapter's own record of the key; then those of other architectures of its vendor; then its
    own records of the same op variant at other shapes, the nearest first.
    """
    if not adapter.vendor:
        return []
    found: list[tuple[tuple[float, str], str]] = []
    for record in records:
        if record.tier != tier or record.vendor != adapter.vendor:
            continue
        same = record.architecture == adapter.architecture
        if record.key == key:
            rank = -1.0 if same else 0.0
            found.append(((rank, record.architecture), record.tuning))
        elif same and (distance := shape_distance(record.key, key)) is not None:
            found.append(((distance, record.key), record.tuning))
    return list(dict.fromkeys(tuning for _, tuning in sorted(found)))


def shape_distance(one: str, other: str) -> float | None:
    """How far two keys of one op variant are apart: the product of the ratios of their sizes (1:
    equal); None for different variants. A key is `variant NAME=size NAME=size …`."""
    (variant, *sizes), (variant2, *sizes2) = one.split(" "), other.split(" ")
    if variant != variant2 or len(sizes) != len(sizes2):
        return None
    distance = 1.0
    for a, b in zip(sizes, sizes2, strict=True):
        (name, x), (name2, y) = a.split("="), b.split("=")
        if name != name2:
            return None
        distance *= max(int(x), int(y)) / min(int(x), int(y))
    return distance
