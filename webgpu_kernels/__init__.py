"""WGSL kernels for language models: a declarative registry of templates, and their numpy twins.

The package stands alone: it knows nothing of packs, programs or models. `registry.lower` is its
one entry point.
"""

from .attrs import BadAttributeError
from .launch import Binding, Expr, KernelLaunch, Param
from .registry import lower

__all__ = ["BadAttributeError", "Binding", "Expr", "KernelLaunch", "Param", "lower"]
