"""A family: which architectures it covers and how their configs describe a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .config import DecoderConfig, HfConfig
from .encoder import EncoderConfig

ModelConfig = DecoderConfig | EncoderConfig
"""A decoder generates text, an encoder turns texts into vectors."""


@dataclass(frozen=True, slots=True)
class Family:
    """architectures: values of config.json's ``architectures[0]``, and the ``model_type`` of each,
    by which transformers chooses; read: config → model."""

    name: str
    architectures: Mapping[str, str]
    read: Callable[[HfConfig], ModelConfig]
