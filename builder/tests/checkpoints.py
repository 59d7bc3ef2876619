"""Small checkpoints on disk, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from webbuild.synth.tokenizer import CHAT_TEMPLATE, make_tokenizer

Tensors = Mapping[str, npt.NDArray[np.generic]]

_TYPE_NAMES = {
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype(np.float16): "F16",
    np.dtype(np.float32): "F32",
    np.dtype(np.int64): "I64",
}

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 300,
}


def header_and_data(tensors: Tensors) -> tuple[dict[str, Any], bytes]:
    """The parts of a safetensors file."""
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        end = len(data) + tensor.nbytes
        header[name] = {
            "dtype": _TYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), end],
        }
        data += tensor.tobytes()
    return header, data


def write_safetensors(path: Path, tensors: Tensors) -> None:
    header, data = header_and_data(tensors)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def random_tensors(
    config: Mapping[str, Any] = CONFIG, dtype: npt.DTypeLike = ml_dtypes.bfloat16, seed: int = 0
) -> dict[str, npt.NDArray[np.generic]]:
    """All tensors of a Llama checkpoint."""
    random = np.random.default_rng(seed)
    D, F = config["hidden_size"], config["intermediate_size"]
    kv = D // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], D)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (D,),
            f"{prefix}.self_attn.q_proj.weight": (D, D),
            f"{prefix}.self_attn.k_proj.weight": (kv, D),
            f"{prefix}.self_attn.v_proj.weight": (kv, D),
            f"{prefix}.self_attn.o_proj.weight": (D, D),
            f"{prefix}.post_attention_layernorm.weight": (D,),
            f"{prefix}.mlp.gate_proj.weight": (F, D),
            f"{prefix}.mlp.up_proj.weight": (F, D),
            f"{prefix}.mlp.down_proj.weight": (D, F),
        }
    shapes |= {"model.norm.weight": (D,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], D)
    return {
        name: random.normal(1 if len(shape) == 1 else 0, 0.05, shape)
        .astype(np.float32)
        .astype(dtype)
        for name, shape in shapes.items()
    }


def write_model(
    folder: Path, config: Mapping[str, Any] = CONFIG, tensors: Tensors | None = None
) -> Path:
    """A complete Hugging Face folder of a tiny Llama."""
    folder.mkdir(parents=True, exist_ok=True)
    made = make_tokenizer(config["vocab_size"], 1, [2], None)
    files = {
        "config.json": config,
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": [2]},
        "tokenizer.json": made.tokenizer,
        "tokenizer_config.json": made.config,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    write_safetensors(folder / "model.safetensors", tensors or random_tensors(config))
    return folder
