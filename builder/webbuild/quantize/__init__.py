"""Quantisations: from a checkpoint's floats to the arrays that a pack stores."""

from __future__ import annotations

from webbuild.errors import UnknownQuantizationError
from webbuild.quantize.base import Quantization, StoredArray
from webbuild.quantize.group import GroupQuantization
from webbuild.quantize.plain import Plain

__all__ = ["QUANTIZATIONS", "Quantization", "StoredArray", "get_quantization"]

_ALL = (
    GroupQuantization("q4f16_1", 4),
    GroupQuantization("q8f16_1", 8),
    Plain("q0f16", "float16"),
    Plain("q0f32", "float32"),
)

#: Every quantisation by its name.
QUANTIZATIONS: dict[str, Quantization] = {quantization.name: quantization for quantization in _ALL}


def get_quantization(name: str) -> Quantization:
    """The quantisation called `name`. Raises UnknownQuantizationError, listing what there is."""
    try:
        return QUANTIZATIONS[name]
    except KeyError:
        known = ", ".join(QUANTIZATIONS)
        raise UnknownQuantizationError(f"no quantisation {name!r}: choose one of {known}") from None
