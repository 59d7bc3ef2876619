"""Model families: configs, parameters, rotary frequencies, and what is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from webbuild.errors import (
    InvalidConfigError,
    UnsupportedArchitectureError,
    UnsupportedConfigError,
)
from webbuild.models import Decoder, parameters, read_config, read_decoder
from webbuild.reference import TINY, TINY_ENCODERS

LLAMA = TINY["llama-gqa"]
QWEN2 = TINY["qwen2-tied"]
LLAMA3 = {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def transformers_model(config: dict[str, Any]) -> torch.nn.Module:
    """The model without memory for its weights; computed buffers are real."""
    rest = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model: torch.nn.Module = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(config["model_type"], **rest)
        )
    return model


@pytest.mark.parametrize("name", TINY)
def test_parameters_cover_the_checkpoint(name: str) -> None:
    config = TINY[name]
    wanted = {key: tuple(p.shape) for key, p in transformers_model(config).named_parameters()}
    read: list[str] = []
    for parameter in parameters(read_config(config)):
        shapes = [wanted[source] for source in parameter.sources]
        read += parameter.sources
        if parameter.kind != "constant":
            rows = sum(shape[0] for shape in shapes)
            assert parameter.shape == (rows, *shapes[0][1:]), parameter.name
    assert sorted(read) == sorted(wanted)


@pytest.mark.parametrize("name", TINY)
def test_frequencies_are_those_of_transformers(name: str) -> None:
    config = TINY[name]
    rest = {key: value for key, value in config.items() if key != "model_type"}
    hf = AutoConfig.for_model(config["model_type"], **rest)
    rotary = type(transformers_model(config).get_submodule("model.rotary_emb"))(hf)
    named = {parameter.name: parameter for parameter in parameters(read_config(config))}
    parameter = named["rope.inv_freq"]
    assert parameter.kind == "constant"
    ours = np.array(parameter.value, np.float32)
    np.testing.assert_array_max_ulp(ours, rotary.get_buffer("inv_freq").numpy(), maxulp=1)


def test_llama3_scaling_of_the_real_model() -> None:
    # Llama 3.2 1B: short waves are kept, long ones are 32 times slower, some lie between.
    base = LLAMA | {"rope_theta": 500000.0, "head_dim": 64}
    plain = read_decoder(base).rope.inv_freq()
    scaled = read_decoder(base | {"rope_scaling": LLAMA3}).rope.inv_freq()
    ratio = plain / scaled
    assert np.all(np.diff(ratio) >= 0)
    assert ratio[0] == 1 and ratio[-1] == pytest.approx(32)
    assert np.any((ratio > 1) & (ratio < 32))


def test_rope_parameters_of_transformers_5() -> None:
    new = LLAMA | {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0}}
    old = LLAMA | {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}}
    assert read_config(new) == read_config(old)


def test_rope_scaling_wins_as_in_transformers() -> None:
    parameters = {"rope_type": "default", "rope_theta": 5000.0}
    both = LLAMA | {"rope_parameters": parameters, "rope_theta": 7000.0}
    linear = {"rope_type": "linear", "factor": 4.0}
    hf = AutoConfig.for_model("llama", **{k: v for k, v in both.items() if k != "model_type"},
                              rope_scaling=dict(linear))  # fmt: skip
    rope = read_decoder(both | {"rope_scaling": linear}).rope
    assert (rope.kind, rope.theta) == ("linear", hf.rope_parameters["rope_theta"])
    assert read_decoder(both).rope.theta == 5000.0


def test_a_window_that_covers_the_context_is_no_window() -> None:
    config = TINY["mistral"] | {"sliding_window": 512}
    assert read_config(config).context_length == 512
    unused = QWEN2 | {"use_sliding_window": False, "sliding_window": 16}
    assert read_config(unused) == read_config(QWEN2)


def test_names_are_those_of_mlc() -> None:
    names = {parameter.name for parameter in parameters(read_config(LLAMA))}
    layer = "model.layers.1"
    assert {
        "model.embed_tokens.weight",
        f"{layer}.self_attn.qkv_proj.weight",
        f"{layer}.self_attn.o_proj.weight",
        f"{layer}.mlp.gate_up_proj.weight",
        f"{layer}.mlp.down_proj.weight",
        f"{layer}.input_layernorm.weight",
        f"{layer}.post_attention_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    } < names


def test_a_tied_head_has_no_weight_of_its_own() -> None:
    names = [name for name, _ in Decoder(read_decoder(QWEN2)).named_parameters()]
    assert "lm_head.weight" not in names


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LLAMA | {"hidden_act": "gelu"}, "gelu"),
        (LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        (LLAMA | {"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        (LLAMA | {"head_dim": 17}, "head_dim"),
        (LLAMA | {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        (TINY["mistral"] | {"sliding_window": 128}, "sliding"),
        ({k: v for k, v in TINY["mistral"].items() if k != "sliding_window"}
         | {"max_position_embeddings": 32768}, "sliding"),
        (QWEN2 | {"use_sliding_window": True, "sliding_window": 128}, "sliding"),
        (QWEN2 | {"layer_types": ["full_attention", "sliding_attention"]}, "sliding"),
        (QWEN2 | {"use_sliding_window": True, "max_position_embeddings": 8192}, "window 4096"),
        (QWEN2 | {"layer_types": ["full_attention", "chunked_attention"]}, "chunked"),
        (QWEN2 | {"is_causal": False}, "is_causal"),
        (QWEN2 | {"use_bidirectional_attention": True}, "is_causal"),
        (LLAMA | {"model_type": "mistral", "sliding_window": 16}, "model_type is 'mistral'"),
        (LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
                  "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        (LLAMA | {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
         "partial_rotary_factor"),
        (QWEN2 | {"rope_parameters": {"full_attention": {"rope_type": "default",
                                                         "rope_theta": 1e6}}}, "full_attention"),
        (LLAMA | {"per_layer_config": {"0": {"rms_norm_eps": 0.1}}}, "per_layer_config"),
        (TINY_ENCODERS["bert"] | {"quantization_config": {"quant_method": "x"}}, "quantised"),
    ],
)  # fmt: skip
def test_unsupported_configs_are_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedConfigError, match=said):
        read_config(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "96"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_key_value_heads": 4}, "multiple"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
        ({"rope_scaling": "llama3"}, "rope"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"rope_theta": -1.0}, "rope_theta"),
        ({"rope_theta": float("inf")}, "rope_theta"),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}}, "low_freq_factor"),
        ({"rope_scaling": LLAMA3, "original_max_position_embeddings": 64}, "leave one out"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps"),
        ({"vocab_size": 10**30}, "vocab_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"architectures": []}, "architecture"),
        ({"architectures": None}, "architecture"),
    ],
)
def test_broken_configs_are_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        read_config(LLAMA | change)


def test_an_unknown_architecture_lists_the_known() -> None:
    with pytest.raises(UnsupportedArchitectureError, match=r"GPT2.*LlamaForCausalLM.*Qwen3"):
        read_config(LLAMA | {"architectures": ["GPT2LMHeadModel"]})
