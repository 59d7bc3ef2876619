"""The tensors of a Hugging Face checkpoint, from its config, and random values for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from webbuild.models import EncoderConfig, ModelConfig, parameters

Bits = npt.NDArray[np.uint16]

# Values in the table that all tensors are cut from: odd, so that rows do not repeat in step with
# any power of two, and small enough to stay in the processor's cache.
_TABLE = (1 << 20) + 7


Role = Literal["matrix", "norm", "bias"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor to make, of bf16."""

    name: str
    shape: tuple[int, ...]
    role: Role

    @property
    def nbytes(self) -> int:
        return 2 * prod(self.shape)


def checkpoint_tensors(config: ModelConfig) -> Iterator[TensorSpec]:
    """Names and shapes as transformers saves them, in the order of the layers."""
    if isinstance(config, EncoderConfig):
        for parameter in parameters(config):
            rows, *columns = parameter.shape
            for name in parameter.sources:
                role: Role = "bias" if name.endswith("bias") else "norm"
                role = "matrix" if columns else role
                yield TensorSpec(name, (rows // len(parameter.sources), *columns), role)
        return
    D, F, head_dim = config.hidden_size, config.intermediate_size, config.head_dim
    q, kv = config.heads * head_dim, config.kv_heads * head_dim
    yield TensorSpec("model.embed_tokens.weight", (config.vocab_size, D), "matrix")
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}"
        yield TensorSpec(f"{prefix}.input_layernorm.weight", (D,), "norm")
        for name, N, K, bias in (
            ("self_attn.q_proj", q, D, config.qkv_bias),
            ("self_attn.k_proj", kv, D, config.qkv_bias),
            ("self_attn.v_proj", kv, D, config.qkv_bias),
            ("self_attn.o_proj", D, q, config.o_bias),
            ("mlp.gate_proj", F, D, config.mlp_bias),
            ("mlp.up_proj", F, D, config.mlp_bias),
            ("mlp.down_proj", D, F, config.mlp_bias),
        ):
            yield TensorSpec(f"{prefix}.{name}.weight", (N, K), "matrix")
            if bias:
                yield TensorSpec(f"{prefix}.{name}.bias", (N,), "bias")
        if config.qk_norm:
            yield TensorSpec(f"{prefix}.self_attn.q_norm.weight", (head_dim,), "norm")
            yield TensorSpec(f"{prefix}.self_attn.k_norm.weight", (head_dim,), "norm")
        yield TensorSpec(f"{prefix}.post_attention_layernorm.weight", (D,), "norm")
    yield TensorSpec("model.norm.weight", (D,), "norm")
    if not config.tied_embeddings:
        yield TensorSpec("lm_head.weight", (config.vocab_size, D), "matrix")


class RandomValues:
    """Normal bf16 values, as bit patterns, at the speed of a copy.

    All tensors are cut from one table of random numbers, each from a place of its own. A matrix
    is scaled to a standard deviation of about 1 / sqrt(columns), so that activations keep their
    size from layer to layer, by the nearest power of two: in bf16 that is one integer addition.
    Norm weights lie around 1, biases around 0.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        normal = self._random.standard_normal(_TABLE, np.float32)
        # Far below 2^-24 the exponent would run out when scaled; a weight that small is noise.
        normal[np.abs(normal) < 2.0**-24] = 2.0**-24
        self._normal = _bfloat16(normal)
        self._norm = _bfloat16(1 + 0.1 * normal)
        self._bias = _bfloat16(0.1 * normal)
        self._scaled: dict[int, Bits] = {}

    def blocks(self, spec: TensorSpec) -> Iterator[Bits]:
        """The tensor's values in order, in pieces."""
        table = self._table(spec)
        start = int(self._random.integers(_TABLE))
        remaining = prod(spec.shape)
        while remaining:
            piece = table[start : start + remaining]
            yield piece
            remaining -= len(piece)
            start = 0

    def _table(self, spec: TensorSpec) -> Bits:
        if spec.role == "norm":
            return self._norm
        if spec.role == "bias":
            return self._bias
        exponent = -round(log2(spec.shape[1]) / 2)
        if exponent not in self._scaled:
            # bf16 has its exponent from bit 7 up.
            self._scaled[exponent] = self._normal + np.uint16((exponent << 7) & 0xFFFF)
        return self._scaled[exponent]


def _bfloat16(values: npt.NDArray[np.float32]) -> Bits:
    """Bit patterns of `values`, cut to bf16."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)
