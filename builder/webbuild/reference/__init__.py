"""What packs are measured against: Hugging Face transformers in float32, on the same weights.

Needs the extra `webbuild[dev]` (torch, transformers); nothing else of the package imports this.
"""

from .compare import measure
from .encoder import ENCODER_BOUNDS, EncoderReference, measure_encoder, pooled
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
from .tiny import TINY, TINY_ENCODERS, write_tiny

__all__ = [
    "BOUNDS",
    "CASES",
    "ENCODER_BOUNDS",
    "INT8_BOUNDS",
    "INT8_CASES",
    "TINY",
    "TINY_ENCODERS",
    "Case",
    "EncoderReference",
    "climb",
    "climb_int8",
    "load_model",
    "measure",
    "measure_encoder",
    "pooled",
    "prepare",
    "reference_model",
    "write_tiny",
]
