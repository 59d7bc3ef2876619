"""Which kernel of a launch an adapter gets: one table for this rule and for the browser's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webbuild.native.choose import advice_of, choose_kernels
from webbuild.native.device import kind_of
from webbuild.schema.kernels import Kernel, KernelRecord
from webbuild.schema.program import Alternative, Function, Launch, Tier
from webbuild.schema.tuning import AdapterKind, adapter_kind, shape_distance

TABLE = json.loads(
    (Path(__file__).parents[2] / "runtime_js/src/testing/kernel_choice.json").read_text("utf-8")
)
KERNELS = {
    name: Kernel(
        name=name,
        origin="library",
        wgsl="",
        entry_point="main",
        workgroup_size=(1, 1, 1),
        bindings=(),
        features=tuple(part.get("features", ())),
        suits=part.get("suits", "any"),
        tuning=part["tuning"],
        tuning_key=TABLE["key"],
    )
    for name, part in TABLE["kernels"].items()
}
FIELDS = ("vendor", "architecture", "tier", "key", "tuning")


@pytest.mark.parametrize("case", TABLE["adapters"], ids=[one["name"] for one in TABLE["adapters"]])
def test_what_records_of_an_adapter_are_kept_by(case: dict[str, Any]) -> None:
    assert adapter_kind(*case["info"]) == AdapterKind(*case["kind"])


@pytest.mark.parametrize(
    ("info", "software"),
    [
        (("mesa", "llvmpipe", "", ""), True),
        (("google", "swiftshader", "", "SwiftShader Device (LLVM 10.0.0)"), True),
        (("", "", "", "llvmpipe (LLVM 15.0.6, 256 bits)"), True),
        (("apple", "metal-3", "", "Apple M2"), False),
        (("", "", "", ""), False),
    ],
)
def test_software_adapters_are_told(info: tuple[str, str, str, str], software: bool) -> None:
    assert adapter_kind(*info).software is software


def test_wgpu_adapters_have_the_vendors_of_browsers() -> None:
    info = {
        "vendor": "NVIDIA",
        "device": "NVIDIA H200",
        "description": "570.1",
        "vendor_id": 0x10DE,
    }
    assert kind_of(info) == AdapterKind("nvidia", "")
    assert kind_of({**info, "vendor_id": 0xABCD}) == AdapterKind("NVIDIA", "")


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["name"] for case in TABLE["cases"]])
def test_the_kernel_of_a_launch(case: dict[str, Any]) -> None:
    grids = {name: (number, 1, 1) for number, name in enumerate(case["alternatives"], 2)}
    launch = Launch(
        kernel="plain",
        label="head",
        bindings=(),
        grid=(1, 1, 1),
        alternatives=tuple(Alternative(kernel=name, grid=grid) for name, grid in grids.items()),
    )
    tier = Tier(
        requires=(),
        kv_dtype="f32",
        storages=(),
        buffers=(),
        functions={"decode": Function(launches=(launch,))},
    )
    records = [
        KernelRecord(**dict(zip(FIELDS, record, strict=True))) for record in case.get("records", ())
    ]
    adapter = AdapterKind(*case.get("adapter", ("acme", "one")))
    advice = advice_of(records, adapter, "f32", KERNELS.values())
    features = set(case.get("features", ()))
    chosen = choose_kernels(tier, KERNELS, features, case.get("software", False), advice)
    got = chosen.functions["decode"].launches[0]
    grid = grids.get(case["expected"], (1, 1, 1))
    assert (got.kernel, got.grid, got.alternatives) == (case["expected"], grid, ())


def test_distances_of_shapes() -> None:
    assert shape_distance("gemv N=4 K=8", "gemv N=4 K=8") == 1
    assert shape_distance("gemv N=4 K=8", "gemv N=8 K=4") == 4
    assert shape_distance("gemv N=4 K=8", "gemm N=4 K=8") is None
    assert shape_distance("gemv N=4 K=8", "gemv N=4 D=8") is None
    assert shape_distance("gemv N=4", "gemv N=4 K=8") is None
