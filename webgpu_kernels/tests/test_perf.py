"""`pytest webgpu_kernels/tests --perf -s`: µs and GB/s of each kernel at the sizes of a 1B model.

Nothing here asserts a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from webgpu_kernels import lower
from webgpu_kernels.constants import RESULT_WORDS
from webgpu_kernels.oracle import Sampling

from .cases import MAKERS, Attrs
from .device import WEIGHTS, Arrays, Device

pytestmark = pytest.mark.gpu
Q4: Attrs = {
    "quant": "q4",
    "norm": None,
    "bias": False,
    "residual": False,
    "glu": False,
    "gather": False,
    "row_splits": None,
}
CONTEXT = 2000
PERF: dict[str, tuple[str, Attrs]] = {
    "gemv qkv": ("linear", {**Q4, "norm": 1e-5, "mode": "gemv", "shape": (1, 3072, 2048)}),
    "gemv gate|up": (
        "linear",
        {**Q4, "norm": 1e-5, "glu": True, "mode": "gemv", "shape": (1, 8192, 2048)},
    ),
    "gemv down": ("linear", {**Q4, "residual": True, "mode": "gemv", "shape": (1, 2048, 8192)}),
    "gemm qkv": ("linear", {**Q4, "norm": 1e-5, "mode": "gemm", "shape": (128, 3072, 2048)}),
    "embed": ("embed", {"quant": "q4", "row_splits": None, "shape": (128, 4096, 2048)}),
    "rope_append": ("rope_append", {"shape": (32, 8, 64, ((0, 128),))}),
    "attention decode": (
        "decode_attention",
        {"mode": "whole", "shape": (32, 8, 64, (CONTEXT,))},
    ),
    "attention prefill": (
        "attention",
        {"shape": (32, 8, 64, ((0, 128),))},
    ),
}


def measure(
    device: Device, op: str, attrs: Mapping[str, Any], arrays: Arrays, symbols: dict[str, int]
) -> float:
    """Seconds of one run, without set-up and read-back."""
    launches = lower(op, attrs, "f32")
    once = min(device.run(launches, arrays, symbols)[1] for _ in range(3))
    repeat = max(2, min(100, math.ceil(0.2 / once)))
    many = device.run(launches, arrays, symbols, repeat=repeat)[1] * repeat
    return max(many - once, 0) / (repeat - 1)


def report(name: str, seconds: float, nbytes: int) -> None:
    rate = nbytes / max(seconds, 1e-9) / 1e9
    print(f"\n{name:<20} {seconds * 1e6:10.0f} µs {rate:8.2f} GB/s", end="")


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--perf"):
        pytest.skip("needs --perf")


@pytest.mark.parametrize("name", PERF)
def test_speed(device: Device, name: str) -> None:
    op, setting = PERF[name]
    case = MAKERS[op](setting, "f32")
    seconds = measure(device, op, case.attrs, case.arrays, case.symbols)
    if op == "linear":
        moved = sum(array.nbytes for key, array in case.arrays.items() if key in WEIGHTS)
    elif op in ("attention", "decode_attention"):
        _, kv_heads, dim, _ = setting["shape"]
        moved = 2 * 4 * kv_heads * dim * (int(case.arrays["positions"].max()) + 1)
    else:
        moved = 2 * 4 * next(iter(case.want.values())).size
    report(name, seconds, moved)
    assert seconds >= 0


SAMPLERS = {
    "greedy": ("sample", Sampling()),
    "temperature": ("sample", Sampling(temperature=0.8)),
    "top-k, top-p": ("sample", Sampling(temperature=0.8, top_k=40, top_p=0.95)),
    "top-p": ("sample", Sampling(temperature=0.8, top_p=0.95)),
    "top 5": ("logprobs", Sampling(top_logprobs=5)),
    "top 20": ("logprobs", Sampling(top_logprobs=20)),
}


@pytest.mark.parametrize("vocab", [49152, 151936])
@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler_speed(device: Device, name: str, vocab: int) -> None:
    op, settings = SAMPLERS[name]
    arrays = {
        "logits": np.random.default_rng(0).standard_normal((1, vocab)).astype(np.float32),
        "token_counts": np.zeros((1, vocab), np.uint32),
        "logit_bias": np.zeros((1, vocab), np.float32),
        "slots": np.zeros(1, np.int32),
        "sampling": settings.words()[None],
        "sampled": np.zeros((1, RESULT_WORDS), np.uint32),
        "last_tokens": np.zeros(1, np.int32),
    }
    seconds = measure(device, op, {"vocab": vocab}, arrays, {"outs": 1})
    report(f"{op} {name} {vocab}", seconds, 4 * vocab)
    assert seconds >= 0
