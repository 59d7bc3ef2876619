"""The formats that cross a boundary, written once: JSON Schema and TypeScript types are generated from these models.

`pack`, `program` and `kernels` are independent files; each carries its own `format_version`, and a reader refuses
a version it does not know by name.
"""

from .kernels import Kernel, KernelFile
from .pack import PackFile, PackManifest
from .program import Binding, Function, Launch, Program, Segment, Tier

__all__ = [
    "Binding",
    "Function",
    "Kernel",
    "KernelFile",
    "Launch",
    "PackFile",
    "PackManifest",
    "Program",
    "Segment",
    "Tier",
]
