"""Encoders: vectors of every family and quantisation against transformers; what sources say."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webbuild.errors import (
    ContextFullError,
    InvalidConfigError,
    InvalidOptionError,
    InvalidProgramError,
    InvalidRequestError,
    MissingFileError,
    UnsupportedConfigError,
    WrongModelKindError,
)
from webbuild.models import EncoderConfig, parameters, read_config
from webbuild.native import NativeEncoder, NativeModel
from webbuild.pack import PackOptions, Reporter
from webbuild.pack.embedding import embedding_info
from webbuild.reference import (
    ENCODER_BOUNDS,
    TINY_ENCODERS,
    Case,
    EncoderReference,
    measure_encoder,
    pooled,
    prepare,
)
from webbuild.schema.check import check
from webbuild.schema.folder import PackFolder
from webbuild.sources import open_source
from webbuild.verify import verify_pack

CASES = (
    Case("bert", "q0f32"),
    Case("bert", "q4f16_1"),
    Case("bert-odd", "q0f16", library=False),
    Case("xlm-roberta", "q8f16_1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectors_equal_those_of_transformers(case: Case, folder: Path) -> None:
    """Unquantised against the checkpoint, quantised against the same numbers dequantised."""
    source, pack = prepare(case, folder)
    reference = EncoderReference(source, None if case.quantization == "q0f32" else pack)
    for tier, bound in ENCODER_BOUNDS.items():
        model = NativeEncoder.open(pack, tier)
        assert 0 < measure_encoder(model, reference) <= bound, tier


@pytest.mark.gpu
def test_quantisation_moves_vectors_little(folder: Path) -> None:
    reference = EncoderReference(prepare(CASES[0], folder)[0])
    tokens = [5, 17, 300, 4]
    for case, least in ((CASES[1], 0.95), (CASES[0], 1 - 1e-6)):
        (vector,) = NativeEncoder.open(prepare(case, folder)[1]).embed([tokens])
        expected = pooled(reference(tokens), "mean")
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert least <= vector @ expected / np.linalg.norm(expected) <= 1 + 1e-6


@pytest.mark.gpu
def test_a_text_is_the_same_alone_and_beside_others(folder: Path) -> None:
    model = NativeEncoder.open(prepare(CASES[0], folder)[1], "f32")
    rng = np.random.default_rng(6)
    texts = [[int(t) for t in rng.integers(0, 331, n)] for n in rng.integers(1, 60, 70)]
    together = model.embed(texts)
    assert together.shape == (70, 64)
    for text, vector in list(zip(texts, together, strict=True))[::9]:
        assert np.abs(model.embed([text])[0] - vector).max() <= 1e-6


@pytest.mark.gpu
def test_what_cannot_be_embedded_is_refused(folder: Path) -> None:
    pack = prepare(CASES[0], folder)[1]
    model = NativeEncoder.open(pack, "f32")
    assert model.embed([]).shape == (0, 64)
    with pytest.raises(InvalidRequestError, match="no tokens"):
        model.embed([[1], []])
    with pytest.raises(ContextFullError, match="129 tokens"):
        model.embed([[1] * 129])
    with pytest.raises(InvalidRequestError, match="0 to 330"):
        model.embed([[331]])
    with pytest.raises(WrongModelKindError, match="NativeEncoder"):
        NativeModel.open(pack)


@pytest.mark.gpu
def test_verify_measures_both_tiers(folder: Path) -> None:
    said: list[str] = []
    source, pack = prepare(CASES[1], folder)
    quiet = Reporter(quiet=True)
    verify_pack(pack, None, said.append, quiet)
    verify_pack(pack, source, said.append, quiet)
    assert [line[:5] for line in said] == ["f16: ", "f32: "] * 2
    assert "max relative error of the vectors" in said[0]


@pytest.mark.gpu
def test_a_pack_says_what_it_is(folder: Path) -> None:
    pack = PackFolder.open(prepare(Case("xlm-roberta", "q8f16_1"), folder)[1])
    about = pack.manifest.embedding
    assert about is not None
    assert (about.pooling, about.normalize, about.first_position) == ("mean", True, 2)
    assert pack.manifest.limits.context_length == 128
    assert pack.program.tiers["f16"].functions.keys() == {"embed"}
    assert all(memory.page_bytes == 0 for memory in pack.manifest.memory.values())
    with pytest.raises(InvalidProgramError, match="has no i32 buffer 'last_tokens'"):
        text = pack.manifest.model_copy(update={"embedding": None})
        check(text, pack.program.model_copy(update={"inputs": ()}), pack.kernels, pack.tensors)


def test_a_layer_is_eight_launches(folder: Path) -> None:
    program = PackFolder.open(prepare(CASES[0], folder)[1]).program
    labels = [launch.label for launch in program.tiers["f32"].functions["embed"].launches]
    expected = ("qkv_proj", "text_attention", "o_proj", "attn_norm", "up_proj", "gelu")
    layer = [*expected, "down_proj", "mlp_norm"]
    assert [x.split(".")[2] for x in labels if x.startswith("layers.0.")] == layer


def test_parameters_are_those_of_the_checkpoint(folder: Path) -> None:
    config = read_config(TINY_ENCODERS["bert"])
    named = {parameter.name: parameter for parameter in parameters(config)}
    qkv = named["model.layers.1.self_attn.qkv_proj.weight"]
    assert qkv.shape == (192, 64)
    assert qkv.sources[2] == "encoder.layer.1.attention.self.value.weight"
    assert named["model.embed_positions.weight"].kind == "embedding"
    assert named["model.embed_norm.bias"].kind == "vector"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder True"),
    ],
)
def test_what_is_not_implemented_is_named(change: dict[str, Any], match: str) -> None:
    with pytest.raises(UnsupportedConfigError, match=match):
        read_config(TINY_ENCODERS["bert"] | change)


def test_int8_keys_and_values_are_refused(folder: Path, tmp_path: Path) -> None:
    case = replace(CASES[0], kv="int8")
    with pytest.raises(InvalidOptionError, match="encoder"):
        prepare(case, folder)
    assert PackOptions().kv == "float"


@pytest.mark.parametrize(
    ("modules", "pooling", "expected"),
    [
        (None, {}, ("mean", True)),
        (["Transformer", "Pooling"], {"pooling_mode_cls_token": True}, ("cls", False)),
        (["Transformer", "Pooling"], {"pooling_mode": "cls"}, ("cls", False)),
        (["Transformer", "Pooling"], {"pooling_mode": ["lasttoken"]}, ("last", False)),
        (
            ["Transformer", "Pooling", "Normalize"],
            {"pooling_mode_lasttoken": True, "pooling_mode_cls_token": False},
            ("last", True),
        ),
    ],
)
def test_pooling_is_the_sources(
    modules: list[str] | None, pooling: dict[str, Any], expected: tuple[str, bool], tmp_path: Path
) -> None:
    about = embedding_info(*_source(tmp_path, modules, pooling))
    assert (about.pooling, about.normalize) == expected


@pytest.mark.parametrize(
    ("modules", "pooling", "match"),
    [
        (["Transformer", "Dense"], {}, "Dense"),
        (["Transformer", "Pooling"], {}, "nothing"),
        (["Transformer", "Pooling"], {"pooling_mode": "weightedmean"}, "weightedmean"),
        (["Transformer", "Pooling"], {"pooling_mode": ["mean", "cls"]}, "mean, cls"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "max_tokens"),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "mean, cls",
        ),
    ],
)
def test_other_poolings_are_named(
    modules: list[str], pooling: dict[str, Any], match: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedConfigError, match=match):
        embedding_info(*_source(tmp_path, modules, pooling))


def test_the_pooling_is_where_modules_json_says(tmp_path: Path) -> None:
    source, config = _source(tmp_path, ["Transformer", "Pooling"], {"pooling_mode": "cls"})
    (tmp_path / "1_Pooling").rename(tmp_path / "2_Pooling")
    with pytest.raises(MissingFileError, match=r"1_Pooling/config\.json"):
        embedding_info(source, config)
    for folder, error in (("2_Pooling", None), ("../2_Pooling", InvalidConfigError)):
        modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": folder}]
        (tmp_path / "modules.json").write_text(json.dumps(modules), "utf-8")
        with pytest.raises(error) if error else nullcontext():
            assert embedding_info(open_source(str(tmp_path)), config).pooling == "cls"


def test_the_longest_text_and_the_prompt_are_sentence_transformers(tmp_path: Path) -> None:
    def write(name: str, **values: object) -> None:
        (tmp_path / name).write_text(json.dumps(values), "utf-8")

    assert open_source(str(tmp_path)).longest_text is None
    write("tokenizer_config.json", model_max_length=300)
    assert open_source(str(tmp_path)).longest_text == 300
    write("sentence_roberta_config.json", max_seq_length=128, do_lower_case=True)
    write(
        "config_sentence_transformers.json",
        prompts={"query": "query: ", "text": ""},
        default_prompt_name="query",
    )
    source = open_source(str(tmp_path))
    assert (source.longest_text, source.default_prompt) == (128, "query: ")
    assert source.lowers_case


def _source(folder: Path, modules: list[str] | None, pooling: dict[str, Any]) -> tuple[Any, Any]:
    """A folder with sentence-transformers' files, and the config of a model."""
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 64, "include_prompt": True, **pooling}), "utf-8"
    )
    if modules is not None:
        listed = [
            {"type": f"sentence_transformers.models.{name}", "path": f"{number}_{name}"}
            for number, name in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(listed), "utf-8")
    config = read_config(TINY_ENCODERS["bert"])
    assert isinstance(config, EncoderConfig)
    return open_source(str(folder)), config
