"""Pass 2: patterns of hot ops become calls of the kernel library."""

from __future__ import annotations

import tvm


def match(module: tvm.IRModule) -> tvm.IRModule:
    return module
