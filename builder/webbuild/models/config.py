"""What a decoder-only model looks like, and how it is read from a Hugging Face config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from webbuild.errors import InvalidConfigError, UnsupportedConfigError

from .rope import Rope, read_rope

_T = TypeVar("_T", int, float, bool, str)

#: Of any size that a config names: no model has more, and tables of this size would be made.
_MOST = 1 << 24
#: Layers are compiled one after another.
MOST_LAYERS = 1024

#: What transformers takes where a config has no sliding_window; null means none.
_WINDOW = 4096
#: Names of layers that see all of it.
_WHOLE_CONTEXT = ("full_attention", "attention")


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The shape of a decoder and its few variations. All a family file has to fill in.

    q, k and v are `heads` and twice `kv_heads` vectors of `head_dim`; heads / kv_heads query heads
    share one KV head (GQA).
    """

    architecture: str
    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    norm_eps: float
    rope: Rope
    tied_embeddings: bool
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMSNorm over each head's q and k, before the rotation."""

    @property
    def qkv_size(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim


class HfConfig:
    """A config.json with typed access. Every complaint names the key and what was found."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def _typed(self, key: str, value: object, kind: type[_T]) -> _T:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InvalidConfigError(
                f"config.json: {key!r} must be {kind.__name__}, but is {value!r}"
            )
        return value

    def required(self, key: str, kind: type[_T]) -> _T:
        """The value of `key`. Raises InvalidConfigError if it is absent or of another type."""
        if self.values.get(key) is None:
            raise InvalidConfigError(
                f"config.json lacks {key!r}: it is not the config of a language model that "
                "transformers wrote, or it was cut; download it again"
            )
        return self._typed(key, self.values[key], kind)

    def optional(self, key: str, default: _T) -> _T:
        """The value of `key`, or `default` if it is absent or null."""
        value = self.values.get(key)
        return default if value is None else self._typed(key, value, type(default))

    def positive(self, key: str, default: int | None = None, most: int = _MOST) -> int:
        """A positive integer, `most` at most. Raises InvalidConfigError otherwise."""
        value = self.required(key, int) if default is None else self.optional(key, default)
        if not 0 < value <= most:
            raise InvalidConfigError(
                f"config.json: {key!r} must be positive and at most {most}, but is {value}"
            )
        return value

    def epsilon(self, key: str, default: float) -> float:
        """A number between 0 and 1. Raises InvalidConfigError otherwise."""
        value = self.optional(key, default)
        if not 0 < value < 1:
            raise InvalidConfigError(
                f"config.json: {key!r} must be between 0 and 1, but is {value}"
            )
        return value


def read_decoder(
    hf: HfConfig, *, family: str, default_head_dim: int | None = None, **variations: bool
) -> DecoderConfig:
    """Reads the keys that all families share; `variations` are DecoderConfig's flags.

    default_head_dim: where the config has no head_dim; None means hidden_size / heads.

    Raises InvalidConfigError for values that make no sense and UnsupportedConfigError for
    those that make sense but that webbuild cannot run.
    """
    heads = hf.positive("num_attention_heads")
    kv_heads = hf.positive("num_key_value_heads", heads)
    hidden_size = hf.positive("hidden_size")
    head_dim = hf.positive("head_dim", default_head_dim or hidden_size // heads)
    if heads % kv_heads:
        raise InvalidConfigError(
            f"config.json: num_attention_heads ({heads}) is not a multiple of "
            f"num_key_value_heads ({kv_heads})"
        )
    if head_dim % 2:
        raise UnsupportedConfigError(
            f"head_dim is {head_dim}: rotary position embeddings need an even one"
        )
    _refuse_unsupported(hf)
    return DecoderConfig(
        architecture=architecture_of(hf.values),
        family=family,
        vocab_size=hf.positive("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=hf.positive("intermediate_size"),
        layers=hf.positive("num_hidden_layers", most=MOST_LAYERS),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        context_length=hf.positive("max_position_embeddings"),
        norm_eps=hf.epsilon("rms_norm_eps", 1e-6),
        rope=read_rope(hf.values, head_dim),
        tied_embeddings=hf.optional("tie_word_embeddings", False),
        **variations,
    )


def refuse_sliding_window(hf: HfConfig, used: bool = True) -> None:
    """Raises UnsupportedConfigError if some layer may not see the whole context.

    used: whether `sliding_window` counts.
    """
    types = hf.values.get("layer_types")
    slides = isinstance(types, list) and any(kind not in _WHOLE_CONTEXT for kind in types)
    window = hf.values.get("sliding_window", _WINDOW) if used else None
    context = hf.positive("max_position_embeddings")
    if slides or (window is not None and not (isinstance(window, int) and window >= context)):
        raise UnsupportedConfigError(
            f"the model uses sliding-window attention (window {window}, context {context}"
            f"{f', layer_types {types}' if slides else ''}), "
            "which webbuild does not implement: choose a release without it"
        )


def architecture_of(values: Mapping[str, Any]) -> str:
    """`architectures[0]` of a config.json, such as ``LlamaForCausalLM``."""
    architectures = values.get("architectures")
    if (
        not isinstance(architectures, list)
        or not architectures
        or not isinstance(architectures[0], str)
    ):
        raise InvalidConfigError(
            'config.json names no architecture: it needs "architectures", such as '
            '["LlamaForCausalLM"]'
        )
    return architectures[0]


def _refuse_unsupported(hf: HfConfig) -> None:
    activation = hf.optional("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise UnsupportedConfigError(
            f"hidden_act is {activation!r}: webbuild implements silu for this architecture"
        )
    if not hf.optional("is_causal", True) or hf.optional("use_bidirectional_attention", False):
        raise UnsupportedConfigError(
            "the model lets tokens attend to later ones (is_causal, use_bidirectional_attention): "
            "webbuild runs this architecture as a generator of text"
        )
    if hf.values.get("per_layer_config"):
        raise UnsupportedConfigError(
            "the layers differ in their settings (per_layer_config), which is not implemented"
        )
