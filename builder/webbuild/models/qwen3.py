"""Qwen3: Llama with RMSNorm over each head's q and k, and a head_dim of its own."""

from __future__ import annotations

from .config import DecoderConfig, HfConfig, read_decoder, refuse_sliding_window
from .family import Family

_HEAD_DIM = 128  # transformers' default where the config has none


def _read(hf: HfConfig) -> DecoderConfig:
    refuse_sliding_window(hf, hf.optional("use_sliding_window", False))
    bias = hf.optional("attention_bias", False)
    return read_decoder(
        hf,
        family="qwen3",
        default_head_dim=_HEAD_DIM,
        qkv_bias=bias,
        o_bias=bias,
        qk_norm=True,
    )


QWEN3 = Family("qwen3", {"Qwen3ForCausalLM": "qwen3"}, _read)
