"""The matrix product that rounds activations to int8: off unless asked for, and exactly what its
numpy twin computes."""

from __future__ import annotations

from typing import Any

import pytest

from webgpu_kernels import KernelLaunch, lower
from webgpu_kernels.launch import Tier
from webgpu_kernels.packing import PACKINGS
from webgpu_kernels.registry import KERNELS

from .cases import Attrs, linear, pairwise
from .device import Device
from .test_kernels import TIERS, check_case

GEMM = next(row for row in KERNELS if row.name == "gemm")
SHAPES = ((1, 7, 32), (65, 130, 96), (17, 33, 160))
SETTINGS = list(pairwise({**GEMM.variants, "quant": tuple(PACKINGS), "shape": SHAPES}))


def approximate(attrs: dict[str, Any], tier: Tier) -> list[KernelLaunch]:
    alternatives = (
        other for launch in lower("linear", attrs, tier) for other in launch.alternatives
    )
    return [other for other in alternatives if other.approximate]


@pytest.mark.gpu
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("setting", SETTINGS, ids=range(len(SETTINGS)))
def test_int8_product_matches_its_twin(device: Device, setting: Attrs, tier: Tier) -> None:
    if tier == "f16" and not device.f16:
        pytest.skip("the adapter has no shader-f16")
    case = linear({**setting, "mode": "gemm", "approximate": True}, tier)
    launches = approximate(case.attrs, tier)
    assert [launch.tuning for launch in launches] == ["packed"] * len(launches) and launches
    check_case(device, launches, case)


@pytest.mark.parametrize("quant", ["q4", "q8", "f16", "f32"])
def test_approximate_kernels_are_off_unless_asked_for(quant: str) -> None:
    attrs = {"N": 64, "K": 64, "quant": quant, "mode": "gemm"}
    assert not approximate(attrs, "f32")
    asked = approximate({**attrs, "approximate": True}, "f32")
    assert bool(asked) == (quant in PACKINGS)
