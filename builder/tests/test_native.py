"""The native executor on the toy pack: steps, pages, batches, sampling, errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toy_pack import BATCH, CHUNK, CONTEXT, EOS, PAGE, Toy, V, write_toy_pack
from webbuild.errors import (
    AdapterLimitError,
    ContextFullError,
    FormatVersionError,
    InvalidProgramError,
    InvalidRequestError,
    NoAdapterError,
    NotAPackError,
    PackDamagedError,
    WebbuildError,
)
from webbuild.native import NativeModel, Sampling
from webbuild.native.device import open_device
from webbuild.native.sequence import Row, Sequence, StepPlan
from webbuild.schema.kernels import kernel_id
from webbuild.schema.pack import PACK_VERSION

pytestmark = pytest.mark.gpu

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Toy]:
    folder = tmp_path_factory.mktemp("toy")
    return folder, write_toy_pack(folder)


@pytest.fixture(scope="module", params=["f32", "f16"])
def model(request: pytest.FixtureRequest, pack: tuple[Path, Toy]) -> NativeModel:
    if request.param == "f16" and "shader-f16" not in open_device().features:
        pytest.skip("the adapter has no shader-f16")
    return NativeModel.open(pack[0], request.param, verify_hashes=True)


def _close(model: NativeModel, actual: Any, expected: Any) -> None:
    bound = 1e-5 if model.tier == "f32" else 5e-3
    assert np.abs(np.asarray(actual) - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("length", [1, PAGE, CHUNK, CHUNK + 1, len(TOKENS)])
def test_prefill_in_chunks_equals_the_model(
    model: NativeModel, pack: tuple[Path, Toy], length: int
) -> None:
    sequence = model.sequence()
    model.prefill(sequence, TOKENS[:length])
    _close(model, model.logits(), pack[1].logits(TOKENS[:length])[-1:])
    assert (sequence.length, len(sequence.pages)) == (length, -(-length // PAGE))
    model.release(sequence)


def test_decode_follows_prefill(model: NativeModel, pack: tuple[Path, Toy]) -> None:
    expected = pack[1].logits(TOKENS)
    sequence = model.sequence()
    model.prefill(sequence, TOKENS[:5])
    for position in range(5, len(TOKENS)):
        model.decode([sequence], [TOKENS[position]])
        _close(model, model.logits()[0], expected[position])
    model.release(sequence)


def test_a_ragged_batch_equals_single_runs(model: NativeModel, pack: tuple[Path, Toy]) -> None:
    prompts = [TOKENS[:4], TOKENS[6:7], TOKENS[9:12]]
    sequences = [model.sequence() for _ in prompts]
    model.prefill(sequences[2], TOKENS[7:9])  # the last one has a past
    model.step(list(zip(sequences, prompts, strict=True)))
    texts = [*prompts[:2], TOKENS[7:12]]
    _close(model, model.logits(), np.stack([pack[1].logits(text)[-1] for text in texts]))
    order = [2, 0, 1]
    model.decode([sequences[i] for i in order], [1, 2, 3])
    texts = [[*texts[i], token] for i, token in zip(order, [1, 2, 3], strict=True)]
    _close(model, model.logits(), np.stack([pack[1].logits(text)[-1] for text in texts]))
    for sequence in sequences:
        model.release(sequence)


def test_drawn_tokens_stay_on_the_gpu_wherever_their_rows_go(
    model: NativeModel, pack: tuple[Path, Toy]
) -> None:
    """Decodes and chunks of a prompt share steps, rows move, and no token passes the host."""
    first, second = model.sequence(), model.sequence()
    a, b = TOKENS[:4], TOKENS[4:11]

    def greedy(tokens: list[int]) -> int:
        return int(pack[1].logits(tokens)[-1].argmax())

    model.prefill(first, a)
    a.append(model.sample()[0])
    assert a[-1] == greedy(a[:-1])
    # A chunk without logits beside a decode.
    model.run([Row(second, b[:3], []), Row(first, [-1 - first.slot], [0])])
    assert len(model.logits()) == 1
    a += model.sample()
    assert a[-1] == greedy(a[:-1])
    model.run([Row(first, [-1 - first.slot], [0]), Row(second, b[3:], [1, 3])])
    _close(model, model.logits()[1], pack[1].logits(b[:5])[-1])
    drawn = model.sample()
    assert drawn == [greedy(a), greedy(b[:5]), greedy(b)]
    a.append(drawn[0])
    b.append(drawn[2])
    for order in ([second, first], [first, second]):
        model.decode(order)
        texts = [a if sequence is first else b for sequence in order]
        drawn = model.sample()
        assert drawn == [greedy(text) for text in texts]
        for text, token in zip(texts, drawn, strict=True):
            text.append(token)
    model.release(first)
    model.release(second)


def test_generate_is_greedy_and_reuses_pages(model: NativeModel, pack: tuple[Path, Toy]) -> None:
    expected = list(TOKENS[:3])
    for _ in range(12):
        expected.append(int(pack[1].logits(expected)[-1].argmax()))
    for _ in range(2 * BATCH):  # more than there are slots: each run gives all back
        assert model.generate(TOKENS[:3], 12, stop_at_eos=False) == expected[3:]


def test_generate_stops_at_eos_and_at_the_context(model: NativeModel) -> None:
    always_eos = Sampling(logit_bias={EOS: 1000.0})
    assert model.generate(TOKENS[:3], 12, always_eos) == [EOS]
    never = Sampling(logit_bias={EOS: -1000.0})
    assert len(model.generate(TOKENS[:3], 10**6, never)) == CONTEXT - 3 + 1


def test_log_probabilities(model: NativeModel, pack: tuple[Path, Toy]) -> None:
    sequence = model.sequence(Sampling(top_logprobs=1))
    model.prefill(sequence, TOKENS[:6])
    (token,) = model.sample()
    ((value, top),) = model.logprobs()
    logits = pack[1].logits(TOKENS[:6])[-1]
    _close(model, value, (logits - np.log(np.exp(logits).sum()))[token])
    assert top == {token: value}
    model.release(sequence)


def test_the_plan_of_a_step() -> None:
    first = Sequence(slot=1, sampling=Sampling(seed=2**32 + 5, top_k=3), length=7, pages=[4, 2, 9])
    second = Sequence(
        slot=0, sampling=Sampling(temperature=1.0), generated=3, pages=[1, 0, 3, 5, 6]
    )
    third = Sequence(slot=2, sampling=Sampling(), pages=[7])
    rows = [Row(first, [8, -2], [0, 1]), Row(second, [*range(18)], [17]), Row(third, [5], [])]
    plan = StepPlan.make(rows, max_pages=8, page_size=4, most_parts=32)
    works = {"works": 1, "shared_works": 0, "parts": 3}
    assert plan.symbols == {"tokens": 21, "seqs": 3, "outs": 3, "q_tiles": 4, **works}
    inputs = {name: array.tolist() for name, array in plan.inputs.items()}
    assert inputs["token_ids"] == [8, -2, *range(18), 5]
    assert inputs["positions"] == [7, 8, *range(18), 0]
    assert inputs["token_seq"] == [0] * 2 + [1] * 18 + [2]
    assert inputs["page_table"] == [
        [4, 2, 9] + [0] * 5,
        [1, 0, 3, 5, 6] + [0] * 3,
        [7] + [0] * 7,
    ]
    assert inputs["logit_rows"] == [0, 1, 19]
    assert inputs["tiles"] == [[0, 2, 0, 7], [2, 16, 1, 0], [18, 2, 1, 16], [20, 1, 2, 0]]
    assert (inputs["work"], inputs["work_rows"]) == (
        [[1, 4, 0, 0], [2, 0, 1, 2], [1, 0, 18, 1], [0, 0, 9, 0]],
        [0, 1, 2, 3],
    )
    assert inputs["slots"] == [1, 1, 0]
    assert inputs["sampling"][0][5:11] == [3, 5, 1, 0, 0, 0]
    assert inputs["sampling"][1][5:11] == [3, 5, 1, 1, 0, 0]  # the next draw
    assert inputs["sampling"][2][0] == np.float32(1).view(np.uint32)
    assert inputs["sampling"][2][8] == 3
    assert all(array.dtype.itemsize == 4 for array in plan.inputs.values())


def test_limits_of_context_slots_and_requests(model: NativeModel) -> None:
    sequences = [model.sequence() for _ in range(BATCH)]
    with pytest.raises(ContextFullError, match="slots"):
        model.sequence()
    with pytest.raises(ContextFullError, match="context of 32"):
        model.prefill(sequences[0], [1] * (CONTEXT + 1))
    model.prefill(sequences[0], [1] * CONTEXT)
    with pytest.raises(ContextFullError, match="is full"):
        model.decode([sequences[0]], [1])
    with pytest.raises(InvalidRequestError, match=f"token {V}"):
        model.prefill(sequences[1], [V])
    with pytest.raises(InvalidRequestError, match="no tokens"):
        model.prefill(sequences[1], [])
    with pytest.raises(InvalidRequestError, match="drawn nothing"):
        model.decode([sequences[1]])
    with pytest.raises(InvalidRequestError, match="one token for each"):
        model.decode([sequences[1]], [1, 2])
    with pytest.raises(InvalidRequestError, match="1 to 3 sequences"):
        model.step([])
    with pytest.raises(ContextFullError, match="9 tokens exceed a step's 8"):
        model.step([(sequences[1], [1] * 5), (sequences[2], [1] * 4)])
    with pytest.raises(ContextFullError, match=f"7 outs exceed a step's {2 * BATCH}"):
        model.run([Row(sequences[1], [1] * 7, range(7))])
    with pytest.raises(InvalidRequestError, match=r"outs \[2\] of 2 tokens"):
        model.run([Row(sequences[1], [1, 1], [2])])
    with pytest.raises(InvalidRequestError, match=f"token {-1 - BATCH}"):
        model.run([Row(sequences[1], [-1 - BATCH], [0])])
    for sequence in sequences:
        model.release(sequence)
    with pytest.raises(InvalidRequestError, match="token -1"):
        model.sequence(Sampling(logit_bias={-1: 1.0}))
    with pytest.raises(InvalidRequestError, match="temperature is -1"):
        Sampling(temperature=-1)


def test_which_draws_are_plain() -> None:
    for settings in (
        Sampling(),
        Sampling(temperature=1.3, seed=1, presence_penalty=1.0),
        Sampling(top_p=0.5, top_k=3),
        Sampling(temperature=1e-60, min_p=0.5),
    ):
        assert settings.plain
    for settings in (
        Sampling(temperature=0.5, top_p=0.999),
        Sampling(temperature=0.5, top_k=1000),
        Sampling(temperature=0.5, min_p=1e-6),
    ):
        assert not settings.plain


def test_opening_with_what_the_pack_or_the_adapter_lacks(pack: tuple[Path, Toy]) -> None:
    real = open_device()
    plain = replace(real, adapter="plain", features=frozenset())
    assert NativeModel.open(pack[0], device=plain).tier == "f32"
    with pytest.raises(NoAdapterError, match="shader-f16"):
        NativeModel.open(pack[0], "f16", device=plain)
    with pytest.raises(InvalidRequestError, match="no tier 'f64': the pack has f16, f32"):
        NativeModel.open(pack[0], "f64")
    with pytest.raises(InvalidRequestError, match="1 to 32"):
        NativeModel.open(pack[0], context_length=CONTEXT + 1)
    small = replace(real, adapter="small", max_buffer_bytes=64, max_binding_bytes=64)
    with pytest.raises(AdapterLimitError, match=r"kv_k\.0 needs 768 bytes and small binds"):
        NativeModel.open(pack[0], "f32", device=small)


def test_damaged_packs_are_refused_by_name(tmp_path: Path) -> None:
    write_toy_pack(tmp_path)

    def refused(error: type[WebbuildError], match: str, verify_hashes: bool = False) -> None:
        with pytest.raises(error, match=match):
            NativeModel.open(tmp_path, "f32", verify_hashes=verify_hashes)

    shard = tmp_path / "params_shard_0.bin"
    whole = shard.read_bytes()
    shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    NativeModel.open(tmp_path, "f32")
    refused(PackDamagedError, "SHA-256", verify_hashes=True)
    shard.write_bytes(whole[:-1])
    refused(PackDamagedError, "bytes where pack.json says")
    shard.unlink()
    refused(PackDamagedError, "params_shard_0.bin is missing")
    shard.write_bytes(whole)

    manifest = tmp_path / "pack.json"
    text = manifest.read_text()
    manifest.write_text(text.replace(f'"format_version":{PACK_VERSION}', '"format_version":99'))
    refused(FormatVersionError, "pack.json has format version 99")
    manifest.write_text(text[:-1])
    refused(NotAPackError, "no JSON")
    manifest.unlink()
    refused(NotAPackError, "holds no pack.json")


def test_a_kernel_that_does_not_compile_is_named(tmp_path: Path) -> None:
    write_toy_pack(tmp_path)
    program = (tmp_path / "program.json").read_text()
    kernels = json.loads((tmp_path / "kernels.json").read_text())
    manifest = json.loads((tmp_path / "pack.json").read_text())
    old, kernel = next((k, v) for k, v in kernels["kernels"].items() if v["name"] == "embed")
    kernel["wgsl"] += "fn broken("
    new = kernel_id(kernel["wgsl"], kernel["entry_point"])
    kernels["kernels"][new] = kernels["kernels"].pop(old)
    texts = {"program.json": program.replace(old, new), "kernels.json": json.dumps(kernels)}
    for file in manifest["files"]:
        if file["path"] in texts:
            (tmp_path / file["path"]).write_text(texts[file["path"]])
            file["nbytes"] = len(texts[file["path"]].encode())
    (tmp_path / "pack.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidProgramError, match="kernel 'embed' does not compile"):
        NativeModel.open(tmp_path, "f32")
