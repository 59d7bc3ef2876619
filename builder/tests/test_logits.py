"""Logits of every family, quantisation and tier against transformers in float32; generation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from webbuild.models import PAGE_SIZE
from webbuild.native import NativeModel, Sampling
from webbuild.native.works import plan_works
from webbuild.reference import (
    BOUNDS,
    CASES,
    INT8_BOUNDS,
    INT8_CASES,
    Case,
    climb,
    climb_int8,
    prepare,
    reference_model,
)

pytestmark = pytest.mark.gpu

PROMPT = [17, 300, 4, 250, 99]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ladder")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_equal_those_of_transformers(case: Case, folder: Path) -> None:
    errors = climb(case, folder)
    assert all(error <= BOUNDS[tier] for tier, error in errors.items()), errors


@pytest.mark.parametrize("case", INT8_CASES, ids=str)
def test_logits_with_keys_and_values_in_int8(case: Case, folder: Path) -> None:
    """Exact given what is kept, which is what it should be to half a step; near those of floats."""
    for tier, errors in climb_int8(case, folder).items():
        assert errors["exact"] <= INT8_BOUNDS["exact"], (tier, errors)
        assert errors["exact"] < errors["float"] <= INT8_BOUNDS["float"], (tier, errors)


@pytest.fixture(scope="module")
def model(folder: Path) -> NativeModel:
    return NativeModel.open(prepare(Case("llama-gqa", "q4f16_1"), folder)[1], "f32")


def test_greedy_generation_is_that_of_transformers(model: NativeModel, folder: Path) -> None:
    reference = reference_model(*prepare(Case("llama-gqa", "q4f16_1"), folder))
    expected = list(PROMPT)
    for _ in range(20):
        expected.append(int(reference(expected)[-1].argmax()))
    assert model.generate(PROMPT, 20, stop_at_eos=False) == expected[len(PROMPT) :]


def test_decoding_in_pieces_gives_the_same_logits(folder: Path) -> None:
    rng = np.random.default_rng(4)
    whole = NativeModel.open(prepare(Case("qwen3", "q4f16_1"), folder)[1], "f32")
    texts = [[int(token) for token in rng.integers(0, whole.vocab_size, n)] for n in (300, 143, 1)]
    logits = []
    for split_context in (10**9, 1):
        whole.split_context = split_context
        sequences = [whole.sequence() for _ in texts]
        for sequence, text in zip(sequences, texts, strict=True):
            whole.prefill(sequence, text)
        for token in (5, 6):
            whole.decode(sequences, [token] * len(sequences))
            logits.append(whole.logits())
        for sequence in sequences:
            whole.release(sequence)
    for one, pieces in zip(logits[:2], logits[2:], strict=True):
        assert np.abs(one - pieces).max() <= 1e-5 * np.abs(one).max()


@pytest.mark.parametrize("tier", ["f16", "f32"])
def test_a_prefix_read_once_for_all_gives_the_same_logits(folder: Path, tier: str) -> None:
    rng = np.random.default_rng(4)
    model = NativeModel.open(prepare(Case("qwen3", "q4f16_1"), folder)[1], tier)
    text = [int(token) for token in rng.integers(0, model.vocab_size, 300)]
    # The second and third begin as the first does, the third as the second for longer.
    begin = text[:240]
    texts = [text, [*begin, 1, 2, 3], begin + [1, 7] * 20, text[:5]]
    logits = []
    for kept in ([0, 0, 0, 0], [0, 15, 15, 0]):
        model.split_context = 1 if any(kept) else 10**9
        sequences = [model.sequence() for _ in texts]
        for sequence, tokens, pages in zip(sequences, texts, kept, strict=True):
            sequence.pages = sequences[0].pages[:pages]
            sequence.length = pages * PAGE_SIZE
            model.prefill(sequence, tokens[sequence.length :])
        for token in (5, 6):
            model.decode(sequences, [token] * len(sequences))
            logits.append(model.logits())
        lists, lengths = zip(*((one.pages, one.length) for one in sequences), strict=True)
        works = plan_works(lengths, lists, PAGE_SIZE, 512)
        assert works.saved == 2 * sum(kept[:2]) * PAGE_SIZE
        for sequence, pages in zip(sequences, kept, strict=True):
            sequence.pages = sequence.pages[pages:]  # the first one gives them back
            model.release(sequence)
    bound = 1e-5 if tier == "f32" else 2e-3
    for alone, shared in zip(logits[:2], logits[2:], strict=True):
        assert np.abs(alone - shared).max() <= bound * np.abs(alone).max()


def test_a_decoded_row_is_the_same_in_every_batch(model: NativeModel) -> None:
    """With one to nine rows, so through every kernel for few rows; each row from the same pages."""
    rng = np.random.default_rng(9)
    wide = NativeModel.open(model.pack, "f32", context_length=64, max_batch=9, kv_tokens=576)
    prompts = [[int(t) for t in rng.integers(0, wide.vocab_size, n)] for n in range(3, 12)]
    sequences = [wide.sequence() for _ in prompts]
    alone = []
    for sequence, prompt in zip(sequences, prompts, strict=True):
        wide.prefill(sequence, prompt)
        wide.decode([sequence], [7])
        alone.append(wide.logits()[0])
    for rows in (2, 4, 5, 8, 9):
        for sequence, prompt in zip(sequences, prompts, strict=True):
            wide.rewind(sequence, len(prompt))
        wide.decode(sequences[-rows:], [7] * rows)
        for together, one in zip(wide.logits(), alone[-rows:], strict=True):
            assert np.abs(together - one).max() <= 1e-6 * np.abs(one).max()
            assert together.argmax() == one.argmax()


def test_a_seed_repeats_and_another_differs(model: NativeModel) -> None:
    runs = [
        model.generate(PROMPT, 20, Sampling(temperature=1.5, seed=seed), stop_at_eos=False)
        for seed in (5, 5, 6)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_request_in_a_batch_draws_what_it_draws_alone(model: NativeModel) -> None:
    settings = Sampling(temperature=1.0, top_k=40, top_p=0.9, presence_penalty=0.5, seed=11)
    alone = model.generate(PROMPT, 8, settings, stop_at_eos=False)
    other, sequence = model.sequence(Sampling(temperature=2.0, seed=1)), model.sequence(settings)
    model.step([(other, [8] * 30), (sequence, PROMPT)])
    together = [model.sample()[1]]
    while len(together) < len(alone):
        model.decode([other, sequence])
        together.append(model.sample()[1])
    model.release(other)
    model.release(sequence)
    assert together == alone


def test_draws_follow_the_distribution(model: NativeModel) -> None:
    """2,000 draws at temperature 1 within 5 standard deviations, for each of the top 5 tokens."""
    sequence = model.sequence(Sampling(temperature=1.0, top_k=5, seed=3))
    model.prefill(sequence, PROMPT)
    logits = model.logits()[0].astype(np.float64)
    top = np.argsort(-logits)[:5]
    probabilities = np.exp(logits[top] - logits[top].max())
    probabilities /= probabilities.sum()
    draws = np.array([model.sample()[0] for _ in range(2000)])
    model.release(sequence)
    counts = np.array([(draws == token).sum() for token in top])
    assert counts.sum() == len(draws)
    deviation = np.sqrt(len(draws) * probabilities * (1 - probabilities))
    assert (np.abs(counts - len(draws) * probabilities) < 5 * deviation).all()


def test_log_probabilities_are_those_of_the_raw_logits(model: NativeModel) -> None:
    sequence = model.sequence(Sampling(temperature=0.7, top_k=3, seed=2, top_logprobs=4))
    model.prefill(sequence, PROMPT)
    logits = model.logits()[0].astype(np.float64)
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    (token,) = model.sample()
    ((value, top),) = model.logprobs()
    model.release(sequence)
    assert value == pytest.approx(expected[token], abs=1e-4)
    assert list(top) == np.argsort(-logits)[:4].tolist()
    assert list(top.values()) == pytest.approx(expected[list(top)].tolist(), abs=1e-4)


def test_a_bias_decides_and_penalties_move_on(model: NativeModel) -> None:
    assert model.generate(PROMPT, 3, Sampling(logit_bias={42: 1e4}), stop_at_eos=False) == [42] * 3
    moving = Sampling(logit_bias={42: 100.0, 43: 99.9}, frequency_penalty=2.0)
    assert sorted(model.generate(PROMPT, 2, moving, stop_at_eos=False)) == [42, 43]


def test_masks_leave_what_they_allow_and_penalties_see_the_prompt(model: NativeModel) -> None:
    other = next(token for token in range(model.vocab_size) if token not in PROMPT)
    sequence = model.sequence()
    model.prefill(sequence, PROMPT)
    likeliest = int(model.logits()[0].argmax())
    model.mask(sequence, np.arange(model.vocab_size) == (likeliest + 1) % model.vocab_size)
    assert model.sample() == [(likeliest + 1) % model.vocab_size]
    model.mask(sequence, None)
    assert model.sample() == [likeliest]
    model.release(sequence)
    bias = {PROMPT[0]: 1000.0, other: 999.5}
    assert model.generate(PROMPT, 1, Sampling(logit_bias=bias), stop_at_eos=False) == [PROMPT[0]]
    penalised = Sampling(logit_bias=bias, presence_penalty=1.0)
    assert model.generate(PROMPT, 1, penalised, stop_at_eos=False) == [other]
