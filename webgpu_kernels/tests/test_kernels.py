"""Every kernel × variant × tier × odd shape against its numpy twin; the matrix comes from the
registry's rows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webgpu_kernels import lower, oracle
from webgpu_kernels.launch import MAX_GRID, KernelLaunch, Tier
from webgpu_kernels.registry import KERNELS, OPS
from webgpu_kernels.row import Kernel

from .cases import MAKERS, SHAPES, Attrs, Case, pairwise
from .device import Device, evaluate

pytestmark = pytest.mark.gpu
GUARD = 1000
TIERS: tuple[Tier, ...] = ("f16", "f32")
#: Ops whose kernels have tests of their own, in test_sampling.py.
APART = ("sample", "logprobs")
ROWS = [row for row in KERNELS if row.attrs.op in MAKERS]


def settings(row: Kernel) -> Iterator[Attrs]:
    """Attribute settings of a row: its variants and shapes, pairwise."""
    for setting in pairwise({**row.variants, "shape": SHAPES[row.name]}):
        yield setting | ({"mode": row.mode} if row.mode else {})


def matrix() -> Iterator[Any]:
    for row in ROWS:
        for i, setting in enumerate(settings(row)):
            for tier in TIERS:
                yield pytest.param(row, setting, tier, id=f"{row.name}-{i}-{tier}")


def check_limits(launch: KernelLaunch, symbols: dict[str, int]) -> None:
    x, y, z = launch.workgroup_size
    assert x * y * z <= 256
    assert launch.workgroup_bytes <= 16384
    # A step without shared pieces has none for its workgroups.
    assert all(0 <= evaluate(e, symbols) <= MAX_GRID for e in launch.grid)


def close(got: np.ndarray, want: np.ndarray, precision: float = 1e-5, what: str = "it") -> None:
    """Relative to the largest value: `precision`, or f16's rounding where the result is stored
    so. what: how a failure calls the values."""
    tolerance = 1e-3 if got.dtype == np.float16 else precision
    wide = want.astype(np.float64)
    known = np.isfinite(wide)
    strange = np.count_nonzero(np.isfinite(got) != known)
    assert strange == 0, (
        f"{what}: {strange} of {got.size} not finite, or finite where nothing is written"
    )
    atol = tolerance * np.abs(wide[known]).max()
    np.testing.assert_allclose(got, wide, rtol=0, atol=atol, err_msg=what)


def close_int8(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray], most: float) -> None:
    """Pages of int8: the steps' lengths, and the steps, of which at most `most` may round up where
    the twin's round down."""
    words = want["kv_v"].shape[-1]
    lengths = [np.ascontiguousarray(one["kv_k"][..., words:]).view("f4") for one in (got, want)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-5)
    for name in ("kv_k", "kv_v"):
        ours, theirs = (
            np.ascontiguousarray(one[name][..., :words]).view(np.int8).astype(int)
            for one in (got, want)
        )
        differences = np.abs(ours - theirs)
        assert differences.max() <= 1
        assert np.count_nonzero(differences) <= most


@pytest.mark.parametrize(("row", "setting", "tier"), list(matrix()))
def test_matches_oracle(device: Device, row: Kernel, setting: Attrs, tier: Tier) -> None:
    if tier == "f16" and not device.f16:
        pytest.skip("the adapter has no shader-f16")
    case = MAKERS[row.attrs.op](setting, tier)
    launches = lower(row.attrs.op, case.attrs, tier)
    for tuning in row.tunings:
        # The op's other rows have tests of their own: of them the kernels that compile soonest.
        chosen = [
            _under(launch, tuning.name)
            if launch.tuning_key.split()[0].split(".")[0].startswith(row.name)
            else device.quick(launch)
            for launch in launches
        ]
        served = tuning is row.tunings[0] or any(one.tuning == tuning.name for one in chosen)
        if served and all(device.has(launch.features) for launch in chosen):
            check_case(device, chosen, case)


def _under(launch: KernelLaunch, tuning: str) -> KernelLaunch:
    return next((other for other in launch.alternatives if other.tuning == tuning), launch)


def check_case(
    device: Device, launches: list[KernelLaunch], case: Case, precision: float = 1e-5
) -> None:
    for launch in launches:
        check_limits(launch, case.symbols)
    # Storages are as large as the longest step: what lies behind this step's rows stays as it is.
    size = {name: want.size for name, want in case.want.items()}
    arrays = {
        name: np.append(array, np.full(GUARD, 7, array.dtype)) if name in size else array
        for name, array in case.arrays.items()
    }
    got, _ = device.run(launches, arrays, case.symbols)
    scratch = {b.name for launch in launches for b in launch.bindings if b.nbytes is not None}
    assert set(got) - scratch == set(case.want)
    values = {name: got[name][: size[name]].reshape(case.want[name].shape) for name in size}
    wanted = case.want | (case.settle(values) if case.settle else {})
    for name, want in wanted.items():
        what = f"{name} of {', '.join(launch.name for launch in launches)}"
        assert (got[name][size[name] :] == 7).all(), f"{what}: written beyond its end"
        if want.dtype != np.uint32:
            close(values[name], want, precision, what)
    if "kv_k" in wanted and wanted["kv_k"].dtype == np.uint32:
        attrs = case.attrs
        close_int8(values, wanted, 2 + case.symbols["tokens"] * attrs["KV"] * attrs["D"] / 200)


@pytest.mark.parametrize(("k", "loads"), [(96, 1), (576, 3), (896, 2), (4096, 1)])
def test_scales_are_read_two_at_a_time(device: Device, k: int, loads: int) -> None:
    """By software adapters, which pay for each load; rows of an odd number have none to pair."""
    case, cpu = software_gemv({"residual": True}, (1, 41, k))
    _, _, products = cpu.wgsl.partition("turn++")
    assert products.count("= scale(") + products.count("= scales(") == loads
    if device.has(cpu.features):
        check_case(device, [cpu], case)


def software_gemv(variants: Attrs, shape: tuple[int, int, int]) -> tuple[Case, KernelLaunch]:
    """A product, and the kernel for software adapters with subgroups."""
    none = {"norm": None, "bias": False, "residual": False, "glu": False, "gather": False}
    attrs = {"quant": "q4", "row_splits": None, **none, **variants}
    case = MAKERS["linear"]({"mode": "gemv", "shape": shape, **attrs}, "f32")
    (launch,) = lower("linear", case.attrs, "f32")
    (cpu,) = (one for one in launch.alternatives if one.suits == "cpu")
    assert cpu.tuning == "teams"
    return case, cpu


FUSED: Attrs = {"norm": 1e-5, "bias": True, "glu": True, "gather": True}


@pytest.mark.parametrize("quant", ["q4", "q8"])
@pytest.mark.parametrize(
    ("k", "pieces"), [(32, 1), (64, 1), (192, 1), (544, 1), (640, 1), (672, 3), (896, 4), (1472, 6)]
)
@pytest.mark.parametrize("n", [5, 37, 2052])
def test_teams_share_rows_of_any_length(
    device: Device, n: int, k: int, pieces: int, quant: str
) -> None:
    """Pairs of chunks for each lane, single ones and halves left over, more than one piece of code
    holds; rows for one team only, and for several workgroups."""
    case, cpu = software_gemv({**FUSED, "quant": quant}, (2, n, k))
    (launch,) = lower("linear", case.attrs, "f32")
    assert launch.bindings == cpu.bindings and launch.params == cpu.params
    assert pieces_of(cpu.wgsl) == pieces
    assert "Barrier" not in cpu.wgsl and "var<workgroup>" not in cpu.wgsl
    if device.has(cpu.features):
        check_case(device, [cpu], case)


def pieces_of(wgsl: str) -> int:
    """How many pieces of a row a kernel goes through, those that repeat included."""
    loops = [int(n) for n in re.findall(r"piece < (\d+)u", wgsl)]
    return sum(loops) + len(re.findall(r"^ +const base = ", wgsl, re.MULTILINE))


@pytest.mark.parametrize("fused", [{}, FUSED, {**FUSED, "gather": False, "residual": True}])
@pytest.mark.parametrize(("n", "k"), [(1, 32), (2, 544), (45, 608), (66, 2080)])
@pytest.mark.parametrize("quant", ["q4", "q8"])
def test_rows_of_gate_and_up_share_registers(
    device: Device, quant: str, n: int, k: int, fused: Attrs
) -> None:
    """Where an invocation has few: two rows of each instead of four."""
    none = {"norm": None, "bias": False, "residual": False, "gather": False, "row_splits": None}
    setting = {**none, **fused, "quant": quant, "glu": True, "mode": "gemv", "shape": (3, n, k)}
    case = MAKERS["linear"](setting, "f32")
    (launch,) = lower("linear", case.attrs, "f32")
    narrow = _under(launch, "narrow")
    assert narrow.tuning == "narrow" and "vec2<f32>()" in narrow.wgsl
    if device.has(narrow.features):
        check_case(device, [narrow], case)


COLUMN_CASES = [
    *((4, q, k, rows) for q, k, rows in (("q4", 32, 1), ("q8", 192, 7), ("q4", 576, 4))),
    *((8, q, k, rows) for q, k, rows in (("q4", 96, 3), ("q8", 544, 8), ("q4", 896, 19))),
    *((8, q, k, rows) for q, k, rows in (("q8", 160, 8), ("q4", 4864, 2), ("q8", 2112, 9))),
]


@pytest.mark.parametrize("variants", [FUSED, {"residual": True}], ids=["fused", "residual"])
@pytest.mark.parametrize(("columns", "quant", "k", "rows"), COLUMN_CASES)
def test_a_row_is_the_same_in_every_batch(
    device: Device, columns: int, quant: str, k: int, rows: int, variants: Attrs
) -> None:
    """Bit for bit: the kernel for several rows adds up each as the one for a single row does."""
    gathered = rows + (1 if variants is FUSED else 0)
    setting = {**variants, "quant": quant}
    case, several = software_gemv({**setting, "columns": columns}, (gathered, 37, k))
    if not device.has(several.features):
        pytest.skip("the adapter has no subgroups")
    check_case(device, [several], case)
    (launch,) = lower("linear", {**case.attrs, "columns": 1}, "f32")
    (single,) = (one for one in launch.alternatives if one.suits == "cpu")
    assert single.bindings == several.bindings and single.params == several.params
    assert evaluate(single.grid[1], case.symbols) == rows
    assert evaluate(several.grid[1], case.symbols) == -(-rows // columns)
    (one,), (many,) = (
        device.run([kernel], case.arrays, case.symbols)[0].values() for kernel in (single, several)
    )
    np.testing.assert_array_equal(one, many)


PEAKS = [(3, 10), (3, 20), (3, 400), (0, 400)]
"""Scores rise by more than 60, 88 (whose exponential f32 cannot hold) and 1000 within a sequence;
the last have the highest first too, and so all others far below."""
PEAKED: list[Attrs] = [
    {"shape": (9, 3, 64, (300, 0, 47, 301))},
    {"shape": (22, 2, 32, (70, 33)), "window": 37, "qk_norm": 1e-6},
    {"shape": (3, 1, 24, (130, 18)), "sinks": True, "softcap": 900.0},
    {"shape": (6, 2, 64, (90, 17)), "kv": "int8"},
]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("mode", ["whole", "split"])
@pytest.mark.parametrize("setting", PEAKED)
def test_scores_may_rise_by_any_number(
    device: Device, setting: Attrs, mode: str, tier: Tier
) -> None:
    if tier == "f16" and not device.f16:
        pytest.skip("the adapter has no shader-f16")
    for peaks in PEAKS:
        case = MAKERS["decode_attention"]({"mode": mode, "peaks": peaks, **setting}, tier)
        launches = lower("decode_attention", case.attrs, tier)
        # A score of a thousand is rounded by some 1e-4, and weights go by differences of scores.
        precision = 3e-6 * peaks[1]
        check_case(device, [device.quick(launch) for launch in launches], case, precision)


def test_teams_where_subgroups_are_narrow(device: Device) -> None:
    """SwiftShader's hold four invocations, so lavapipe's have to hold as many for once."""
    if "llvmpipe" not in device.adapter.info["device"]:
        pytest.skip("needs lavapipe, whose subgroups can be made narrow")
    program = f"from {__name__} import check_narrow; check_narrow()"
    path = {"PYTHONPATH": str(Path(__file__).parents[2]), "LP_NATIVE_VECTOR_WIDTH": "128"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_narrow() -> None:
    device = Device()
    assert "128 bits" in device.adapter.info["device"]
    decode = {"shape": (6, 2, 64, (0, 37, 300)), "window": 200, "qk_norm": 1e-6}
    prefill = {"shape": (6, 2, 64, ((0, 3), (290, 30))), "window": 200, "sinks": True}
    for op, setting in (
        ("decode_attention", {"mode": "whole", **decode}),
        ("decode_attention", {"mode": "split", **decode}),
        ("decode_attention", {"mode": "whole", **decode, "kv": "int8"}),
        ("attention", prefill),
    ):
        case = MAKERS[op](setting, "f32")
        launches = lower(op, case.attrs, "f32")
        first = launches[0]
        launches = [device.quick(launch) for launch in launches]
        assert launches[0] in first.alternatives
        assert all(
            "Barrier" not in one.wgsl and "var<workgroup>" not in one.wgsl for one in launches
        )
        check_case(device, launches, case)
    for k, columns in ((576, 1), (1472, 1), (576, 4)):
        case, cpu = software_gemv({**FUSED, "columns": columns}, (6, 37, k))
        check_case(device, [cpu], case)


@pytest.mark.parametrize(("page_size", "served"), [(16, True), (15, False)])
def test_positions_of_a_step_lie_in_one_page(page_size: int, served: bool) -> None:
    setting: Attrs = {"mode": "whole", "shape": (2, 1, 64, (3,)), "page_size": page_size}
    launch, *_ = lower("decode_attention", MAKERS["decode_attention"](setting, "f32").attrs, "f32")
    assert any(one.tuning == "teams" for one in launch.alternatives) == served


def test_every_row_has_an_oracle_and_cases() -> None:
    for row in KERNELS:
        assert callable(getattr(oracle, row.oracle)), f"{row.name}: write oracle.{row.oracle}"
        assert row.attrs.op in OPS
        if row.attrs.op not in APART:
            assert row.attrs.op in MAKERS, f"{row.name} is not tested: add {row.attrs.op} to MAKERS"
            assert row.name in SHAPES, f"{row.name} is not tested: add it to SHAPES"
