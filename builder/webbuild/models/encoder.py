"""The bidirectional encoder (BERT) that every family of text embeddings here is a variation of.

Ragged and flat, as decoders are: activations are f32[tokens, n] over the tokens of all texts of a
step, and a token attends to all tokens of its own text. Nothing outlives a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tvm import relax
from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import Tensor, op

from webbuild.weights.parameter import Kind, Parameter

from . import ops


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The shape of an encoder. All a family file has to fill in.

    context_length: most tokens of a text. first_position: the row of the position table that a
    text's first token reads; RoBERTa leaves out as many rows as the padding token's id and one.
    """

    architecture: str
    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    context_length: int
    norm_eps: float
    token_types: int
    first_position: int = 0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.heads

    @property
    def positions(self) -> int:
        """Rows of the position table."""
        return self.context_length + self.first_position


class LayerNorm(nn.Module):
    """Over the last axis, with bias. A call of ours: TVM's own reads a tuple that no kernel has."""

    def __init__(self, config: EncoderConfig) -> None:
        self.weight = nn.Parameter((config.hidden_size,))
        self.bias = nn.Parameter((config.hidden_size,))
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


class SelfAttention(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        hidden = config.hidden_size
        self.config = config
        self.qkv_proj = nn.Linear(hidden, 3 * hidden)
        self.o_proj = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, token_seq: Tensor, texts: Tensor) -> Tensor:
        heads, head_dim = self.config.heads, self.config.head_dim
        y = ops.text_attention(self.qkv_proj(x), token_seq, texts, heads=heads, head_dim=head_dim)
        return self.o_proj(y)


class EncoderLayer(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        hidden, inner = config.hidden_size, config.intermediate_size
        self.self_attn = SelfAttention(config)
        self.attn_norm = LayerNorm(config)
        self.up_proj = nn.Linear(hidden, inner)
        self.down_proj = nn.Linear(inner, hidden)
        self.mlp_norm = LayerNorm(config)

    def forward(self, x: Tensor, token_seq: Tensor, texts: Tensor) -> Tensor:
        x = self.attn_norm(self.self_attn(x, token_seq, texts) + x)
        return self.mlp_norm(self.down_proj(ops.gelu(self.up_proj(x))) + x)


class EncoderStack(nn.Module):
    """Embeddings and layers: `model.*` in the names."""

    def __init__(self, config: EncoderConfig) -> None:
        hidden = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, hidden)
        self.embed_positions = nn.Embedding(config.positions, hidden)
        self.embed_types = nn.Embedding(config.token_types, hidden)
        self.embed_norm = LayerNorm(config)
        self.layers = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])


class Encoder(nn.Module):
    """Tokens of several texts → a vector for each: f32[seqs, hidden]."""

    def __init__(self, config: EncoderConfig) -> None:
        self.config = config
        self.model = EncoderStack(config)
        self.to("float32")

    def embed(
        self, token_ids: Tensor, positions: Tensor, token_seq: Tensor, texts: Tensor
    ) -> Tensor:
        """positions: rows of the position table. texts: i32[seqs, 4]: of each text the first row
        of its tokens and the row behind its last; then the same of those whose mean it becomes."""
        model = self.model
        # Every token is of the first type: pairs of texts are not embedded.
        types = op.wrap_nested(relax.op.zeros(token_ids._expr.ty.shape, "int32"), "types")
        x = model.embed_tokens(token_ids) + model.embed_positions(positions)
        x = model.embed_norm(x + model.embed_types(types))
        for layer in model.layers:
            x = layer(x, token_seq, texts)
        return ops.pool(x, texts)


def encoder_spec(module: Encoder) -> nn.spec.ModuleSpec:
    """The signature of `embed` over the symbols of docs/architecture.md."""

    def ints(*shape: str | int) -> nn.spec.Tensor:
        return nn.spec.Tensor([*shape], "int32")

    embed = {
        "token_ids": ints("tokens"),
        "positions": ints("tokens"),
        "token_seq": ints("tokens"),
        "texts": ints("seqs", 4),
        "$": {"param_mode": "plain", "effect_mode": "none"},
    }
    return nn.spec.ModuleSpec.from_raw({"embed": embed}, module)


#: Modules here and in Hugging Face's files; `layers.N.` is `encoder.layer.N.` there.
_TOP = {
    "embed_tokens": ("embeddings.word_embeddings",),
    "embed_positions": ("embeddings.position_embeddings",),
    "embed_types": ("embeddings.token_type_embeddings",),
    "embed_norm": ("embeddings.LayerNorm",),
}
_LAYER = {
    "self_attn.qkv_proj": tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
    "self_attn.o_proj": ("attention.output.dense",),
    "attn_norm": ("attention.output.LayerNorm",),
    "up_proj": ("intermediate.dense",),
    "down_proj": ("output.dense",),
    "mlp_norm": ("output.LayerNorm",),
}


def encoder_parameters(config: EncoderConfig) -> Iterator[Parameter]:
    """Every parameter of the model, in the order of its layers."""
    for name, parameter in Encoder(config).named_parameters():
        module, _, kind = name.removeprefix("model.").rpartition(".")
        if module.startswith("layers."):
            _, number, inner = module.split(".", 2)
            sources = [f"encoder.layer.{number}.{part}.{kind}" for part in _LAYER[inner]]
        else:
            sources = [f"{part}.{kind}" for part in _TOP[module]]
        shape = tuple(int(size) for size in parameter.shape)
        matrix: Kind = "embedding" if module.startswith("embed_") else "linear"
        rows = (config.hidden_size,) * 3 if len(sources) == 3 else ()
        kind_of: Kind = "vector" if len(shape) == 1 else matrix
        yield Parameter(name, shape, kind_of, tuple(sources), rows=rows)
