"""Renders WGSL templates: jinja2 with constants baked in, readable output, the same bytes every
time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

_SIZES = {
    "f32": 4,
    "u32": 4,
    "i32": 4,
    "bool": 4,
    "atomic<u32>": 4,
    "vec2<f32>": 8,
    "vec4<f32>": 16,
    "vec4<u32>": 16,
}
_WORKGROUP_VARIABLE = re.compile(
    r"^var<workgroup> \w+: (?:array<(.+), (\d+)>|(.+));$", re.MULTILINE
)
_BLANK_LINES = re.compile(r"\n{3,}")


def _f32(value: float) -> str:
    """A WGSL f32 literal."""
    return f"{float(value)!r}f"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "wgsl"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # WGSL, not HTML
        keep_trailing_newline=True,
    )
    environment.filters["f32"] = _f32
    return environment


_ENVIRONMENT = _environment()


def render(name: str, constants: Mapping[str, Any]) -> str:
    """The WGSL of template `name`. Raises jinja2.UndefinedError for a constant that the template
    needs and lacks."""
    text = _ENVIRONMENT.get_template(name).render(constants)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n"


def workgroup_bytes(wgsl: str) -> int:
    """Bytes of workgroup memory that a rendered kernel declares."""
    total = 0
    for element, count, single in _WORKGROUP_VARIABLE.findall(wgsl):
        total += _SIZES[element or single] * int(count or 1)
    return total
