"""The logits ladder: packs every tiny config and measures it in both tiers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from webbuild.native import NativeModel
from webbuild.native.device import open_device
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.schema.program import KvStore
from webbuild.sources import open_source

from .compare import measure
from .model import Reference, reference_model
from .tiny import TINY, write_tiny

#: Largest max|Δ| / max|reference| by tier.
BOUNDS = {"f32": 1e-3, "f16": 2e-2}
#: The same with keys and values in int8: given these, and against float ones.
INT8_BOUNDS = {"exact": 1e-3, "float": 5e-2}


@dataclass(frozen=True, slots=True)
class Case:
    """One pack. library: False lets TVM make every kernel."""

    config: str
    quantization: str
    library: bool = True
    kv: KvStore = "float"

    def __str__(self) -> str:
        kv = "" if self.kv == "float" else "-kv-int8"
        return f"{self.config}-{self.quantization}{'' if self.library else '-tvm'}{kv}"


CASES = (
    *(Case(name, "q0f32") for name in TINY),
    *(Case(name, "q4f16_1") for name in TINY if "odd" not in name),
    Case("llama-gqa", "q8f16_1"),
    Case("llama-linear-rope-bias", "q8f16_1"),
    Case("qwen3-tied-bias", "q8f16_1"),
    Case("llama-odd", "q0f16"),
    Case("qwen2-tied", "q0f16"),
    Case("llama-gqa", "q4f16_1", library=False),
    Case("llama-gqa", "q8f16_1", library=False),
    Case("qwen3-tied-bias", "q0f32", library=False),
)


INT8_CASES = (Case("qwen3", "q0f32", kv="int8"), Case("llama-gqa", "q4f16_1", kv="int8"))


def prepare(case: Case, folder: Path) -> tuple[Path, Path]:
    """The Hugging Face folder and the pack of `case` below `folder`, made if they are not there."""
    source, pack = folder / case.config, folder / str(case)
    if not source.is_dir():
        write_tiny(case.config, folder)
    if not pack.is_dir():
        pack_model(
            open_source(str(source)),
            get_quantization(case.quantization),
            pack,
            Reporter(quiet=True),
            PackOptions(library=case.library, kv=case.kv),
        )
    return source, pack


def climb(case: Case, folder: Path) -> dict[str, float]:
    """Packs `case` below `folder` (existing) and returns the error of each tier that can run here.

    Unquantised packs are measured against the checkpoint, quantised ones against the same model
    holding the dequantised weights.
    """
    source, pack = prepare(case, folder)
    reference = _reference(case, source, pack)
    return {
        tier: measure(NativeModel.open(pack, tier, verify_hashes=True), reference)
        for tier in _tiers()
    }


def climb_int8(case: Case, folder: Path) -> dict[str, dict[str, float]]:
    """The errors of a pack that keeps keys and values in int8, by tier: `exact`, of the model given
    what was kept, and `float`, of one with float keys and values.

    Raises LogitsDifferError if anything is kept as another number than it should be."""
    source, pack = prepare(case, folder)
    reference = _reference(case, source, pack)
    errors = {}
    for tier in _tiers():
        model = NativeModel.open(pack, tier)
        exact = measure(model, reference, given_kept=True)
        errors[tier] = {"exact": exact, "float": measure(model, reference)}
    return errors


def _reference(case: Case, source: Path, pack: Path) -> Reference:
    return reference_model(source, None if case.quantization.startswith("q0") else pack)


def _tiers() -> list[str]:
    """Those that can run here."""
    features = open_device().features
    return [tier for tier in BOUNDS if tier == "f32" or "shader-f16" in features]
