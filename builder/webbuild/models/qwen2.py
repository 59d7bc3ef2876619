"""Qwen2 and Qwen2.5: Llama with biases on q, k and v."""

from __future__ import annotations

from .config import DecoderConfig, HfConfig, read_decoder, refuse_sliding_window
from .family import Family


def _read(hf: HfConfig) -> DecoderConfig:
    refuse_sliding_window(hf, hf.optional("use_sliding_window", False))
    return read_decoder(hf, family="qwen2", qkv_bias=True)


QWEN2 = Family("qwen2", {"Qwen2ForCausalLM": "qwen2"}, _read)
