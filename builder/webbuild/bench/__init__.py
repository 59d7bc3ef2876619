"""`webbuild bench`: how fast a pack runs here, and how fast beside another pack or build."""

from .plan import BenchOptions
from .run import run_benchmark

__all__ = ["BenchOptions", "run_benchmark"]
