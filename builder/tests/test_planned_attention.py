"""Attention in the pieces that plans cut, against dense attention over all of each context."""

from __future__ import annotations

import numpy as np
import pytest

from webbuild.native.works import plan_works
from webgpu_kernels import lower
from webgpu_kernels.launch import Tier
from webgpu_kernels.tests.cases import MAKERS
from webgpu_kernels.tests.device import Device

BATCHES = 25
LONGEST = 1500
PIECE_TOKENS = 48
"""Short, so that short contexts are cut too."""


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


@pytest.mark.parametrize("tier", ["f32", "f16"])
@pytest.mark.parametrize("page", [16, 32])
def test_random_batches_are_as_dense_attention(device: Device, page: int, tier: Tier) -> None:
    if tier == "f16" and not device.f16:
        pytest.skip("the adapter has no shader-f16")
    rng = np.random.default_rng(page)
    shared = cut = 0
    for _ in range(BATCHES):
        rows = int(rng.integers(1, 13))
        positions = np.exp(rng.uniform(0, np.log(LONGEST), rows)).astype(int).tolist()
        setting = {"shape": (6, 2, 32, tuple(positions)), "mode": "split", "page_size": page}
        case = MAKERS["decode_attention"](setting, tier)
        lengths = [position + 1 for position in positions]
        table = case.arrays["page_table"].tolist()
        lists = [pages[: -(-length // page)] for pages, length in zip(table, lengths, strict=True)]
        plan = plan_works(lengths, lists, page, 256, PIECE_TOKENS)
        shared += plan.shared > 0
        cut += plan.parts > rows
        arrays = {**case.arrays, "work": plan.work, "work_rows": plan.work_rows}
        symbols = {"works": plan.works, "shared_works": plan.shared, "parts": plan.parts}
        launches = [device.quick(one) for one in lower("decode_attention", case.attrs, tier)]
        got, _ = device.run(launches, arrays, {**case.symbols, **symbols})
        want = case.want["y"]
        assert np.isfinite(got["y"]).all()
        assert np.abs(got["y"].reshape(want.shape) - want).max() <= 1e-3 * np.abs(want).max()
    assert min(shared, cut) >= BATCHES // 4
