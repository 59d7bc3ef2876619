"""The host's plan of a split decode: pieces of contexts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from webbuild.native.works import PIECE_TOKENS, SOFTWARE_PIECE_TOKENS, plan_works

PAGE = 16


def batches(least: int, most: int) -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [
        [int(x) for x in np.exp(rng.uniform(np.log(least), np.log(most), rng.integers(1, 9)))]
        for _ in range(500)
    ]


@pytest.mark.parametrize("limit", [9, 32, 128])
def test_every_position_is_in_one_piece(limit: int) -> None:
    for lengths in batches(1, 40000):
        work, work_rows = plan_works(lengths, PAGE, limit)
        assert len(work) <= max(limit, len(lengths)) and work.dtype == np.int32
        assert (work_rows[0], work_rows[-1]) == (0, len(work))
        for row, (length, (first, end)) in enumerate(
            zip(lengths, pairwise(work_rows), strict=True)
        ):
            times = np.zeros(length, int)
            for owner, begin, stop, zero in work[first:end]:
                assert (owner, zero) == (row, 0)
                assert begin % PAGE == 0 and (stop % PAGE == 0 or stop == length)
                times[begin:stop] += 1
            assert (times == 1).all()
            assert work[end - 1][2] == length, "the last piece holds the newest position"


@pytest.mark.parametrize("tokens", [PIECE_TOKENS, SOFTWARE_PIECE_TOKENS])
def test_no_piece_of_long_contexts_is_a_quarter_above_the_mean(tokens: int) -> None:
    for lengths in batches(1024, 131072):
        work, _ = plan_works(lengths, PAGE, 16 * 8, tokens)
        sizes = work[:, 2] - work[:, 1]
        assert sizes.max() / sizes.mean() <= 1.25


def test_as_the_runtime_cuts() -> None:
    # The same numbers are in runtime_js/src/engine/works.test.ts.
    work, work_rows = plan_works([1, 300, 2049], PAGE, 64)
    assert work_rows.tolist() == [0, 1, 4, 21]
    assert work[:6, 1:3].tolist() == [[0, 1], [0, 96], [96, 192], [192, 300], [0, 112], [112, 240]]


def test_longer_pieces_on_software_adapters() -> None:
    _, work_rows = plan_works([1, 300, 2049], PAGE, 64, SOFTWARE_PIECE_TOKENS)
    assert work_rows.tolist() == [0, 1, 3, 12]


def test_never_fewer_pieces_than_rows() -> None:
    assert plan_works([5000, 7, 5000], PAGE, 2)[1].tolist() == [0, 1, 2, 3]
