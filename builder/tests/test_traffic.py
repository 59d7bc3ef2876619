"""Bytes by count from the program, against the arithmetic of the model's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from webbuild.compile import Compiled, compile_model
from webbuild.reference import TINY
from webbuild.schema.program import SPLIT_CONTEXT
from webbuild.traffic import decode_traffic

#: The shapes of SmolLM2-135M, Qwen2-0.5B and Qwen3-0.6B.
SMOLLM2 = TINY["llama-gqa"] | {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
QWEN2 = TINY["qwen2-tied"] | {
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
}
QWEN3 = TINY["qwen3"] | {
    "vocab_size": 151936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Model:
    """A compiled config, and the bits of its weights beside their 32nd of an f16."""

    config: dict[str, Any]
    bits: int
    compiled: Compiled


MODELS = {
    "smollm2": (SMOLLM2, "q4f16_1", 4),
    "qwen2": (QWEN2, "q4f16_1", 4),
    "qwen3": (QWEN3, "q4f16_1", 4),
    "smollm2-q8": (SMOLLM2, "q8f16_1", 8),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    config, quantization, bits = MODELS[request.param]
    return Model(config, bits, compile_model(config, quantization))


def needed(config: dict[str, Any], bits: int, context: int, kv_bytes: int) -> int:
    """Weights, norms, keys and values of a step."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads, inner = config["num_key_value_heads"], config["intermediate_size"]
    dim = config.get("head_dim") or hidden // heads
    qkv = (heads + 2 * kv_heads) * dim
    layer = hidden * qkv + heads * dim * hidden + 3 * hidden * inner
    vectors = 2 * hidden
    if config["model_type"] == "qwen2":
        vectors += qkv
    if config["model_type"] == "qwen3":
        vectors += 2 * dim
    matrices = config["num_hidden_layers"] * layer + config["vocab_size"] * hidden
    floats = config["num_hidden_layers"] * vectors + hidden + dim // 2
    kv = config["num_hidden_layers"] * 2 * context * kv_heads * dim * kv_bytes
    return int(matrices * bits // 8 + matrices // 16 + 4 * floats + kv)


@pytest.mark.parametrize(("tier", "kv_bytes"), [("f16", 2), ("f32", 4)])
@pytest.mark.parametrize("context", [1, 128, 4096])
def test_what_a_step_needs_is_what_its_shape_says(
    model: Model, tier: str, kv_bytes: int, context: int
) -> None:
    compiled = model.compiled
    traffic = decode_traffic(compiled.program, compiled.kernels.kernels, tier, context)
    assert traffic.needed == needed(model.config, model.bits, context, kv_bytes)


@pytest.mark.parametrize("tier", ["f16", "f32"])
@pytest.mark.parametrize("context", [1, 128, 4096])
def test_a_step_reads_little_more_than_it_needs(model: Model, tier: str, context: int) -> None:
    compiled = model.compiled
    traffic = decode_traffic(compiled.program, compiled.kernels.kernels, tier, context)
    assert traffic.needed <= traffic.read <= 1.03 * traffic.needed
    assert 0 < traffic.written < 0.1 * traffic.read


@pytest.mark.parametrize(
    ("context", "function"),
    [(16, "decode"), (SPLIT_CONTEXT - 1, "decode"), (SPLIT_CONTEXT, "decode_split")],
)
def test_launches_are_those_of_the_program(model: Model, context: int, function: str) -> None:
    compiled = model.compiled
    functions = compiled.program.tiers["f16"].functions
    labels = [launch.label for name in (function, "sample") for launch in functions[name].launches]
    traffic = decode_traffic(compiled.program, compiled.kernels.kernels, "f16", context)
    assert [launch.label for launch in traffic.launches] == labels


def test_keys_and_values_in_int8_take_a_byte_and_their_scales() -> None:
    """2 · D bytes and two f32 for each token and KV head: of memory, and of a step's reads."""
    config = SMOLLM2 | {"num_hidden_layers": 2, "vocab_size": 512}
    compiled = compile_model(config, "q4f16_1", kv="int8")
    floats = needed(config, 4, 128, kv_bytes=0)
    for tier, memory in compiled.memory.items():
        assert compiled.program.tiers[tier].kv_dtype == "int8"
        assert memory.page_bytes == 2 * 3 * 16 * (2 * 64 + 8)
        traffic = decode_traffic(compiled.program, compiled.kernels.kernels, tier, 128)
        assert traffic.parts["kv"] == 128 * 2 * 3 * (2 * 64 + 8)
        assert traffic.needed == floats + traffic.parts["kv"]


def test_a_weight_that_is_bound_twice_counts_twice() -> None:
    compiled = compile_model(TINY["llama-gqa"], "q4f16_1")
    tier = compiled.program.tiers["f16"]
    decode = tier.functions["decode"]
    doubled = decode.model_copy(update={"launches": (*decode.launches, decode.launches[1])})
    functions = tier.functions | {"decode": doubled}
    program = compiled.program.model_copy(
        update={"tiers": {"f16": tier.model_copy(update={"functions": functions})}}
    )
    once, twice = (
        decode_traffic(p, compiled.kernels.kernels, "f16", 8) for p in (compiled.program, program)
    )
    assert twice.needed == once.needed
    assert twice.read - once.read == once.launches[1].read
