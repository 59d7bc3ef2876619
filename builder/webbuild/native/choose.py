"""Which kernel each launch runs: packs hold alternatives, adapters differ."""

from __future__ import annotations

from collections.abc import Mapping, Set

from webbuild.schema.kernels import Kernel
from webbuild.schema.program import Launch, Tier


def choose_kernels(
    tier: Tier, kernels: Mapping[str, Kernel], features: Set[str], software: bool
) -> Tier:
    """The tier with one kernel per launch.

    On a software adapter that is the first alternative shaped for those, elsewhere the first that
    is not; the launch's own kernel where no alternative will do. The rule of the browser's runtime.
    """
    suits = "cpu" if software else "any"

    def chosen(launch: Launch) -> Launch:
        for alternative in launch.alternatives:
            kernel = kernels[alternative.kernel]
            if kernel.suits == suits and features >= set(kernel.features):
                update = {"kernel": alternative.kernel, "grid": alternative.grid}
                return launch.model_copy(update={**update, "alternatives": ()})
        return launch.model_copy(update={"alternatives": ()})

    functions = {
        name: function.model_copy(update={"launches": tuple(map(chosen, function.launches))})
        for name, function in tier.functions.items()
    }
    return tier.model_copy(update={"functions": functions})
