"""Where kernels are measured: one interface, whatever the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from webbuild.schema.tuning import AdapterKind

from .case import KernelCase, Measurement


@dataclass(frozen=True)
class Adapter:
    """What a device says of itself. features: WebGPU's names."""

    kind: AdapterKind
    description: str
    features: frozenset[str]
    software: bool


class Runner(Protocol):
    """Runs kernels on one device and takes their time."""

    @property
    def adapter(self) -> Adapter:
        """The device."""

    async def measure(self, cases: Sequence[KernelCase]) -> list[Measurement]:
        """Times of cases on the same arrays, taken in turns, so that a machine's moods hit all.

        The first case is right by definition; what differs from it is refused. A case that does
        not compile or run is a failure of its own, not of the measurement.
        Raises BenchmarkFailedError when the device is gone.
        """
