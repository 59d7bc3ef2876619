"""The formats that cross a boundary, written once: JSON Schema and TypeScript are made from them.

`pack`, `program` and `kernels` are independent files; each carries its own `format_version`, and a
reader refuses a version it does not know by name. `tensor_cache` is MLC's format, read as it is.
"""

from .kernels import Kernel, KernelFile
from .pack import PackFile, PackManifest
from .program import Binding, Expr, Function, Launch, Program, Segment, Tier
from .tensor_cache import TensorCache

__all__ = [
    "Binding",
    "Expr",
    "Function",
    "Kernel",
    "KernelFile",
    "Launch",
    "PackFile",
    "PackManifest",
    "Program",
    "Segment",
    "TensorCache",
    "Tier",
]
