"""Qwen2 and Qwen2.5: Llama with biases on q, k and v."""

from __future__ import annotations

from .config import DecoderConfig, HfConfig, read_decoder, refuse_sliding_window
from .family import Family


def _read(hf: HfConfig) -> DecoderConfig:
    window = hf.values.get("sliding_window") if hf.optional("use_sliding_window", False) else None
    refuse_sliding_window(hf, window)
    return read_decoder(hf, family="qwen2", qkv_bias=True)


QWEN2 = Family("qwen2", {"Qwen2ForCausalLM": "qwen2"}, _read)
