"""A family: which architectures it covers and how their configs describe a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .config import DecoderConfig, HfConfig


@dataclass(frozen=True, slots=True)
class Family:
    """architectures: values of config.json's ``architectures[0]``; read: config → decoder."""

    name: str
    architectures: tuple[str, ...]
    read: Callable[[HfConfig], DecoderConfig]
