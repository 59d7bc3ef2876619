"""Model families: from config.json to a Relax module and the list of its parameters.

A new family is one file beside `llama.py` and a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webbuild.errors import (
    UnsupportedArchitectureError,
    UnsupportedConfigError,
    WrongModelKindError,
)
from webbuild.weights.parameter import Kind, Parameter

from .bert import BERT, ROBERTA
from .config import DecoderConfig, HfConfig, architecture_of
from .decoder import Decoder, module_spec
from .encoder import Encoder, EncoderConfig, encoder_parameters, encoder_spec
from .family import Family, ModelConfig
from .llama import LLAMA
from .ops import PAGE_SIZE
from .qwen2 import QWEN2
from .qwen3 import QWEN3

__all__ = [
    "FAMILIES",
    "PAGE_SIZE",
    "Decoder",
    "DecoderConfig",
    "Encoder",
    "EncoderConfig",
    "Family",
    "ModelConfig",
    "encoder_spec",
    "module_spec",
    "parameters",
    "read_config",
    "read_decoder",
]

FAMILIES = (LLAMA, QWEN2, QWEN3, BERT, ROBERTA)

#: Stacked parameters and the Hugging Face modules whose rows they hold, in order.
_STACKED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}


def read_config(config: Mapping[str, Any]) -> ModelConfig:
    """The model that a parsed config.json describes.

    Raises UnsupportedArchitectureError (listing the supported ones), UnsupportedConfigError for
    a variation that webbuild does not implement, InvalidConfigError for a broken config.
    """
    architecture = architecture_of(config)
    for family in FAMILIES:
        if architecture in family.architectures:
            usual = family.architectures[architecture]
            kind = config.get("model_type", usual)
            if kind != usual:
                raise UnsupportedConfigError(
                    f"config.json contradicts itself: architectures says {architecture}, whose "
                    f"model_type is {usual!r}, but model_type is {kind!r}; correct one of them"
                )
            if config.get("quantization_config"):
                raise UnsupportedConfigError(
                    "the checkpoint is already quantised (quantization_config): give the original"
                )
            return family.read(HfConfig(config))
    known = ", ".join(name for family in FAMILIES for name in family.architectures)
    raise UnsupportedArchitectureError(
        f"architecture {architecture!r} is not supported: webbuild knows {known}"
    )


def read_decoder(config: Mapping[str, Any]) -> DecoderConfig:
    """The same of a model that must generate text. Raises WrongModelKindError for another."""
    model = read_config(config)
    if isinstance(model, DecoderConfig):
        return model
    raise WrongModelKindError(
        f"{model.architecture} embeds texts: give a model that generates them"
    )


def parameters(config: ModelConfig) -> tuple[Parameter, ...]:
    """Every parameter of the model, in the order of its layers."""
    if isinstance(config, EncoderConfig):
        return tuple(encoder_parameters(config))
    return tuple(
        _parameter(config, name, tuple(int(n) for n in parameter.shape))
        for name, parameter in Decoder(config).named_parameters()
    )


def _parameter(config: DecoderConfig, name: str, shape: tuple[int, ...]) -> Parameter:
    if name == "rope.inv_freq":
        value = tuple(float(x) for x in config.rope.inv_freq())
        return Parameter(name, shape, "constant", (), value)
    kind: Kind = "vector" if len(shape) == 1 else "linear"
    if name == "model.embed_tokens.weight":
        kind = "embedding"
    stacked = name.split(".")[-2]
    sources = tuple(name.replace(stacked, part) for part in _STACKED.get(stacked, (stacked,)))
    return Parameter(name, shape, kind, sources, rows=_rows(config, stacked))


def _rows(config: DecoderConfig, stacked: str) -> tuple[int, ...]:
    """Of the tensors that are stacked in a parameter."""
    if stacked == "qkv_proj":
        kv = config.kv_heads * config.head_dim
        return (config.heads * config.head_dim, kv, kv)
    return (config.intermediate_size,) * 2 if stacked == "gate_up_proj" else ()
