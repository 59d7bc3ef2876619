"""The compiler: from a model's config to a launch program and its kernels."""

from .compiler import Compiled, compile_model

__all__ = ["Compiled", "compile_model"]
