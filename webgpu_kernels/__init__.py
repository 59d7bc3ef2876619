"""WGSL kernels for language models: a declarative registry of templates, and their numpy twins.

The package stands alone: it knows nothing of packs, programs or models. `registry.lower` is its
one entry point; `columns_for` says which kernels of a product suit how many rows.
"""

from .attrs import COLUMNS, BadAttributeError, columns_for
from .launch import Binding, Expr, KernelLaunch, Param
from .registry import lower

__all__ = [
    "COLUMNS",
    "BadAttributeError",
    "Binding",
    "Expr",
    "KernelLaunch",
    "Param",
    "columns_for",
    "lower",
]
