"""Kernels of the matrix product that no adapter runs by default: the one that rounds activations
to int8, exactly as its numpy twin, and the one with subgroup matrices, here emulated."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from webgpu_kernels import KernelLaunch, lower
from webgpu_kernels.launch import F32_MATRICES, Tier
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


MATRIX_SETTINGS = list(
    pairwise({**GEMM.variants, "shape": ((1, 7, 32), (65, 130, 96)), "tier": TIERS})
)
# A matrix lies in each of its subgroup's invocations, whole. Bounds that are not constants keep
# loops from being unrolled, which would take minutes to compile.
_EMULATION = """
fn multiply_accumulate(a: array<f32, 64>, b: array<f32, 64>, c: array<f32, 64>) -> array<f32, 64> {
  var left = a;
  var right = b;
  var sum = c;
  let side = min(params.k, 8u);
  for (var i = 0u; i < 64u; i++) {
    for (var k = 0u; k < side; k++) {
      sum[i] += left[i / 8u * 8u + k] * right[k * 8u + i % 8u];
    }
  }
  return sum;
}
"""
_EMULATED_TILE = """
fn load_TILE_row(offset: u32, stride: u32) -> array<f32, 64> {
  var m: array<f32, 64>;
  for (var i = 0u; i < min(params.k, 8u) * 8u; i++) {
    m[i] = TILE[offset + i / 8u * stride + i % 8u];
  }
  return m;
}

fn load_TILE_col(offset: u32, stride: u32) -> array<f32, 64> {
  var m: array<f32, 64>;
  for (var i = 0u; i < min(params.k, 8u) * 8u; i++) {
    m[i] = TILE[offset + i % 8u * stride + i / 8u];
  }
  return m;
}

fn store_TILE_row(offset: u32, value: array<f32, 64>, stride: u32) {
  var m = value;
  for (var i = 0u; i < min(params.k, 8u) * 8u; i++) {
    TILE[offset + i / 8u * stride + i % 8u] = m[i];
  }
}
"""


def emulated(launch: KernelLaunch) -> KernelLaunch:
    """The same kernel in plain WGSL: matrices are arrays, and their functions loops."""
    wgsl = launch.wgsl
    for directive in (
        "enable chromium_experimental_subgroup_matrix;",
        "diagnostic(off, chromium.subgroup_matrix_uniformity);",
    ):
        assert directive in wgsl
        wgsl = wgsl.replace(directive, "")
    for pattern, plain in (
        (
            r"subgroupMatrixLoad<subgroup_matrix_\w+<f32, 8, 8>, (row|col)_major>\(&(\w+), ",
            r"load_\2_\1(",
        ),
        (r"subgroupMatrixStore<(row)_major>\(&(\w+), ", r"store_\2_\1("),
        (r"subgroupMatrixMultiplyAccumulate", "multiply_accumulate"),
        (r"subgroup_matrix_result<f32, 8, 8>", "array<f32, 64>"),
    ):
        wgsl, count = re.subn(pattern, plain, wgsl)
        assert count
    assert not re.search("subgroup_?matrix", wgsl, re.IGNORECASE)
    tiles = "".join(_EMULATED_TILE.replace("TILE", tile) for tile in ("x_tile", "w_tile"))
    return replace(launch, wgsl=wgsl + _EMULATION + tiles, features=("subgroups",))


@pytest.mark.gpu
@pytest.mark.parametrize("setting", MATRIX_SETTINGS, ids=range(len(MATRIX_SETTINGS)))
def test_matrix_kernel_computes_the_product(device: Device, setting: Attrs) -> None:
    if not device.has(("subgroups",)) or (setting["tier"] == "f16" and not device.f16):
        pytest.skip("the adapter has no subgroups, or no shader-f16")
    tier = setting["tier"]
    case = linear({k: v for k, v in setting.items() if k != "tier"} | {"mode": "gemm"}, tier)
    launches = [
        next(other for other in launch.alternatives if other.tuning == "matrix")
        for launch in lower("linear", case.attrs, tier)
    ]
    check_case(device, [emulated(launch) for launch in launches], case)


def test_matrix_kernel_needs_a_record() -> None:
    (launch,) = lower("linear", {"N": 64, "K": 64, "quant": "q8", "mode": "gemm"}, "f16")
    (matrix,) = (other for other in launch.alternatives if other.tuning == "matrix")
    assert matrix.suits == "measured" and F32_MATRICES in matrix.features
    (odd,) = lower("linear", {"N": 64, "K": 48, "quant": "f16", "mode": "gemm"}, "f16")
    assert all(other.tuning != "matrix" for other in odd.alternatives)
