"""What packs are measured against: Hugging Face transformers in float32, on the same weights.

Needs the extra `webbuild[dev]` (torch, transformers); nothing else of the package imports this.
"""

from .compare import measure
from .ladder import (
    BOUNDS,
    CASES,
    INT8_BOUNDS,
    INT8_CASES,
    Case,
    climb,
    climb_int8,
    prepare,
)
from .model import load_model, reference_model
from .tiny import TINY, write_tiny

__all__ = [
    "BOUNDS",
    "CASES",
    "INT8_BOUNDS",
    "INT8_CASES",
    "TINY",
    "Case",
    "climb",
    "climb_int8",
    "load_model",
    "measure",
    "prepare",
    "reference_model",
    "write_tiny",
]
