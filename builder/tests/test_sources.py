"""Finding and reading models: local folders, a local Hub, and everything that can be missing."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import BertTokenizer, PreTrainedTokenizerFast

from checkpoints import CONFIG, random_tensors, write_model, write_safetensors
from hub_server import COMMIT, FakeHub, running
from webbuild.errors import (
    ChatTemplateError,
    DiskFullError,
    GatedModelError,
    HubUnreachableError,
    InvalidConfigError,
    MissingFileError,
    MissingTensorError,
    ModelNotFoundError,
    RevisionNotFoundError,
    SafetensorsError,
    UnsupportedTokenizerError,
)
from webbuild.models import read_config
from webbuild.sources import aliases, open_source


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny")


def test_local_folder(model: Path) -> None:
    source = open_source(str(model))
    assert (source.name, source.identifier, source.revision) == ("tiny", "tiny", None)
    assert source.config == CONFIG
    assert source.chat_template is not None and "<|im_start|>" in source.chat_template
    expected = random_tensors()
    assert source.tensors.keys() == expected.keys()
    name = "model.layers.1.self_attn.k_proj.weight"
    rows = source.tensors[name].rows(3, 9)
    np.testing.assert_array_equal(rows.view(np.uint16), expected[name][3:9].view(np.uint16))


def test_sharded_weights(model: Path) -> None:
    tensors = random_tensors()
    (model / "model.safetensors").unlink()
    weight_map = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for part in sorted(set(weight_map.values())):
        held = {name: tensors[name] for name, file in weight_map.items() if file == part}
        write_safetensors(model / part, held)
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    # What transformers does not read, webbuild does not read either.
    write_safetensors(model / "consolidated.safetensors", {"tok_embeddings": np.ones(3, "f4")})
    assert open_source(str(model)).tensors.keys() == tensors.keys()

    index.write_text(json.dumps({"weight_map": {**weight_map, "extra": "part-0.safetensors"}}))
    with pytest.raises(MissingTensorError, match=r"part-0\.safetensors holds 'extra'"):
        _ = open_source(str(model)).tensors
    (model / "part-1.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"lacks part-1\.safetensors"):
        _ = open_source(str(model)).tensors
    index.write_text(json.dumps({"weight_map": {"a": "../part-0.safetensors"}}))
    with pytest.raises(InvalidConfigError, match="is no file name"):
        _ = open_source(str(model)).tensors


def test_a_tensor_in_two_files(model: Path) -> None:
    (model / "model.safetensors").unlink()
    for part in ("a", "b"):
        write_safetensors(
            model / f"{part}.safetensors", {part: np.ones(2, "f4"), "x": np.ones(2, "f4")}
        )
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(SafetensorsError, match="'x' is in two files"):
        _ = open_source(str(model)).tensors


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_files(model: Path, name: str) -> None:
    (model / name).unlink()
    source = open_source(str(model))
    part = {"config.json": "config", "tokenizer.json": "tokenizer"}.get(name, "tensors")
    with pytest.raises(MissingFileError, match=name):
        getattr(source, part)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_broken_config(model: Path, content: bytes) -> None:
    (model / "config.json").write_bytes(content)
    with pytest.raises(InvalidConfigError, match=r"config\.json"):
        _ = open_source(str(model)).config


def test_chat_templates(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    path = model / "tokenizer_config.json"

    def template(value: object) -> str | None:
        path.write_text(json.dumps({"chat_template": value}))
        return open_source(str(model)).chat_template

    assert template(None) is None
    assert template("{{ messages }}") == "{{ messages }}"
    assert template("{% generation %}x{% endgeneration %}{% break %}") is not None
    named = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    assert template(named) == "b"
    assert open_source(str(model)).tool_template == "a"
    for bad in (named[:1], [1], 7):
        with pytest.raises(ChatTemplateError, match="default"):
            template(bad)
    with pytest.raises(ChatTemplateError, match=r"does not parse \(line 2\)"):
        template("x\n{% for %}")


@pytest.mark.parametrize(
    ("files", "embedded", "expected"),
    [
        (["chat_template"], ["default", "tool_use"], ("chat_template.jinja", None)),
        (["additional_chat_templates/tool_use"], "x", ("x", "tool_use.jinja")),
        (["chat_template", "additional_chat_templates/default"], None, ("default.jinja", None)),
        ([], {"default": "a", "tool_use": "b"}, ("a", "b")),
    ],
)
def test_templates_in_files_win(
    model: Path, files: list[str], embedded: object, expected: tuple[str | None, str | None]
) -> None:
    """As transformers' get_chat_template; the second for requests with tools, if it is another."""
    (model / "chat_template.jinja").unlink()
    (model / "additional_chat_templates").mkdir()
    for name in files:
        path = model / f"{name}.jinja"
        path.write_text(path.name)
    if isinstance(embedded, list):
        embedded = [{"name": name, "template": name} for name in embedded]
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": embedded}))
    source = open_source(str(model))
    assert (source.chat_template, source.tool_template) == expected


NEW = {"content": "<new>", "lstrip": True, "special": True}
END = {"content": "<|im_end|>", "lstrip": True}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"added_tokens_decoder": {"2": {**END, "rstrip": False, "normalized": False}}}, {}),
        ({"bos_token": None, "pad_token": "!"}, {}),
        ({"extra_special_tokens": ["#", "$"]}, {}),
        ({}, {"special_tokens_map.json": {"bos_token": END, "eos_token": "<|bos|>"}}),
        ({}, {"added_tokens.json": {"b": 100, "<|im_end|>": 2}}),
        ({"added_tokens_decoder": {}}, {"special_tokens_map.json": {"eos_token": "<|bos|>"}}),
    ],
)
def test_special_tokens_are_those_of_transformers(
    model: Path, changes: dict[str, object], more: dict[str, object]
) -> None:
    config = json.loads((model / "tokenizer_config.json").read_text())
    for name, value in {"tokenizer_config.json": {**config, **changes}, **more}.items():
        (model / name).write_text(json.dumps(value))
    theirs = PreTrainedTokenizerFast.from_pretrained(model)
    source = open_source(str(model))
    named = {key: source.tokenizer_config.get(key) for key in ("bos_token", "eos_token")}
    text = {key: v["content"] if isinstance(v, dict) else v for key, v in named.items()}
    assert text == {key: theirs.special_tokens_map.get(key) for key in named}
    ours = Tokenizer.from_str(json.dumps(source.tokenizer))
    said = "a  <|im_end|> b!#$ <|bos|>"
    assert ours.encode(said).ids == theirs.encode(said)
    assert ours.decode(ours.encode(said).ids) == theirs.decode(theirs.encode(said), True)


@pytest.mark.parametrize("place", ["added_tokens.json", "tokenizer_config.json"])
def test_added_tokens_without_an_id_are_named(model: Path, place: str) -> None:
    value = {"<new>": 300} if place[0] == "a" else {"added_tokens_decoder": {"300": NEW}}
    (model / place).write_text(json.dumps(value))
    with pytest.raises(UnsupportedTokenizerError, match="adds '<new>'"):
        _ = open_source(str(model)).tokenizer
    (model / "special_tokens_map.json").write_text('{"pad_token": "<new>"}')
    (model / "tokenizer_config.json").write_text('{"pad_token": "<new>"}')
    assert len(open_source(str(model)).tokenizer["added_tokens"]) == 3


@pytest.mark.parametrize("changes", [{}, {"do_lower_case": False, "strip_accents": True}])
def test_a_bert_tokenizer_normalises_as_its_config_says(
    model: Path, changes: dict[str, object]
) -> None:
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Hé", "He", "he")
    theirs = BertTokenizer({word: i for i, word in enumerate(words)}, **changes)
    config = {"tokenizer_class": "BertTokenizer", **changes}
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = json.loads(theirs.backend_tokenizer.to_str())
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    ours = Tokenizer.from_str(json.dumps(open_source(str(model)).tokenizer))
    assert ours.encode("Hé").ids == theirs.encode("Hé")


def test_names_that_are_nothing(tmp_path: Path) -> None:
    for name in (
        str(tmp_path / "nothing"),
        "no-such-alias",
        "a/b/c",
        "",
        "~nobody/x/y",
        "a" * 5000,
    ):
        with pytest.raises(ModelNotFoundError, match=r"aliases: .*llama-3\.2-1b"):
            open_source(name)
    with pytest.raises(ModelNotFoundError, match="local folder"):
        open_source(str(tmp_path), "main")


def test_aliases_have_configs_of_supported_models() -> None:
    parameters = {"llama-3-8b": 8.03e9, "llama-3.2-1b": 1.236e9, "qwen3-0.6b": 0.596e9,
                  "smollm2-135m": 0.1345e9, "qwen2.5-0.5b": 0.494e9, "mistral-7b": 7.248e9,
                  "tinyllama-1.1b": 1.1e9, "qwen3-8b": 8.19e9}  # fmt: skip
    from webbuild.synth.tensors import checkpoint_tensors

    for name, alias in aliases().items():
        specs = list(checkpoint_tensors(read_config(alias.config)))
        if name in parameters:
            count = sum(spec.nbytes // 2 for spec in specs)
            assert count == pytest.approx(parameters[name], rel=2e-3), name
    assert len(aliases()) >= len(parameters)


# --- the Hub ------------------------------------------------------------------------------------


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    files |= {"README.md": b"#", "pytorch_model.bin": b"x" * 10}
    secret = {"config.json": files["config.json"]}
    with running(
        FakeHub({"org/tiny": files, "org/gated": secret}, frozenset({"org/gated"}))
    ) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def test_hub_model(hub: FakeHub, tmp_path: Path) -> None:
    source = open_source("org/tiny", cache_dir=tmp_path / "cache")
    assert (source.identifier, source.revision, source.name) == ("org/tiny", COMMIT, "tiny")
    assert source.config == CONFIG
    assert not any("safetensors" in request for request in hub.requests), "weights come later"
    assert source.tensors.keys() == random_tensors().keys()
    fetched = {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}
    assert "model.safetensors" in fetched
    assert not fetched & {"README.md", "pytorch_model.bin"}


def test_hub_revisions(hub: FakeHub, tmp_path: Path) -> None:
    other = "f" * 40
    hub.branches["v1.0"] = other
    assert open_source("org/tiny@v1.0", cache_dir=tmp_path).revision == other
    assert open_source("org/tiny", "v1.0", tmp_path).revision == other
    assert open_source("org/tiny", COMMIT, tmp_path).revision == COMMIT
    with pytest.raises(RevisionNotFoundError, match="org/tiny has no revision 'v2'"):
        open_source("org/tiny@v2", cache_dir=tmp_path)


def test_hub_weights_are_of_the_commit_that_was_opened(hub: FakeHub, tmp_path: Path) -> None:
    source = open_source("org/tiny", cache_dir=tmp_path)
    hub.branches["main"] = "e" * 40
    hub.branches["old"] = COMMIT
    _ = source.tensors
    weights = [request for request in hub.requests if request.endswith("/model.safetensors")]
    assert weights and all(COMMIT in r or r.startswith("GET /lfs/") for r in weights)


def test_hub_gated(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GatedModelError, match=r"accept its licence at .*org/gated"):
        open_source("org/gated", cache_dir=tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(GatedModelError, match="HF_TOKEN"):
        open_source("org/gated", cache_dir=tmp_path)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert open_source("org/gated", cache_dir=tmp_path).config == CONFIG


def test_hub_unknown_repository(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no repository 'org/missing'"):
        open_source("org/missing", cache_dir=tmp_path)


def test_hub_out_of_reach(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_source("org/tiny", cache_dir=tmp_path).tensors
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    # What is in the cache still works.
    cached = open_source("org/tiny", cache_dir=tmp_path)
    assert cached.revision == COMMIT
    assert cached.tensors.keys() == random_tensors().keys()
    with pytest.raises(HubUnreachableError, match="cannot fetch org/other from the Hub"):
        open_source("org/other", cache_dir=tmp_path)


def test_hub_cache_without_space(hub: FakeHub, tmp_path: Path) -> None:
    source = open_source("org/tiny", cache_dir=tmp_path)
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, previous[1]))
    try:
        with pytest.raises(DiskFullError, match="HF_HOME"):
            _ = source.tensors
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
