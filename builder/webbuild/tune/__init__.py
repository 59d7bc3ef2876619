"""`webbuild tune`: which tunings of kernels are the fastest on a device, kept as records."""

from .command import TuneOptions, tune
from .open_runner import RunnerOptions

__all__ = ["RunnerOptions", "TuneOptions", "tune"]
