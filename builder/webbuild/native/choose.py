"""Which kernel each launch runs: packs hold alternatives, adapters differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TypeVar

from webbuild.schema.kernels import Kernel, KernelRecord
from webbuild.schema.program import Alternative, Few, Function, Launch, Tier
from webbuild.schema.tuning import AdapterKind, advised

L = TypeVar("L", Launch, Few)


def choose_kernels(
    tier: Tier,
    kernels: Mapping[str, Kernel],
    features: Set[str],
    software: bool,
    advice: Mapping[str, Sequence[str]] | None = None,
) -> Tier:
    """The tier with one kernel per launch, and one for each number of few rows.

    That is the first tuning of `advice`, by tuning key, that the launch has and whose features the
    adapter has. Without advice, on a software adapter, it is the first alternative shaped for
    those, elsewhere the first that is not; the launch's own kernel where no alternative will do.
    The rule of the browser's runtime.
    """
    suits = "cpu" if software else "any"

    def runs(kernel: Kernel) -> bool:
        return features >= set(kernel.features)

    def chosen(launch: Launch | Few) -> Alternative:
        own = Alternative(kernel=launch.kernel, grid=launch.grid)
        by_tuning = {
            kernels[one.kernel].tuning: one
            for one in (own, *launch.alternatives)
            if runs(kernels[one.kernel])
        }
        for tuning in (advice or {}).get(kernels[launch.kernel].tuning_key, ()):
            if tuning in by_tuning:
                return by_tuning[tuning]
        for one in launch.alternatives:
            if kernels[one.kernel].suits == suits and runs(kernels[one.kernel]):
                return one
        return own

    def settled(launch: L) -> L:
        one = chosen(launch)
        update = {"kernel": one.kernel, "grid": one.grid, "alternatives": ()}
        return launch.model_copy(update=update)

    def settle(function: Function) -> Function:
        update = {
            "few": tuple(tuple(map(settled, entry)) for entry in function.few),
            "launches": tuple(map(settled, function.launches)),
        }
        return function.model_copy(update=update)

    functions = {name: settle(function) for name, function in tier.functions.items()}
    return tier.model_copy(update={"functions": functions})


def advice_of(
    records: Sequence[KernelRecord],
    adapter: AdapterKind,
    tier: str,
    kernels: Iterable[Kernel],
) -> dict[str, list[str]]:
    """What records advise for every tuning key, of those that have any advice."""
    keys = sorted({kernel.tuning_key for kernel in kernels if kernel.tuning_key})
    advice = {key: advised(records, adapter, tier, key) for key in keys}
    return {key: tunings for key, tunings in advice.items() if tunings}
