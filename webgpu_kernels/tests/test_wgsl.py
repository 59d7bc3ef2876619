"""The rendered sources themselves: deterministic, within limits, and accepted by Dawn (Tint is
stricter than naga)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webgpu_kernels import BadAttributeError, KernelLaunch, lower
from webgpu_kernels.launch import F32_MATRICES, MAX_BINDINGS, MAX_GRID, NARROW, Tier

from .cases import MAKERS
from .test_kernels import ROWS, TIERS, settings

VALIDATOR = Path(__file__).parent / "validate.mjs"


def every_launch() -> Iterator[KernelLaunch]:
    """Every variant that the oracle tests run, in both tiers, and some real models' shapes."""
    for tier in TIERS:
        for row in ROWS:
            for setting in settings(row):
                attrs = MAKERS[row.attrs.op](setting, tier).attrs
                attrs |= {"approximate": True} if row.name == "gemm" else {}
                yield from all_of(row.attrs.op, attrs, tier)
        for vocab in (1, 301, 151936):
            for limits in (True, False):
                yield from all_of("sample", {"vocab": vocab, "limits": limits}, tier)
            yield from all_of("logprobs", {"vocab": vocab}, tier)


def all_of(op: str, attrs: dict[str, Any], tier: Tier) -> Iterator[KernelLaunch]:
    """The launches of an op, each followed by its alternatives."""
    for launch in lower(op, attrs, tier):
        yield launch
        yield from launch.alternatives


def test_dawn_accepts_every_kernel() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    probe = [node, "--input-type=module", "-e", "import 'webgpu'"]
    if subprocess.run(probe, cwd=VALIDATOR.parent, capture_output=True, check=False).returncode:
        pytest.skip("needs the npm package webgpu (npm ci)")
    kernels = {launch.wgsl: launch for launch in every_launch()}
    request = json.dumps(
        [
            {"name": launch.name, "wgsl": wgsl, "bindings": len(launch.bindings)}
            for wgsl, launch in kernels.items()
        ]
        + [
            {
                "name": "broken",
                "wgsl": "@compute @workgroup_size(1) fn main() { x = 1; }",
                "bindings": 0,
            }
        ]
    )
    done = subprocess.run(
        [node, str(VALIDATOR)], input=request, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout)
    assert [kernel["name"] for kernel in refused] == ["broken"], refused
    assert len(kernels) > 100


def test_every_kernel_stays_within_the_default_limits() -> None:
    for launch in every_launch():
        x, y, z = launch.workgroup_size
        assert x * y * z <= 256 and launch.workgroup_bytes <= 16384
        assert len(launch.bindings) <= MAX_BINDINGS
        enabled = {
            "shader-f16": "enable f16;",
            F32_MATRICES: "enable chromium_experimental_subgroup_matrix;",
            "subgroups": "enable subgroups;",
        }
        needed = [name for name, directive in enabled.items() if directive in launch.wgsl]
        assert sorted({*launch.features} - {NARROW}) == needed
        assert launch.wgsl.startswith("// ")


def test_alternatives_are_interchangeable() -> None:
    """What a player prepares for a launch serves each of its alternatives."""
    for launch in every_launch():
        assert len({other.tuning for other in launch.alternatives}) == len(launch.alternatives)
        assert len({launch.wgsl, *(other.wgsl for other in launch.alternatives)}) == 1 + len(
            launch.alternatives
        )
        for other in launch.alternatives:
            assert other.bindings == launch.bindings
            assert other.params == launch.params
            assert other.rows == launch.rows
            assert other.tuning_key == launch.tuning_key


def test_rendering_is_deterministic() -> None:
    """Another process, with another hash seed, renders the same bytes."""
    program = (
        "import hashlib; from webgpu_kernels.tests.test_wgsl import every_launch;"
        "print(hashlib.sha256(repr(list(every_launch())).encode()).hexdigest())"
    )
    root = str(Path(__file__).parents[2])

    def digest(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert digest("1") == digest("2")


def test_wide_matrices_split_the_grid_over_x_and_z() -> None:
    (launch,) = lower("linear", {"N": 4_000_000, "K": 4096, "quant": "q4", "mode": "gemv"}, "f32")
    x, _, z = launch.grid
    assert isinstance(x, int) and isinstance(z, int)
    assert x <= MAX_GRID and z == 8 and x * z * 8 >= 4_000_000


LINEAR: dict[str, Any] = {"N": 8, "K": 64, "quant": "q4", "mode": "gemv"}
HEADS: dict[str, Any] = {"H": 4, "KV": 2, "D": 64}


@pytest.mark.parametrize(
    ("op", "attrs", "attribute"),
    [
        ("matmul", {}, "op"),
        ("linear", {**LINEAR, "K": 48}, "K"),
        ("linear", {**LINEAR, "N": 0}, "N"),
        ("linear", {**LINEAR, "N": True}, "N"),
        ("linear", {**LINEAR, "quant": "q3"}, "quant"),
        ("linear", {**LINEAR, "mode": "gevm"}, "mode"),
        ("linear", {**LINEAR, "norm": -1.0}, "norm"),
        ("linear", {**LINEAR, "beam": 4}, "beam"),
        ("linear", {**LINEAR, "columns": 9}, "columns"),
        ("linear", {**LINEAR, "columns": 0}, "columns"),
        ("linear", {**LINEAR, "columns": 3}, "columns"),
        ("linear", {**LINEAR, "columns": 4, "mode": "gemm"}, "columns"),
        ("linear", {"N": 8, "K": 64, "quant": "q4"}, "mode"),
        ("linear", {**LINEAR, "row_splits": [(0, 4), (5, 8)]}, "row_splits"),
        ("linear", {**LINEAR, "row_splits": [(0, 4), (4, 7)]}, "row_splits"),
        ("linear", {**LINEAR, "row_splits": []}, "row_splits"),
        ("embed", {"vocab": 9, "D": 40, "quant": "q4"}, "D"),
        ("rope_append", {**HEADS, "KV": 3}, "H"),
        ("rope_append", {**HEADS, "D": 258}, "D"),
        ("rope_append", {**HEADS, "kv": "int4"}, "kv"),
        ("decode_attention", {**HEADS, "scale": 1.0, "mode": "encode"}, "mode"),
        ("decode_attention", {**HEADS, "D": 512, "scale": 1.0}, "D"),
        ("attention", {**HEADS, "D": 20, "scale": 1.0}, "D"),
        ("attention", {**HEADS, "scale": 1.0, "window": 0}, "window"),
        ("attention", {**HEADS, "scale": 1.0, "softcap": -1.0}, "softcap"),
        ("sample", {"vocab": 0}, "vocab"),
    ],
)
def test_bad_attributes_are_named(op: str, attrs: dict[str, Any], attribute: str) -> None:
    with pytest.raises(BadAttributeError, match=f"`{attribute}`") as caught:
        lower(op, attrs, "f32")
    assert caught.value.attribute == attribute


def test_too_many_fusions_are_refused() -> None:
    everything = {"norm": 1e-5, "glu": True, "bias": True, "residual": True, "gather": True}
    with pytest.raises(BadAttributeError, match="use fewer fusions"):
        lower("linear", {**LINEAR, **everything}, "f32")
