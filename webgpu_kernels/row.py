"""What a row of the kernel table says; the table itself is registry.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .attrs import OpAttrs
from .constants import Constants
from .launch import Access, Grid, ScalarType, Suits, Tier


@dataclass(frozen=True)
class Slot:
    """A storage binding of a row."""

    name: str
    type: str
    """WGSL element type; `{name}` stands for a constant."""
    access: Access = "read"
    when: tuple[str, ...] = ()
    """Constants that must all be true for the binding to exist."""
    nbytes: str | None = None
    """For scratch: the constant that holds its size."""


@dataclass(frozen=True)
class Field:
    """A uniform field of a row; `value` names the constant that holds its expression."""

    name: str
    dtype: ScalarType
    value: str
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """One way to run a row: constants, or a source of its own, for the same op and bindings."""

    name: str
    """Key in tuning records."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """What the row's `constants` gets as keyword arguments."""
    features: tuple[str, ...] = ()
    """WebGPU features beyond the tier's, such as `subgroups`."""
    suits: Suits = "any"
    wgsl: str | None = None
    """Its own template, instead of the row's."""
    grid: Callable[[Constants, int], Grid] | None = None
    """Its own grid, instead of the row's."""
    serves: Callable[[Any, Tier], bool] = lambda attrs, tier: True
    """Whether it can run an op with these attributes; the first tuning of a row always can."""
    approximate: bool = False
    """Changes the numbers by more than rounding: only for an op whose attributes allow it."""


@dataclass(frozen=True)
class Kernel:
    """One row."""

    name: str
    attrs: type[OpAttrs]
    wgsl: str
    slots: tuple[Slot, ...]
    constants: Callable[..., Constants]
    """Of attributes, tier and a tuning's keywords: what the template, the slots and the grid need
    to know; `workgroup` is its size."""
    grid: Callable[[Constants, int], Grid]
    """From the constants and the matrix rows that the launch covers."""
    oracle: str
    """The numpy twin: a function of oracle.py."""
    fields: tuple[Field, ...] = ()
    mode: str | None = None
    """The value of attribute `mode` that this row serves."""
    variants: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Attribute values that select different code; tests cover them all."""
    tunings: tuple[Tuning, ...] = (Tuning("default"),)
    """The first runs anywhere; the others are its alternatives, best first."""
