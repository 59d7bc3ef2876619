"""Synthetic models: they are what their config says, and transformers reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from checkpoints import CONFIG
from webbuild.errors import InvalidConfigError, ModelNotFoundError, UnsupportedArchitectureError
from webbuild.models import parameters, read_config
from webbuild.pack.progress import Reporter
from webbuild.quantize import get_quantization
from webbuild.sources import aliases, open_source
from webbuild.synth import synthesize
from webbuild.synth.tensors import checkpoint_tensors
from webbuild.weights.check import check_parameters

QUIET = Reporter(Console(quiet=True), quiet=True)

TINY = {
    "llama": CONFIG,
    "qwen2": {
        **CONFIG,
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "tie_word_embeddings": True,
    },
    "qwen3": {
        **CONFIG,
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "head_dim": 32,
    },
}


def synth(tmp_path: Path, config: dict[str, object], **options: int) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    out = tmp_path / "out"
    synthesize(str(path), out, QUIET, force=True, **options)
    return out


@pytest.mark.parametrize("family", TINY)
def test_transformers_reads_it(tmp_path: Path, family: str) -> None:
    out = synth(tmp_path, TINY[family], shard_bytes=60_000)
    assert len(list(out.glob("*.safetensors"))) > 1
    model, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    weights = dict(model.named_parameters())
    for name, parameter in weights.items():
        values = parameter.detach().float().numpy()
        if "norm" in name:
            assert abs(values.mean() - 1) < 0.1
        elif name.endswith("bias"):
            assert 0.05 < values.std() < 0.2
        else:
            expected = 1 / np.sqrt(values.shape[1])
            assert expected / 1.6 < values.std() < expected * 1.6
    q, k = (weights[f"model.layers.0.self_attn.{name}_proj.weight"].detach() for name in "qk")
    assert not np.array_equal(q.float().numpy()[: len(k)], k.float().numpy())


@pytest.mark.parametrize("family", TINY)
def test_the_builder_reads_it(tmp_path: Path, family: str) -> None:
    source = open_source(str(synth(tmp_path, TINY[family])))
    plan = check_parameters(
        parameters(read_config(source.config)), source.tensors, get_quantization("q4f16_1")
    )
    assert plan.unused == ()


@pytest.mark.parametrize("name", aliases())
def test_aliases_have_the_tensors_that_the_model_reads(name: str) -> None:
    config = {**aliases()[name].config, "num_hidden_layers": 1}
    decoder = read_config(config)
    made = {spec.name: spec.shape for spec in checkpoint_tensors(decoder)}
    wanted = [p for p in parameters(decoder) if p.kind != "constant"]
    assert {source for p in wanted for source in p.sources} == made.keys()
    for p in wanted:
        rows = sum(made[source][0] for source in p.sources)
        assert (rows, *made[p.sources[0]][1:]) == p.shape


def test_tokenizer_round_trip(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(synth(tmp_path, CONFIG))
    assert len(tokenizer) == CONFIG["vocab_size"]
    text = "Hello, wörld! 你好 🙂\n\ttabs"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False
    )
    assert prompt == "<|bos|><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.encode(prompt, add_special_tokens=False).count(2) == 1


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    def digest(seed: int) -> list[str]:
        out = synth(tmp_path, CONFIG, seed=seed)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())]

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_fewer_layers(tmp_path: Path) -> None:
    source = open_source(str(synth(tmp_path, CONFIG, layers=1)))
    assert source.config["num_hidden_layers"] == 1
    assert not any("layers.1." in name for name in source.tensors)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="aliases:"):
        synthesize("no-such", tmp_path / "out", QUIET)
    with pytest.raises(UnsupportedArchitectureError, match="LlamaForCausalLM"):
        synth(tmp_path, {**CONFIG, "architectures": ["OtherForCausalLM"]})
    with pytest.raises(InvalidConfigError, match="a vocabulary of 200"):
        synth(tmp_path, {**CONFIG, "vocab_size": 200})
    with pytest.raises(InvalidConfigError, match="special tokens"):
        synth(tmp_path, {**CONFIG, "eos_token_id": 300})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
