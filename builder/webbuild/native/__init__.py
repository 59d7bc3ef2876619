"""Runs packs natively on wgpu: for kernel tests, logits checks and `webbuild verify`.

The same launch programs that browsers play, on whatever adapter wgpu finds (a software one will
do). Needs the extra `webbuild[native]`.
"""

from .encoder import NativeEncoder
from .model import NativeModel
from .sampling import Sampling
from .sequence import Sequence

__all__ = ["NativeEncoder", "NativeModel", "Sampling", "Sequence"]
