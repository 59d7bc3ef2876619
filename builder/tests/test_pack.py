"""Packing: what a pack holds, that it is reproducible, and that failures leave nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from checkpoints import CONFIG, random_tensors, write_model, write_safetensors
from webbuild import __version__
from webbuild.cli import run
from webbuild.errors import InvalidOptionError, NotAPackError, PackDamagedError
from webbuild.inspect import inspect_pack
from webbuild.models import PAGE_SIZE, parameters, read_config
from webbuild.pack import PackOptions, Reporter, pack_model
from webbuild.pack.pack import _copy_texts
from webbuild.quantize import get_quantization
from webbuild.schema.pack import PackGrammar, PackManifest
from webbuild.sources import open_source
from webbuild.weights.cache import WeightsReader

QUIET = Reporter(Console(quiet=True), quiet=True)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def packed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PackManifest]:
    out = tmp_path_factory.mktemp("packs") / "tiny"
    grammar = out.with_name("answer.regex")
    grammar.write_text("yes|no", "utf-8")
    options = PackOptions(context_length=100, grammars=(f"answer={grammar}",))
    source = open_source(str(model))
    return out, pack_model(source, get_quantization("q4f16_1"), out, QUIET, options)


def test_manifest(packed: tuple[Path, PackManifest], model: Path) -> None:
    out, manifest = packed
    assert PackManifest.model_validate_json((out / "pack.json").read_bytes()) == manifest
    assert {file.path for file in manifest.files} | {"pack.json"} == set(contents(out))
    for file in manifest.files:
        data = (out / file.path).read_bytes()
        assert (file.nbytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert manifest.model.config == CONFIG
    assert manifest.model.parameters == sum(t.size for t in random_tensors().values())
    assert (manifest.tokens.bos, manifest.tokens.eos, manifest.tokens.pad) == (1, (2,), None)
    assert manifest.limits.default_context_length == 100
    assert manifest.grammars == {"answer": PackGrammar(kind="regex", text="yes|no")}
    provenance = manifest.provenance
    assert (provenance.source, provenance.revision) == ("tiny", None)
    assert provenance.webbuild_version == __version__
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (out / name).read_bytes() == (model / name).read_bytes()
    assert "<|im_start|>" in (out / "chat_template.jinja").read_text()


def test_weights_are_the_models(packed: tuple[Path, PackManifest]) -> None:
    quantization = get_quantization("q4f16_1")
    reader = WeightsReader(packed[0])
    tensors = random_tensors()
    wanted = parameters(read_config(CONFIG))
    stored = [array.name for parameter in wanted for array in quantization.stored(parameter)]
    assert sorted(reader.names) == sorted(stored)
    for parameter in wanted:
        if parameter.kind != "constant":
            source = np.concatenate([tensors[name] for name in parameter.sources])
            encoded = quantization.encode(parameter.kind, source, "")
            np.testing.assert_array_equal(
                reader.dequantize(parameter, quantization),
                quantization.decode(parameter.kind, encoded).reshape(parameter.shape),
            )


def test_inspect(
    packed: tuple[Path, PackManifest], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, manifest = packed
    report = inspect_pack(out, verify=True)
    assert report.nbytes == sum(path.stat().st_size for path in out.iterdir())
    for function in report.functions:
        assert function.launches == function.library + function.tvm
        assert function.launches == sum(use.launches for use in function.kernels)
        if function.function in ("prefill", "decode"):
            assert 0 < 2 * function.per_layer < function.launches
    assert {(f.tier, f.function) for f in report.functions} >= {
        (tier, function) for tier in ("f16", "f32") for function in ("prefill", "decode", "sample")
    }
    weights, kv = report.memory[0].weights, report.memory[0].kv_cache
    stored = sum(file.nbytes for file in manifest.files if file.role == "weights")
    assert stored * 0.99 < weights < stored * 1.1
    assert kv == -(-200 // PAGE_SIZE) * manifest.memory["f16"].page_bytes

    assert run(["inspect", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "LlamaForCausalLM" in printed and "f16 decode" in printed
    assert f"{report.traffic[0].bytes_read:,}" in printed
    assert run(["inspect", str(out), "--json", "--verify"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["nbytes"], data["verified"]) == (report.nbytes, True)
    assert [(row["context"], row["rows"]) for row in data["traffic"]] == [
        *[(100, 1)] * 2,
        *[(100, 8)] * 2,
    ]

    with pytest.raises(NotAPackError, match=r"holds no pack\.json"):
        inspect_pack(tmp_path)


def test_inspect_counts_bytes_by_what_they_are(packed: tuple[Path, PackManifest]) -> None:
    out, manifest = packed
    short, long = inspect_pack(out, contexts=(8, 9)).traffic[:2]
    for row in (short, long):
        parts = (row.weights, row.norms, row.kv, row.activations)
        assert row.bytes_read == sum(parts)
        assert min(parts) > 0
    model = manifest.model
    assert long.kv - short.kv == 2 * 2 * model.layers * model.kv_heads * model.head_dim
    assert short.norms == 4 * model.hidden_size * (2 * model.layers + 1)
    with pytest.raises(InvalidOptionError, match="--context 0"):
        inspect_pack(out, contexts=(0,))


def test_inspect_finds_damage(packed: tuple[Path, PackManifest], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in packed[0].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    shard = copy / "params_shard_0.bin"
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
    inspect_pack(copy)
    with pytest.raises(PackDamagedError, match="SHA-256"):
        inspect_pack(copy, verify=True)
    shard.write_bytes(data[:-4])
    with pytest.raises(PackDamagedError, match="should have"):
        inspect_pack(copy)
    shard.unlink()
    with pytest.raises(PackDamagedError, match="is missing"):
        inspect_pack(copy)


def test_same_input_same_bytes(
    packed: tuple[Path, PackManifest], model: Path, tmp_path: Path
) -> None:
    """In another process, with another hash seed, in another place."""
    out = tmp_path / "again"
    command = [
        sys.executable,
        "-m",
        "webbuild",
        "pack",
        str(model),
        "-o",
        str(out),
        "--context",
        "100",
        "--grammar",
        f"answer={packed[0].with_name('answer.regex')}",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert f"Next: webbuild inspect {out}" in done.stdout
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (packed[0], out)
    )
    assert first == second


def test_a_template_for_tools_is_packed(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    _tool_template("{{ tools }}")(model)
    # The same head twice, as some tools save a tied one; and code that is not run.
    tied = {**CONFIG, "tie_word_embeddings": True, "auto_map": {"AutoModel": "x.X"}}
    (model / "config.json").write_text(json.dumps(tied))
    (model / "special_tokens_map.json").write_text('{"bos_token": "!"}')
    generation = {"num_beams": 1, "no_repeat_ngram_size": 3, "typical_p": 0.5, "do_sample": False}
    (model / "generation_config.json").write_text(json.dumps(generation))
    tensors = random_tensors()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    write_safetensors(model / "model.safetensors", tensors)
    said: list[str] = []

    class Listening(Reporter):
        def warn(self, message: str) -> None:
            said.append(message)

    reporter = Listening(Console(quiet=True), quiet=True)
    out = tmp_path / "out"
    source = open_source(str(model))
    pack_model(source, get_quantization("q4f16_1"), out, reporter, PackOptions(context_length=100))
    config = json.loads((out / "tokenizer_config.json").read_text())
    default = (out / "chat_template.jinja").read_text()
    assert config["chat_template"] == [
        {"name": "default", "template": default},
        {"name": "tool_use", "template": "{{ tools }}"},
    ]
    assert config | {"chat_template": None} == source.tokenizer_config | {"chat_template": None}
    assert config["bos_token"] == "!"
    added = json.loads((out / "tokenizer.json").read_text())["added_tokens"]
    assert added[-1]["content"] == "!" and len(added) == 4
    assert [line[:40] for line in said] == [
        "generation_config.json sets no_repeat_ng",
        "the model brings code of its own (auto_m",
    ]


def test_templates_that_a_file_replaces_are_not_packed(tmp_path: Path) -> None:
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    config = model / "tokenizer_config.json"
    named = [{"name": name, "template": name} for name in ("default", "tool_use")]
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": named}))
    out.mkdir()
    source = open_source(str(model))
    job: Any = SimpleNamespace(source=source, template=source.chat_template)
    roles = [file.role for file in _copy_texts(job, out)]
    assert len(roles) == len(contents(out)) == 4
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    assert "chat_template" not in json.loads((out / config.name).read_text())


# --- failures -----------------------------------------------------------------------------------

Damage = Callable[[Path], object]


def _config(**changes: object) -> Damage:
    return lambda folder: (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def _tensors(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        tensors = random_tensors()
        for name, change in changes.items():
            full = f"model.layers.1.{name}.weight"
            if change is None:
                del tensors[full]
            else:
                tensors[full] = np.asarray(change, np.float32)
        write_safetensors(folder / "model.safetensors", tensors)

    return damage


def _tokenizer(**changes: object) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def _tool_template(text: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(text)

    return damage


FAILURES: dict[str, tuple[Damage, str, str]] = {
    "unsupported architecture": (
        _config(architectures=["GPT2LMHeadModel"]),
        "UnsupportedArchitectureError",
        "LlamaForCausalLM",
    ),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "MissingFileError",
        "tokenizer.json",
    ),
    "an adapter": (
        lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"),
        "InvalidConfigError",
        "merge_and_unload()",
    ),
    "an adapter beside its model": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "InvalidConfigError",
        "remove adapter_config.json",
    ),
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "MissingFileError",
        "model.safetensors",
    ),
    "a template that does not parse": (
        lambda folder: (folder / "chat_template.jinja").write_text("{% if %}"),
        "ChatTemplateError",
        "line 1",
    ),
    "rows that do not divide": (
        _config(intermediate_size=100),
        "NotDivisibleError",
        "down_proj",
    ),
    "a shape that does not fit": (
        _config(intermediate_size=128),
        "TensorShapeError",
        "gate_proj",
    ),
    "matrices of one size whose rows are another's": (
        _tensors(**{"mlp.gate_proj": np.ones((64, 64)), "mlp.up_proj": np.ones((128, 64))}),
        "TensorShapeError",
        "gate_proj",
    ),
    "a head beside a tied embedding": (
        _config(tie_word_embeddings=True),
        "TiedHeadError",
        '"tie_word_embeddings": false',
    ),
    "a tokenizer that the runtime can't read": (
        _tokenizer(decoder={"type": "Sequence", "decoders": [{"type": "BPEDecoder"}]}),
        "UnsupportedTokenizerError",
        "the decoder 'BPEDecoder'",
    ),
    "a tokenizer without a part": (
        lambda folder: (folder / "tokenizer.json").write_text(
            '{"model": {"type": "BPE", "vocab": {}, "merges": []}}'
        ),
        "UnsupportedTokenizerError",
        "lacks 'normalizer'",
    ),
    "a template that is no text": (
        lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xff\xfe"),
        "ChatTemplateError",
        "UTF-8",
    ),
    "a template for tools that does not parse": (
        _tool_template("{% if %}"),
        "ChatTemplateError",
        "line 1",
    ),
    "a missing tensor": (
        _tensors(**{"mlp.up_proj": None}),
        "MissingTensorError",
        "model.layers.1.mlp.up_proj.weight",
    ),
    "NaN": (
        _tensors(**{"mlp.up_proj": np.full((96, 64), np.nan)}),
        "NonFiniteWeightError",
        "model.layers.1.mlp.up_proj.weight",
    ),
    "a truncated file": (
        lambda folder: os.truncate(folder / "model.safetensors", 50_000),
        "SafetensorsError",
        "truncated",
    ),
    "another model's tokenizer": (
        _config(vocab_size=299),
        "InvalidConfigError",
        "token id 299",
    ),
    "an odd token id": (_config(eos_token_id="</s>"), "InvalidConfigError", "eos_token_id"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    damage, name, message = FAILURES[what]
    damage(write_model(tmp_path / "model"))
    assert run(["pack", "-q", str(tmp_path / "model"), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith(f"error[{name}]: ")
    assert message in error[0]
    assert contents(tmp_path) == ["model"]


def test_bad_options(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for arguments, name in (
        (["--quant", "q3f16"], "UnknownQuantizationError"),
        (["--context", "1000"], "InvalidOptionError"),
        (["--revision", "main"], "ModelNotFoundError"),
        (["--grammar", "x=nowhere.json"], "InvalidOptionError"),
        (["--bogus"], "Usage"),
    ):
        assert run(["pack", str(model), "-o", str(out), *arguments]) == 2
        assert f"error[{name}]: " in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert run(["pack", str(model), "-o", str(tmp_path / "mine"), "--force"]) == 2
    assert "error[OutputExistsError]" in capsys.readouterr().err
    assert contents(tmp_path) == ["mine"]


class Interrupting(Reporter):
    """Presses Ctrl-C when half of the weights are written."""

    @contextmanager
    def bytes(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            if done > total / 2:
                raise KeyboardInterrupt

        yield advance


def test_interrupted(model: Path, tmp_path: Path) -> None:
    source, quantization = open_source(str(model)), get_quantization("q4f16_1")
    with pytest.raises(KeyboardInterrupt):
        pack_model(source, quantization, tmp_path / "out", Interrupting(quiet=True))
    assert contents(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_terminated(tmp_path: Path) -> None:
    """SIGTERM ends a run as Ctrl-C does. (What SIGKILL leaves is test_output's matter.)"""
    # 25 MB, so that the weights take a while.
    model = write_model(tmp_path / "model", {**CONFIG, "vocab_size": 100_000})
    command = [sys.executable, "-m", "webbuild", "pack", "-q", str(model), "-o"]
    command.append(str(tmp_path / "out"))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".out.partial-*/*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.terminate()
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.strip() == "error[Interrupted]: nothing was kept"
    assert contents(tmp_path) == ["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_disk_full(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # No file may grow beyond this: to a writer that is a disk without space.
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, previous[1]))
    try:
        code = run(["pack", "-q", str(model), "-o", str(tmp_path / "out")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
    assert code == 2
    assert "error[DiskFullError]: no space left while writing" in capsys.readouterr().err
    assert contents(tmp_path) == []
