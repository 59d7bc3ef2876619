"""Llama 1 to 3.2, and what kept its shape: TinyLlama, SmolLM2, Mistral without sliding window."""

from __future__ import annotations

from .config import DecoderConfig, HfConfig, architecture_of, read_decoder, refuse_sliding_window
from .family import Family


def _read(hf: HfConfig) -> DecoderConfig:
    if architecture_of(hf.values) == "MistralForCausalLM":
        refuse_sliding_window(hf)
        return read_decoder(hf, family="llama")
    bias = hf.optional("attention_bias", False)
    return read_decoder(
        hf,
        family="llama",
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=hf.optional("mlp_bias", False),
    )


LLAMA = Family("llama", {"LlamaForCausalLM": "llama", "MistralForCausalLM": "mistral"}, _read)
