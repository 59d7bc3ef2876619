"""The compiler: from a model's config to a launch program and its kernels."""

from .compiler import MAX_BATCH, Compiled, compile_model

__all__ = ["MAX_BATCH", "Compiled", "compile_model"]
