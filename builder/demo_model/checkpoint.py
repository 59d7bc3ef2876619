"""Saving a trained network as a Hugging Face folder, and its state for resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from .network import Network, Shape
from .template import END, END_OF_TEXT
from .tokenizer import MAX_POSITIONS, save_tokenizer, write_json

CARD = """---
license: apache-2.0
language: en
tags: [toy, webbuild]
---

# webbuild demo model

A toy. It has about 5 million parameters, was trained on two processor cores from
nothing but text that a script generated, and exists so that webbuild's demo and tests
have a model of their own to run. It does small sums, unit conversions, dates, spelling,
sorting, JSON extraction, tool calls and a little small talk in the wordings it was
trained on. It knows almost nothing about the world and is wrong outside those tasks.
Do not use it for anything that matters.
"""


def config(shape: Shape, tokenizer: Tokenizer) -> dict[str, Any]:
    """What transformers' LlamaConfig reads."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": MAX_POSITIONS,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": shape.eps,
        "rope_scaling": None,
        "rope_theta": shape.theta,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }


def save_folder(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Everything that ``from_pretrained`` needs; weights in float16."""
    save_tokenizer(tokenizer, folder)
    write_json(folder / "config.json", config(network.shape, tokenizer))
    generation = {
        "bos_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "do_sample": False,
    }
    write_json(folder / "generation_config.json", generation)
    weights = {name: w.detach().half().contiguous() for name, w in network.state_dict().items()}
    partial = folder / "model.safetensors.partial"
    save_file(weights, str(partial), metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Written aside and moved into place: a stop half-way leaves the old state."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
