"""What a pack takes from the records of measured tunings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from webbuild.schema import Kernel
from webbuild.schema.kernels import KernelRecord
from webbuild.schema.tuning import AdapterKind, advised, shape_distance
from webgpu_kernels.launch import Tier
from webgpu_kernels.records import TuningRecord


def advised_anywhere(records: Sequence[TuningRecord], tier: Tier) -> Callable[[str], list[str]]:
    """For a tuning key, what records advise on any adapter that was measured: the kernels that a
    pack must hold for a runtime to follow them. Of each adapter the first word only."""
    kinds = sorted({(record.vendor, record.architecture) for record in records})

    def names(key: str) -> list[str]:
        found = (advised(records, AdapterKind(*kind), tier, key)[:1] for kind in kinds)
        return sorted({name for first in found for name in first})

    return names


def concerning(
    records: Iterable[TuningRecord], kernels: Iterable[Kernel]
) -> tuple[KernelRecord, ...]:
    """The records of the op variants that a pack has, in their order."""
    keys = {kernel.tuning_key for kernel in kernels if kernel.tuning_key}
    return tuple(
        KernelRecord(
            vendor=record.vendor,
            architecture=record.architecture,
            tier=record.tier,
            key=record.key,
            tuning=record.tuning,
        )
        for record in records
        if any(shape_distance(record.key, key) is not None for key in keys)
    )
