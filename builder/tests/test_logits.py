"""Logits of every family, quantisation and tier against transformers in float32."""

from __future__ import annotations

from pathlib import Path

import pytest

from webbuild.native import NativeModel
from webbuild.native.device import open_device
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.reference import TINY, measure, reference_model, write_tiny
from webbuild.sources import open_source

pytestmark = pytest.mark.gpu

BOUNDS = {"f32": 1e-3, "f16": 2e-2}
CASES = [
    *((name, "q0f32", True) for name in TINY),
    *((name, "q4f16_1", True) for name in TINY if "odd" not in name),
    ("llama-odd", "q0f16", True),
    ("qwen2-tied", "q0f16", True),
    ("llama-gqa", "q4f16_1", False),
    ("qwen3-tied-bias", "q0f32", False),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {name: write_tiny(name, folder) for name in TINY}


@pytest.mark.parametrize(
    ("name", "quantization", "library"),
    CASES,
    ids=[f"{name}-{quant}{'' if library else '-tvm'}" for name, quant, library in CASES],
)
def test_logits_equal_those_of_transformers(
    sources: dict[str, Path], tmp_path: Path, name: str, quantization: str, library: bool
) -> None:
    pack_model(
        open_source(str(sources[name])),
        get_quantization(quantization),
        tmp_path / "pack",
        Reporter(quiet=True),
        PackOptions(library=library),
    )
    # Unquantised weights must agree with the checkpoint; quantised ones with what they stand for.
    quantised = tmp_path / "pack" if quantization.startswith("q4") else None
    reference = reference_model(sources[name], quantised, quantization)
    tiers = [tier for tier in BOUNDS if tier == "f32" or "shader-f16" in open_device().features]
    errors = {
        tier: measure(NativeModel.open(tmp_path / "pack", tier, verify_hashes=True), reference)
        for tier in tiers
    }
    assert all(errors[tier] <= BOUNDS[tier] for tier in tiers), errors
