"""The decoder-only transformer that every family here is a variation of.

Ragged and flat: activations are f32[tokens, n] over the new tokens of all sequences of a step.
Parameter names are MLC-LLM's (q, k, v stacked as `qkv_proj`, gate and up as `gate_up_proj`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm.relax.frontend import nn
from tvm.relax.frontend.nn import Tensor, op

from webbuild.schema.program import KvStore

from . import ops
from .config import DecoderConfig


@dataclass(frozen=True)
class Step:
    """The step block's arrays that every layer needs, and the rotation's frequencies."""

    positions: Tensor
    token_seq: Tensor
    page_table: Tensor
    inv_freq: Tensor
    tiles: Tensor | None = None
    """In prefill."""
    works: tuple[Tensor, Tensor] | None = None
    """In a decode whose contexts are cut into pieces."""

    @property
    def pages(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.positions, self.token_seq, self.page_table


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self.qkv_proj = nn.Linear(config.hidden_size, config.qkv_size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(
            config.heads * config.head_dim, config.hidden_size, bias=config.o_bias
        )
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(config.head_dim, -1, config.norm_eps, bias=False)
            self.k_norm = nn.RMSNorm(config.head_dim, -1, config.norm_eps, bias=False)

    def forward(self, x: Tensor, step: Step, kv: tuple[Tensor, Tensor]) -> Tensor:
        config = self.config
        heads = {"heads": config.heads, "kv_heads": config.kv_heads, "head_dim": config.head_dim}
        qk_norm = (self.q_norm.weight, self.k_norm.weight) if config.qk_norm else None
        qkv = self.qkv_proj(x)
        eps = config.norm_eps
        if step.tiles is None:
            y = ops.decode_attention(
                qkv, step.inv_freq, qk_norm, step.pages, step.works, kv, norm_eps=eps, **heads
            )
        else:
            q = ops.rope_append(qkv, step.inv_freq, qk_norm, step.pages, kv, norm_eps=eps, **heads)
            y = ops.attention(q, step.pages, step.tiles, kv, **heads)
        return self.o_proj(y)


class Mlp(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_up_proj = nn.Linear(hidden, 2 * inner, bias=bias)
        self.down_proj = nn.Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = op.split(self.gate_up_proj(x), 2, axis=-1)
        return self.down_proj(op.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, -1, config.norm_eps, bias=False)
        self.post_attention_layernorm = nn.RMSNorm(
            config.hidden_size, -1, config.norm_eps, bias=False
        )

    def forward(self, x: Tensor, step: Step, kv: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), step, kv)
        return x + self.mlp(self.post_attention_layernorm(x))


class Stack(nn.Module):
    """Embedding, layers and final norm: `model.*` in the names."""

    def __init__(self, config: DecoderConfig) -> None:
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(config.hidden_size, -1, config.norm_eps, bias=False)


class Rotation(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        self.inv_freq = nn.Parameter((config.head_dim // 2,))


class Decoder(nn.Module):
    """token ids and KV pages → KV pages (in place) and logits f32[outs, vocab]."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self.model = Stack(config)
        self.rope = Rotation(config)
        if not config.tied_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.to("float32")

    def prefill(
        self,
        token_ids: Tensor,
        last_tokens: Tensor,
        positions: Tensor,
        token_seq: Tensor,
        page_table: Tensor,
        logit_rows: Tensor,
        tiles: Tensor,
        kv_k: list[Tensor],
        kv_v: list[Tensor],
    ) -> Tensor:
        """Any number of tokens per sequence; logits of the rows named by `logit_rows`."""
        step = Step(positions, token_seq, page_table, self.rope.inv_freq, tiles=tiles)
        x = self._layers((token_ids, last_tokens), step, kv_k, kv_v)
        return self._head(op.take(x, logit_rows, axis=0))

    def decode(
        self,
        token_ids: Tensor,
        last_tokens: Tensor,
        positions: Tensor,
        token_seq: Tensor,
        page_table: Tensor,
        kv_k: list[Tensor],
        kv_v: list[Tensor],
    ) -> Tensor:
        """One token per sequence: row i is sequence i; logits of all rows."""
        step = Step(positions, token_seq, page_table, self.rope.inv_freq)
        return self._head(self._layers((token_ids, last_tokens), step, kv_k, kv_v))

    def decode_split(
        self,
        token_ids: Tensor,
        last_tokens: Tensor,
        positions: Tensor,
        token_seq: Tensor,
        page_table: Tensor,
        work: Tensor,
        work_rows: Tensor,
        kv_k: list[Tensor],
        kv_v: list[Tensor],
    ) -> Tensor:
        """`decode`, with contexts cut into pieces that several workgroups share."""
        works = (work, work_rows)
        step = Step(positions, token_seq, page_table, self.rope.inv_freq, works=works)
        return self._head(self._layers((token_ids, last_tokens), step, kv_k, kv_v))

    def _layers(
        self,
        tokens: tuple[Tensor, Tensor],
        step: Step,
        kv_k: list[Tensor],
        kv_v: list[Tensor],
    ) -> Tensor:
        x = self.model.embed_tokens(ops.resolve(*tokens))
        for layer, k, v in zip(self.model.layers, kv_k, kv_v, strict=True):
            x = layer(x, step, (k, v))
        return x

    def _head(self, x: Tensor) -> Tensor:
        x = self.model.norm(x)
        if self.config.tied_embeddings:
            return op.matmul(x, op.permute_dims(self.model.embed_tokens.weight))
        return self.lm_head(x)


def module_spec(
    module: Decoder, kv_dtype: str, split: bool = True, kv: KvStore = "float"
) -> nn.spec.ModuleSpec:
    """The signatures of prefill and decode over the symbols of docs/architecture.md.

    kv_dtype: of floats. split: with decode_split. kv: how pages keep keys and values.
    """
    config = module.config
    keys, values = ops.page_shapes(config.kv_heads, config.head_dim, kv)
    stored = "uint32" if kv == "int8" else kv_dtype

    def ints(*shape: str | int) -> nn.spec.Tensor:
        return nn.spec.Tensor([*shape], "int32")

    def signature(tokens: str, **more: nn.spec.Tensor) -> dict[str, object]:
        return {
            "token_ids": ints(tokens),
            "last_tokens": ints("slots"),
            "positions": ints(tokens),
            "token_seq": ints(tokens),
            "page_table": ints("seqs", "max_pages"),
            **more,
            "kv_k": [nn.spec.Tensor(["pages", *keys], stored) for _ in range(config.layers)],
            "kv_v": [nn.spec.Tensor(["pages", *values], stored) for _ in range(config.layers)],
            "$": {"param_mode": "plain", "effect_mode": "none"},
        }

    functions = {
        "prefill": signature("tokens", logit_rows=ints("outs"), tiles=ints("q_tiles", 4)),
        "decode": signature("seqs"),
    }
    if split:
        works = {"work": ints("items", 4), "work_rows": ints("rows_and_end")}
        functions["decode_split"] = signature("seqs", **works)
    return nn.spec.ModuleSpec.from_raw(functions, module)
