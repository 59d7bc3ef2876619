"""Small configs of every family with every variation: each runs in a second, with random weights.

Vocabularies are odd on purpose; where a config's name says `odd`, so are its other sizes, which
only unquantised packs can hold (the others want groups of 32).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from webbuild.pack import Reporter
from webbuild.synth import synthesize

_COMMON: dict[str, Any] = {
    "vocab_size": 331,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "eos_token_id": 2,
}
_LLAMA = {**_COMMON, "architectures": ["LlamaForCausalLM"], "model_type": "llama"}
_QWEN2 = {**_COMMON, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
_QWEN3 = {**_COMMON, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}

_BERT = {
    "num_hidden_layers": 2,
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 331,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}

#: Encoders, likewise.
TINY_ENCODERS: dict[str, dict[str, Any]] = {
    "bert": _BERT,
    "bert-odd": {
        **_BERT,
        "hidden_size": 51,
        "intermediate_size": 67,
        "num_attention_heads": 3,
        "layer_norm_eps": 1e-5,
    },
    "xlm-roberta": {
        **_BERT,
        "architectures": ["XLMRobertaModel"],
        "model_type": "xlm-roberta",
        "max_position_embeddings": 130,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
}

#: config.json of each, by name.
TINY: dict[str, dict[str, Any]] = {
    "llama-gqa": _LLAMA,
    "llama-mha-tied": {
        **_LLAMA,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "llama-llama3-rope": {
        **_LLAMA,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "llama-linear-rope-bias": {
        **_LLAMA,
        "attention_bias": True,
        "mlp_bias": True,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    },
    "llama-head-dim": {**_LLAMA, "num_attention_heads": 4, "head_dim": 64},
    "llama-odd": {
        **_LLAMA,
        "vocab_size": 347,
        "hidden_size": 95,
        "intermediate_size": 157,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "head_dim": 18,
    },
    "mistral": {
        **_LLAMA,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "sliding_window": None,
        "head_dim": 32,
    },
    "qwen2-tied": {**_QWEN2, "tie_word_embeddings": True},
    "qwen3": {**_QWEN3, "head_dim": 32},
    "qwen3-tied-bias": {
        **_QWEN3,
        "head_dim": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "tie_word_embeddings": True,
        "attention_bias": True,
    },
}


def write_tiny(name: str, folder: Path) -> Path:
    """Writes the config called `name`, of a decoder or an encoder, as a Hugging Face folder
    `folder`/`name`; returns it."""
    config = folder / f"{name}.json"
    config.write_text(json.dumps({**TINY, **TINY_ENCODERS}[name]), "utf-8")
    synthesize(str(config), folder / name, Reporter(quiet=True), seed=3)
    return folder / name
