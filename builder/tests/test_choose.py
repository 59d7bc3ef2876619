"""Which kernel of a launch an adapter gets."""

from __future__ import annotations

import pytest

from webbuild.native.choose import choose_kernels
from webbuild.schema.kernels import Kernel
from webbuild.schema.program import Alternative, Function, Launch, Tier


def _kernel(features: tuple[str, ...] = (), suits: str = "any") -> Kernel:
    return Kernel(
        name="k",
        origin="library",
        wgsl="",
        entry_point="main",
        workgroup_size=(1, 1, 1),
        bindings=(),
        features=features,
        suits=suits,  # type: ignore[arg-type]
    )


KERNELS = {
    "plain": _kernel(),
    "subgroups": _kernel(("subgroups",)),
    "wide": _kernel(),
    "cpu": _kernel(suits="cpu"),
}


@pytest.mark.parametrize(
    ("alternatives", "features", "software", "expected"),
    [
        ((), {"subgroups"}, False, ("plain", 1)),
        (("subgroups", "wide"), {"subgroups"}, False, ("subgroups", 2)),
        (("subgroups", "wide"), set(), False, ("wide", 3)),
        (("subgroups",), set(), False, ("plain", 1)),
        (("subgroups", "cpu"), {"subgroups"}, True, ("cpu", 3)),
        (("cpu",), {"subgroups"}, False, ("plain", 1)),
        (("subgroups", "wide"), {"subgroups"}, True, ("plain", 1)),
    ],
)
def test_the_first_alternative_that_suits(
    alternatives: tuple[str, ...], features: set[str], software: bool, expected: tuple[str, int]
) -> None:
    launch = Launch(
        kernel="plain",
        label="head",
        bindings=(),
        grid=(1, 1, 1),
        alternatives=tuple(
            Alternative(kernel=name, grid=(i, 1, 1)) for i, name in enumerate(alternatives, 2)
        ),
    )
    tier = Tier(
        requires=(),
        kv_dtype="f32",
        storages=(),
        buffers=(),
        functions={"decode": Function(launches=(launch,))},
    )
    chosen = choose_kernels(tier, KERNELS, features, software).functions["decode"].launches[0]
    assert (chosen.kernel, chosen.grid[0], chosen.alternatives) == (*expected, ())
