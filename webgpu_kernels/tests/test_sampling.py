"""The sampler and log-probabilities: exact choices, exact support, and χ² against the exact
distribution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from webgpu_kernels import lower, oracle
from webgpu_kernels.constants import (
    FOLLOW,
    LOWEST,
    MASK_HEAD,
    RESULT_WORDS,
    TOP_IDS,
    TOP_LOGPROBS,
    mask_row_words,
)
from webgpu_kernels.oracle import Sampling

from .device import Device

pytestmark = pytest.mark.gpu
SLOTS = 3
SMALL, LARGE, REAL = 301, 5003, 49152
"""Vocabularies: two blocks; more tokens than a list holds; a model's."""
BLOCK = 256


@dataclass
class State:
    """Persistent sampler state: what tokens a slot counts, its bias, and which tokens row 1 + slot
    of `masks` allows (all)."""

    vocab: int
    slots: int = SLOTS
    counts: np.ndarray = field(init=False)
    bias: np.ndarray = field(init=False)
    masks: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.slots, self.vocab), np.uint32)
        self.bias = np.zeros((self.slots, self.vocab), np.float32)
        self.masks = np.zeros((1 + self.slots, mask_row_words(self.vocab)), np.uint32)
        self.mask[:] = 0xFFFFFFFF

    @property
    def mask(self) -> np.ndarray:
        """u32[slots, ceil(vocab / 32)], a view."""
        return self.masks[1:, MASK_HEAD : MASK_HEAD - (-self.vocab // 32)]

    def allow(self, allowed: np.ndarray) -> None:
        """Every slot's mask allows tokens i of which allowed[i]; bits beyond the vocabulary are
        set, and must not count."""
        padded = np.append(allowed, np.ones(-self.vocab % 32, bool))
        self.mask[:] = np.packbits(padded, bitorder="little").view(np.uint32)


def by_own_masks(settings: Sequence[Sampling], slots: Sequence[int]) -> list[Sampling]:
    """Has each row draw by the mask of its slot, unless it names another row of `masks`."""
    return [
        replace(row, mask_row=1 + slot) if row.mask_row == FOLLOW else row
        for row, slot in zip(settings, slots, strict=True)
    ]


def run(
    device: Device,
    logits: np.ndarray,
    settings: Sequence[Sampling],
    slots: Sequence[int] | None = None,
    state: State | None = None,
    ops: Sequence[str] = ("sample",),
    limits: bool = True,
) -> dict[str, np.ndarray]:
    """Samples once per row of settings; one row of logits serves all if there is but one."""
    settings = by_own_masks(settings, slots or [0] * len(settings))
    logits = np.broadcast_to(np.atleast_2d(logits), (len(settings), np.atleast_2d(logits).shape[1]))
    vocab = logits.shape[1]
    state = state or State(vocab)
    arrays = {
        "logits": logits.astype(np.float32),
        "token_counts": state.counts,
        "logit_bias": state.bias,
        "masks": state.masks,
        "slots": np.array(slots or [0] * len(settings), np.int32),
        "sampling": np.stack([row.words() for row in settings]),
        "sampled": np.full((len(settings), RESULT_WORDS), 0xFFFFFFFF, np.uint32),
        "last_tokens": np.full(state.slots, -1, np.int32),
    }
    attrs = {"vocab": vocab} if limits else {"vocab": vocab, "limits": False}
    launches = [launch for op in ops for launch in lower(op, attrs, "f32")]
    result = device.run(launches, arrays, {"outs": len(settings)})[0]
    for slot, last in enumerate(result["last_tokens"]):
        drawn = result["sampled"][arrays["slots"] == slot, 0]
        assert last in (drawn if len(drawn) else [-1])
    return result


def tokens(result: dict[str, np.ndarray]) -> np.ndarray:
    return result["sampled"][:, 0].astype(np.int32)


def peaked(vocab: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(vocab) * 2).astype(np.float32)


@pytest.mark.parametrize("vocab", [1, SMALL, LARGE])
def test_greedy_takes_the_lowest_of_the_likeliest(device: Device, vocab: int) -> None:
    rng = np.random.default_rng(vocab)
    logits = np.round(rng.standard_normal((7, vocab)) * 2).astype(np.float32)  # many ties
    got = tokens(run(device, logits, [Sampling()] * 7))
    np.testing.assert_array_equal(got, logits.argmax(axis=1))


@pytest.mark.parametrize("vocab", [1, SMALL, LARGE, REAL])
def test_without_limits_the_same_is_drawn(device: Device, vocab: int) -> None:
    logits = np.stack([peaked(vocab, seed) for seed in range(4)] * 8)
    state = State(vocab)
    state.bias[1] = peaked(vocab, 9)
    settings = [
        Sampling(
            temperature=(0.0, 0.7, 1.0, 5.0)[i // 4 % 4],
            seed=i,
            draw=3 * i,
            frequency_penalty=0.5,
            use_bias=i % 3 == 0,
            use_penalties=i % 5 == 0,
        )
        for i in range(32)
    ]
    slots = [i % 3 for i in range(32)]
    both = [
        run(device, logits, settings, slots, replace(state), limits=limits)
        for limits in (True, False)
    ]
    np.testing.assert_array_equal(tokens(both[0]), tokens(both[1]))
    np.testing.assert_array_equal(both[0]["token_counts"], both[1]["token_counts"])
    assert vocab < LARGE or len(set(tokens(both[1]))) > 16


def test_adjusted_logits(device: Device) -> None:
    """Bias, penalties and temperature, each sequence with its own slot and settings."""
    vocab = LARGE
    padded = -(-vocab // BLOCK) * BLOCK
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((5, vocab)).astype(np.float32) * 5
    logits[0, :4] = [np.nan, np.inf, -np.inf, 3e38]
    logits[4, :4] = [-0.0, 0.0, 1e-40, -1e-40]
    state = State(vocab)
    state.counts[:] = rng.integers(0, 4, state.counts.shape)
    state.bias[:] = rng.standard_normal(state.bias.shape)
    state.bias[2, 5] = -np.inf
    state.mask[:] = rng.integers(0, 2**32, state.mask.shape, np.uint32)
    state.mask[0, : BLOCK // 32] = 0  # nothing of a whole block
    full = Sampling(temperature=0.7, frequency_penalty=0.5, presence_penalty=-1.25)
    settings = [
        replace(full, use_bias=True, use_penalties=True),
        replace(full, use_bias=True),
        replace(full, use_penalties=True, repetition_penalty=1.3, use_mask=True),
        replace(full, use_mask=True),
        Sampling(use_bias=True),
    ]
    slots = [2, 0, 1, 0, 2]
    arrays = {
        "logits": logits,
        "token_counts": state.counts,
        "logit_bias": state.bias,
        "masks": state.masks,
        "slots": np.array(slots, np.int32),
        "sampling": np.stack([row.words() for row in by_own_masks(settings, slots)]),
        "scratch0": np.full((5, padded), 7, np.float32),
        "scratch1": np.zeros((5, padded // BLOCK, 4), np.float32),
    }
    got, _ = device.run(lower("sample", {"vocab": vocab}, "f32")[:1], arrays, {"outs": 5})
    for i, (slot, row) in enumerate(zip(slots, settings, strict=True)):
        kept = state.counts[slot], state.bias[slot], row, state.mask[slot]
        want = oracle.adjust_logits(logits[i], *kept)
        blocks = np.append(want, np.full(padded - vocab, 2 * LOWEST)).reshape(-1, BLOCK)
        highest = blocks.max(axis=1)
        maxima, ids, masses, _ = got["scratch1"][i].T
        np.testing.assert_allclose(maxima, highest, rtol=2e-6, atol=2e-6)
        if row.temperature == 0:  # greedy needs no more
            np.testing.assert_array_equal(ids, np.arange(0, padded, BLOCK) + blocks.argmax(axis=1))
            assert (got["scratch0"][i] == 7).all()
            continue
        adjusted = got["scratch0"][i]
        np.testing.assert_allclose(adjusted, blocks.ravel(), rtol=2e-6, atol=2e-6)
        likeliest = adjusted.reshape(-1, BLOCK).argmax(axis=1)
        np.testing.assert_array_equal(ids, np.arange(0, padded, BLOCK) + likeliest)
        sums = np.exp(blocks - highest[:, None]).sum(axis=1)
        np.testing.assert_allclose(masses, sums, rtol=1e-4)


WARM = Sampling(temperature=1.0)
PENALTIES = replace(WARM, frequency_penalty=0.4, presence_penalty=0.6, use_penalties=True)
NARROW = replace(WARM, temperature=1.1, top_k=40, top_p=0.9, min_p=0.02)
SETTINGS: dict[str, tuple[int, Sampling]] = {
    "one token": (1, NARROW),
    "temperature, small": (SMALL, replace(WARM, temperature=0.8)),
    "temperature, large": (LARGE, replace(WARM, temperature=0.8)),
    "temperature, real": (REAL, replace(WARM, temperature=0.8)),
    "hot": (LARGE, replace(WARM, temperature=3.0)),
    "huge temperature": (SMALL, replace(WARM, temperature=1e30)),
    "top_k, small": (SMALL, replace(WARM, top_k=7)),
    "top_k, large": (LARGE, replace(WARM, top_k=40)),
    "top_k, no list": (LARGE, replace(WARM, top_k=2000)),
    "top_k, real": (REAL, replace(WARM, top_k=3000)),
    "top_k over vocabulary": (SMALL, replace(WARM, top_k=100000)),
    "top_p, small": (SMALL, replace(WARM, top_p=0.7)),
    "top_p, large": (LARGE, replace(WARM, top_p=0.95)),
    "top_p, real": (REAL, replace(WARM, top_p=0.9)),
    "top_p, cold": (REAL, replace(WARM, temperature=0.4, top_p=0.95)),
    "min_p, small": (SMALL, replace(WARM, temperature=1.2, min_p=0.05)),
    "min_p, real": (REAL, replace(WARM, min_p=0.02)),
    "top_k, top_p": (LARGE, replace(WARM, top_k=2000, top_p=0.8)),
    "all, small": (SMALL, NARROW),
    "all, large": (LARGE, NARROW),
    "all, real": (REAL, replace(NARROW, top_p=0.95)),
    "bias": (SMALL, replace(WARM, use_bias=True)),
    "penalties": (SMALL, PENALTIES),
    "penalties, bias, all": (
        LARGE,
        replace(PENALTIES, use_bias=True, top_k=300, top_p=0.9, min_p=0.01),
    ),
    "repetition": (SMALL, replace(PENALTIES, repetition_penalty=1.4)),
    "mask": (SMALL, replace(WARM, use_mask=True)),
    "mask, real": (REAL, replace(WARM, use_mask=True)),
    "mask, fewer than top_k": (LARGE, replace(WARM, top_k=2000, top_p=0.9, use_mask=True)),
    "mask, bias, penalties": (
        LARGE,
        replace(PENALTIES, use_bias=True, use_mask=True, repetition_penalty=0.8, top_k=30),
    ),
}
DRAWS = 2000
CERTAIN = 5.5
"""Standard deviations that χ² of one setting passes with probability 2e-8, so all of them with
less than 1e-6."""


@pytest.mark.parametrize("name", SETTINGS)
def test_draws_follow_the_distribution(device: Device, name: str) -> None:
    """χ² over bins of at least 8 expected draws; nothing outside the support is ever drawn; the
    same numbers in numpy pick the same tokens."""
    vocab, settings = SETTINGS[name]
    logits = peaked(vocab)
    # Sequences of one step never share a slot: those that count get one each.
    own = settings.use_penalties
    batch = DRAWS if vocab == SMALL else 250
    state = State(vocab, batch if own else SLOTS)
    state.counts[:] = np.arange(vocab) % 3
    state.bias[:] = np.random.default_rng(2).standard_normal(vocab)
    state.allow(np.arange(vocab) % 7 == 3)
    adjusted = oracle.adjust_logits(logits, state.counts[0], state.bias[0], settings, state.mask[0])
    probabilities = oracle.distribution(adjusted, settings)
    rows = [replace(settings, seed=12345678901234567, draw=i) for i in range(DRAWS)]
    slots = list(range(batch)) if own else [1] * batch
    parts = [rows[i : i + batch] for i in range(0, DRAWS, batch)]
    got = np.concatenate([tokens(run(device, logits, part, slots, state)) for part in parts])
    assert (probabilities[got] > 0).all()
    # Save where rounding moves a border.
    want = [oracle.sample(probabilities, row) for row in rows]
    assert np.mean(got == want) > 0.995
    expected = probabilities * DRAWS
    order = np.argsort(-expected)
    counts = np.bincount(got, minlength=vocab)[order]
    bins = np.minimum(np.cumsum(expected[order]) // 8, DRAWS)
    edges = np.flatnonzero(np.diff(bins, prepend=-1))
    seen, due = np.add.reduceat(counts, edges), np.add.reduceat(expected[order], edges)
    kept = due > 4
    statistic = (((seen - due) ** 2) / np.where(kept, due, 1))[kept].sum()
    freedom = kept.sum() - 1
    assert (freedom > 0) == (vocab > 1)
    # χ² has a cube root that is nearly normal (Wilson and Hilferty, 1931).
    spread = 2 / (9 * max(freedom, 1))
    root = (statistic / max(freedom, 1)) ** (1 / 3)
    assert root - (1 - spread) < CERTAIN * np.sqrt(spread)


def test_same_seed_same_draw(device: Device) -> None:
    """A draw depends on seed, draw index and distribution alone: not on batch, row or slot."""
    vocab = SMALL
    logits = peaked(vocab, 3)
    base = Sampling(temperature=1.5, seed=(77 << 32) + 5)
    rows = [replace(base, draw=i) for i in range(64)]
    once = tokens(run(device, logits, rows))
    again = tokens(run(device, logits, rows[::-1], slots=[i % 3 for i in range(64)]))[::-1]
    np.testing.assert_array_equal(once, again)
    other_low = tokens(run(device, logits, [replace(row, seed=row.seed + 1) for row in rows]))
    other_high = tokens(
        run(device, logits, [replace(row, seed=row.seed ^ (1 << 40)) for row in rows])
    )
    assert len(set(once)) > 10
    assert (once != other_low).any() and (once != other_high).any()


def test_narrow_settings_are_greedy(device: Device) -> None:
    """top_k = 1, a tiny or zero top_p, min_p = 1 and a tiny temperature all leave the likeliest
    token."""
    logits = peaked(SMALL, 4)
    rows = [
        Sampling(temperature=1.0, top_k=1),
        Sampling(temperature=1.0, top_p=1e-6),
        Sampling(temperature=1.0, top_p=0.0),
        Sampling(temperature=1.0, min_p=1.0),
        Sampling(temperature=1.0, min_p=7.0),
        Sampling(temperature=1e-6),
        Sampling(temperature=5.0, top_k=1, top_p=0.1, min_p=0.3),
    ]
    rows = [replace(row, seed=seed) for row in rows for seed in range(8)]
    assert set(tokens(run(device, logits, rows))) == {logits.argmax()}


def test_ties_at_a_threshold_are_kept(device: Device) -> None:
    logits = np.full(SMALL, -50.0, np.float32)
    logits[[3, 99, 250]] = 2.0
    logits[[7, 280]] = 1.0
    top_k = [Sampling(temperature=1.0, top_k=2, seed=i) for i in range(200)]
    assert set(tokens(run(device, logits, top_k))) == {3, 99, 250}
    top_p = [Sampling(temperature=1.0, top_p=0.3, seed=i) for i in range(200)]
    assert set(tokens(run(device, logits, top_p))) == {3, 99, 250}


def test_more_ties_than_a_list_holds(device: Device) -> None:
    """All of them are kept, whatever their sign; a threshold below them is found all the same."""
    logits = np.full(LARGE, -3.0, np.float32)
    ties = np.random.default_rng(6).permutation(LARGE)[:1500]
    logits[ties] = np.where(ties % 2, 0.0, -0.0)
    logits[ties[:3]] = 1e-3
    for settings, support in (
        (replace(WARM, top_k=2), ties[:3]),
        (replace(WARM, top_k=4), ties),
        (replace(WARM, top_p=0.5), ties),
        (replace(WARM, top_k=1500, top_p=0.999), ties),
        (replace(WARM, top_k=1501, top_p=0.8), ties),
        (replace(WARM, temperature=np.inf, top_k=3), np.arange(LARGE)),
    ):
        rows = [replace(settings, draw=i) for i in range(200)]
        got = tokens(run(device, logits, rows))
        assert set(got) <= set(support)
        assert len(set(got)) >= min(150, len(support))


def test_thresholds_are_exact_to_the_last_bit(device: Device) -> None:
    """Logits that are neighbouring floats, of either sign."""
    for base, vocab in itertools.product((1.0, -1.0), (SMALL, LARGE)):
        steps = np.random.default_rng(5).permutation(vocab).astype(np.int32)
        bits = np.float32(base).view(np.int32) + (steps if base > 0 else -steps)
        logits = bits.view(np.float32)
        order = np.argsort(-logits)
        for narrow, left in (
            (Sampling(temperature=1.0, top_k=1), 1),
            (Sampling(temperature=1.0, top_k=5), 5),
            (Sampling(temperature=1.0, top_k=10, top_p=0.45), 5),
            (Sampling(temperature=1.0, top_p=4.5 / vocab), 5),
        ):
            rows = [replace(narrow, draw=i) for i in range(150)]
            assert set(tokens(run(device, logits, rows))) == set(order[:left])


def test_bias_and_penalties_change_the_choice(device: Device) -> None:
    state = State(SMALL)
    logits = np.zeros(SMALL, np.float32)
    logits[[10, 20, 30]] = [3.0, 2.9, 2.0]
    state.bias[1, 30] = 5
    state.bias[2, 10] = -np.inf
    state.counts[0, 10] = 1
    penalised = Sampling(presence_penalty=0.2, use_penalties=True)
    biased = Sampling(use_bias=True)
    got = run(device, logits, [penalised, biased, biased], [0, 1, 2], state)
    np.testing.assert_array_equal(tokens(got), [20, 30, 20])
    # Only a slot that uses penalties counts its tokens.
    want = state.counts.copy()
    want[0, 20] += 1
    np.testing.assert_array_equal(got["token_counts"], want)


@pytest.mark.parametrize("vocab", [1, SMALL, LARGE])
def test_a_mask_leaves_what_it_allows(device: Device, vocab: int) -> None:
    """Of one token, greedy or drawn, with any limits and a bias that would rather have others;
    log-probabilities are those without it."""
    logits = peaked(vocab, 11)
    state = State(vocab)
    state.bias[:] = np.where(np.arange(vocab) == vocab - 1, -1e30, 50)
    state.allow(np.arange(vocab) == vocab - 1)
    masked = Sampling(use_mask=True, use_bias=True)
    rows = [
        masked,
        replace(masked, temperature=1.0),
        replace(masked, temperature=1e30, top_k=40),
        replace(masked, temperature=0.1, top_p=0.5, min_p=0.1),
        Sampling(),
    ]
    got = run(device, logits, rows, state=state, ops=("sample", "logprobs"))
    np.testing.assert_array_equal(tokens(got), [vocab - 1] * 4 + [logits.argmax()])
    chosen, _, _ = oracle.logprobs(logits, vocab - 1, 0)
    np.testing.assert_allclose(got["sampled"].view(np.float32)[:4, 1], chosen, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("limits", [True, False])
@pytest.mark.parametrize("vocab", [SMALL, LARGE])
def test_a_token_leads_to_the_next_mask(device: Device, vocab: int, limits: bool) -> None:
    """Draws that nobody names a row for go by the one that the slot's last token led to, and tell
    its tag; where it led nowhere, everything is allowed."""
    rng = np.random.default_rng(vocab)
    rows = 7
    words = -(-vocab // 32)
    masks = np.zeros((rows, mask_row_words(vocab)), np.uint32)
    masks[1:, 1] = rng.permutation(1000)[: rows - 1] + 1
    masks[1:, MASK_HEAD : MASK_HEAD + words] = rng.integers(0, 2**32, (rows - 1, words), np.uint32)
    leads = rng.integers(0, rows, (rows, vocab)).astype(np.uint8)
    leads[0] = 0
    masks[:, MASK_HEAD + words :].view(np.uint8)[:, :vocab] = leads
    at = [1, 2, 0]
    logits = np.stack([peaked(vocab, seed) for seed in range(3)])
    state = State(vocab)
    met = set()
    for draw in range(24):
        named = {0: 1, 12: 5}.get(draw)
        if named:
            at = [named] * 3
        settings = [
            Sampling(
                temperature=float(slot > 0),
                draw=draw,
                seed=slot,
                use_mask=True,
                mask_row=named or FOLLOW,
            )
            for slot in range(3)
        ]
        arrays = {
            "logits": logits,
            "token_counts": state.counts,
            "logit_bias": state.bias,
            "masks": masks,
            "slots": np.arange(3, dtype=np.int32),
            "sampling": np.stack([row.words() for row in settings]),
            "sampled": np.full((3, RESULT_WORDS), 0xFFFFFFFF, np.uint32),
            "last_tokens": np.full(3, -1, np.int32),
        }
        got = device.run(
            lower("sample", {"vocab": vocab, "limits": limits}, "f32"), arrays, {"outs": 3}
        )[0]
        for slot, (row, setting) in enumerate(zip(at, settings, strict=True)):
            mask = masks[row, MASK_HEAD : MASK_HEAD + words] if row else None
            adjusted = oracle.adjust_logits(
                logits[slot], state.counts[slot], state.bias[slot], setting, mask
            )
            want = oracle.sample(oracle.distribution(adjusted, setting), setting)
            assert got["sampled"][slot, 0] == want
            assert got["sampled"][slot, 3] == masks[row, 1]
            at[slot] = int(leads[row, want])
            met.add(row)
        np.testing.assert_array_equal(got["masks"][:3, 0], at)
        np.testing.assert_array_equal(got["masks"][3:], masks[3:])
        masks = got["masks"]
    assert len(met) > 4 and 0 in met


def test_wild_logits_and_settings_stay_in_range(device: Device) -> None:
    """NaN, infinities and absurd settings neither hang nor index out of range."""
    vocab = SMALL
    rows = np.zeros((6, vocab), np.float32)
    rows[0] = np.nan
    rows[1] = -np.inf
    rows[2] = np.inf
    rows[3, ::2] = np.nan
    rows[4] = np.float32(3.4e38)
    rows[5, 17] = np.inf
    wild = Sampling(temperature=np.inf, top_p=np.nan, min_p=np.nan, top_k=0xFFFFFFFF)
    for settings in (Sampling(), Sampling(temperature=1.0, top_p=0.9, top_k=3), wild):
        got = run(device, rows, [settings] * 6, ops=("sample", "logprobs"))
        assert (tokens(got) < vocab).all() and (tokens(got) >= 0).all()
    assert tokens(run(device, rows[5], [Sampling(temperature=1.0)]))[0] == 17
    assert tokens(run(device, rows[3], [Sampling(temperature=1.0)]))[0] % 2 == 1


@pytest.mark.parametrize("vocab", [1, SMALL, LARGE])
def test_logprobs(device: Device, vocab: int) -> None:
    logits = np.stack([peaked(vocab, 8), np.round(peaked(vocab, 9)), peaked(vocab, 10)])
    rows = [Sampling(top_logprobs=n, temperature=0.5, top_k=4, seed=3) for n in (20, 5, 0)]
    got = run(device, logits, rows, ops=("sample", "logprobs"))["sampled"]
    for i, row in enumerate(rows):
        top = min(row.top_logprobs, vocab)
        chosen, ids, logs = oracle.logprobs(logits[i], int(got[i, 0]), top)
        floats = got[i].view(np.float32)
        np.testing.assert_allclose(floats[1], chosen, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got[i, TOP_IDS : TOP_IDS + top], ids)
        np.testing.assert_allclose(
            floats[TOP_LOGPROBS : TOP_LOGPROBS + top], logs, rtol=1e-5, atol=1e-5
        )
        assert (got[i, TOP_IDS + top : TOP_LOGPROBS] == 0xFFFFFFFF).all()
        assert (got[i, TOP_LOGPROBS + top :] == 0xFFFFFFFF).all()


def test_philox_known_answers() -> None:
    """The vectors of the authors' Random123 distribution."""
    assert oracle.philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    want = (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert oracle.philox((ones,) * 4, (ones, ones)) == want
