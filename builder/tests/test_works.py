"""The host's plan of a split decode: pieces of contexts, shared ones among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from webbuild.native.works import PIECE_TOKENS, SOFTWARE_PIECE_TOKENS, Works, plan_works

Batch = tuple[list[int], list[list[int]]]


def alone(lengths: list[int], page: int) -> list[list[int]]:
    """Page lists without a page in common."""
    taken = 0
    lists = []
    for length in lengths:
        count = -(-length // page)
        lists.append(list(range(taken, taken + count)))
        taken += count
    return lists


def batches(number: int, least: int, most: int, page: int, share: float) -> Iterator[Batch]:
    """Contexts of least .. most positions; with probability `share` a row goes on from some page of
    an earlier one, which may have done so itself: nested groups."""
    rng = np.random.default_rng(5)
    for _ in range(number):
        rows = int(rng.integers(1, 17))
        lengths = np.exp(rng.uniform(np.log(least), np.log(most + 1), rows)).astype(int)
        lists: list[list[int]] = []
        taken = 0
        for row, length in enumerate(lengths):
            count = -(-int(length) // page)
            kept: list[int] = []
            if row and rng.random() < share:
                other = lists[int(rng.integers(row))]
                kept = other[: min(int(rng.integers(len(other) + 1)), count)]
            lists.append(kept + list(range(taken, taken + count - len(kept))))
            taken += count
        yield [int(length) for length in lengths], lists


def items(plan: Works, first: int, count: int) -> Iterator[list[list[int]]]:
    """The pieces of each work from `first` on."""
    table = plan.work.tolist()
    for begin, end, *zeros in table[first : first + count]:
        assert zeros == [0, 0] and begin < end
        yield table[begin:end]


def loads(plan: Works) -> Iterator[list[int]]:
    """Positions that the works of each launch read."""
    for first, count in ((0, plan.works), (plan.works, plan.shared)):
        yield [sum(piece[2] - piece[1] for piece in work) for work in items(plan, first, count)]


def check(plan: Works, lengths: list[int], lists: list[list[int]], page: int) -> None:
    """Each position of each row once, parts in order, and only what is truly shared is."""
    seen: dict[int, list[tuple[int, int, int]]] = {row: [] for row in range(len(lengths))}
    for work in items(plan, 0, plan.works):
        for row, begin, end, part in work:
            seen[row].append((part, begin, end))
    saved = 0
    for work in items(plan, plan.works, plan.shared):
        for first, begin, end, count in work:
            assert begin % page == end % page == 0 and count > 1
            saved += (end - begin) * (count - 1)
            named = plan.work[first : first + count]
            assert len({tuple(lists[row][begin // page : end // page]) for row in named[:, 0]}) == 1
            for row, part, *_ in named.tolist():
                assert end < lengths[row], "the newest position is never shared"
                seen[row].append((part, begin, end))
    assert saved == plan.saved
    for row, length in enumerate(lengths):
        parts = sorted(seen[row])
        first, last = plan.work_rows[row : row + 2]
        assert [part for part, *_ in parts] == list(range(first, last))
        edges = [0, *(end for *_, end in parts)]
        assert edges[-1] == length
        assert [begin for _, begin, _ in parts] == edges[:-1]
        assert all(edge % page == 0 for edge in edges[:-1])
    assert plan.work.dtype == plan.work_rows.dtype == np.int32
    assert len(plan.work) <= 2 * plan.parts


@pytest.mark.parametrize("page", [16, 32])
@pytest.mark.parametrize(
    ("tokens", "cores"),
    [(PIECE_TOKENS, 0), (SOFTWARE_PIECE_TOKENS, 1), (SOFTWARE_PIECE_TOKENS, 6)],
)
@pytest.mark.parametrize(("least", "most", "share"), [(1, 20000, 0.0), (1, 5000, 0.8)])
def test_random_batches(
    page: int, tokens: int, cores: int, least: int, most: int, share: float
) -> None:
    shared = 0
    for lengths, lists in batches(1000, least, most, page, share):
        plan = plan_works(lengths, lists, page, 16 * 16, tokens, cores)
        check(plan, lengths, lists, page)
        assert plan.parts <= 16 * 16
        shared += plan.shared > 0
        for sizes in loads(plan):
            assert not sizes or max(sizes) <= 1.25 * np.mean(sizes), (lengths, sizes)
    assert shared > 400 if share else shared == 0


@pytest.mark.parametrize("limit", [1, 9, 32])
def test_however_few_parts_may_be(limit: int) -> None:
    for lengths, lists in batches(200, 1, 5000, 16, 0.8):
        plan = plan_works(lengths, lists, 16, limit)
        check(plan, lengths, lists, 16)
        assert plan.parts <= max(limit, len(lengths))


def test_the_runtime_cuts_the_same() -> None:
    # runtime_js/src/engine/works.test.ts makes the same batches, and compares with the same sums.
    state = 12345

    def random(below: int) -> int:
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**32
        return state * below >> 32

    def add(total: int, words: Iterable[int]) -> int:
        for word in words:
            total = (31 * total + word) % 2**32
        return total

    sums = []
    rules = ((16, 128, 0), (16, 256, 0), (32, 128, 0), (16, 512, 2), (16, 512, 8))
    for page, tokens, cores in rules:
        total = 0
        for _ in range(300):
            lengths: list[int] = []
            lists: list[list[int]] = []
            for row in range(1 + random(16)):
                lengths.append(1 + random(1 << (1 + random(13))))
                count = -(-lengths[row] // page)
                other = lists[random(row)] if row and random(4) else []
                kept = other[: min(random(len(other) + 1), count)]
                lists.append(kept + [1000 * row + at for at in range(len(kept), count)])
            plan = plan_works(lengths, lists, page, 64 + random(200), tokens, cores)
            total = add(total, plan.work.ravel().tolist())
            counts = [plan.works, plan.shared, plan.saved, int(plan.pays)]
            total = add(total, plan.work_rows.tolist() + counts)
        sums.append(total)
    assert sums == SUMS


SUMS = [3472379981, 1611744627, 887032720, 2899271493, 535144653]


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_each_core_of_a_software_adapter_has_the_same_share(cores: int) -> None:
    def cut(*lengths: int) -> list[int]:
        lists = alone(list(lengths), 16)
        plan = plan_works(lengths, lists, 16, 256, SOFTWARE_PIECE_TOKENS, cores)
        return next(loads(plan))

    assert len(cut(4096)) == cores
    assert len(cut(1040)) == min(cores, 2)
    assert len(cut(4096, 1)) == max(cores, 2)
    rows = [4096, 4090, 4000, 3999, 4096, 4010, 4001, 4096]
    assert sorted(cut(*rows)) == sorted(rows)


def test_choices_of_one_prompt() -> None:
    # The same numbers are in runtime_js/src/engine/works.test.ts.
    prompt = list(range(93))
    lists = [[*prompt, 100 + row] for row in range(8)]
    plan = plan_works([1500] * 8, lists, 16, 512)
    assert (plan.works, plan.shared, plan.parts, plan.saved) == (8, 11, 96, 7 * 1488)
    assert plan.pays
    # Headers of 8 + 11 works, 8 pieces, 11 shared pieces, 88 rows of theirs.
    assert plan.work[[0, 8, 18, 19, 27, 28, 38, 39]].tolist() == [
        [19, 20, 0, 0],
        [27, 28, 0, 0],
        [37, 38, 0, 0],
        [0, 1488, 1500, 11],
        [38, 0, 128, 8],
        [46, 128, 272, 8],
        [0, 0, 0, 0],
        [1, 12, 0, 0],
    ]


def test_what_is_too_short_is_read_again() -> None:
    assert plan_works([20, 20], [[1, 2], [1, 3]], 16, 64).shared == 0
    assert plan_works([40, 40], [[1, 2, 3], [1, 2, 4]], 16, 64).shared == 1
    assert not plan_works([40, 40], [[1, 2, 3], [1, 2, 4]], 16, 64).pays


def test_as_the_runtime_cuts() -> None:
    # The same numbers are in runtime_js/src/engine/works.test.ts.
    plan = plan_works([1, 300, 2049], alone([1, 300, 2049], 16), 16, 64)
    assert (plan.works, plan.shared) == (18, 0)
    assert plan.work_rows.tolist() == [0, 1, 4, 20]
    assert plan.work[[0, 1, 18, 19, 20, 21, 22]].tolist() == [
        [18, 20, 0, 0],
        [20, 21, 0, 0],
        [0, 0, 1, 0],
        [1, 0, 128, 1],
        [1, 128, 256, 2],
        [1, 256, 300, 3],
        [2, 0, 96, 4],
    ]
