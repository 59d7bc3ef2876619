"""Which pieces of contexts each workgroup of a split decode attention takes, and for which rows.

Sequences that begin with the same pages share them: a piece of such a prefix is read once for all
of them (FlashInfer's cascade, arXiv 2501.01005). What is left of every context, and what is shared,
each lie end to end as a line, which is cut into works of nearly the same length: a work may hold
the end of one context and the beginning of the next. The measure of a work is the bytes of keys and
values that it reads, so its positions; of a shared piece they count once, however many rows they
serve. The two lines are two launches, one after the other, and each is even in itself.

The same rule, to the number, as runtime_js/src/engine/works.ts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]

PIECE_TOKENS = 128
"""A work has at least so many positions, if there are: each piece costs a rotation and a merge."""
SOFTWARE_PIECE_TOKENS = 512
"""The same for software adapters, which have few cores to keep busy: as many works as cores, or as
rows if they are more, give each the same share."""
ROW_WORKS, LEAST_WORKS = 16, 32
"""Works aimed at: so many per row, and in all."""
EVEN_PAGES = 5
"""A work has at least so many pages on average: cuts lie at pages, so that one more or less is not
a quarter of it."""
PART_TOKENS = 16
"""What a part costs, as positions that could be read: written, read, and a query rotated."""
SHARED_CONTEXT = 512
"""So many positions, read once instead of once more, make pieces pay in short contexts too."""


@dataclass(frozen=True, slots=True)
class Works:
    """The plan of a step. A part is what one piece adds to one row's attention."""

    work: I32
    """i32[n, 4], n ≤ 2 · parts. First, for each work and then for each shared one, (first item,
    end item, 0, 0): rows of this table. Pieces are (row, first position, end position, part);
    shared pieces (first row of this table that names one of its rows, first position, end position,
    rows), and those rows (row, part, 0, 0)."""
    work_rows: I32
    """i32[rows + 1]: the first part of each row, and their number."""
    works: int
    shared: int
    """Works with shared pieces."""
    saved: int
    """Positions that are not read again because rows share them."""

    @property
    def parts(self) -> int:
        return int(self.work_rows[-1])

    @property
    def pays(self) -> bool:
        """Whether sharing saves enough for pieces to be worth it whatever the contexts' length."""
        return self.saved >= SHARED_CONTEXT + PART_TOKENS * self.parts


@dataclass(frozen=True, slots=True)
class _Segment:
    """Positions begin .. end, read for `rows`."""

    rows: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Piece:
    segment: _Segment
    begin: int
    end: int


def cores_here() -> int:
    """Of the machine, which a software adapter computes on."""
    return os.cpu_count() or 1


def plan_works(
    lengths: Sequence[int],
    pages: Sequence[Sequence[int]],
    page_size: int,
    limit: int,
    piece_tokens: int = PIECE_TOKENS,
    cores: int = 0,
) -> Works:
    """Cuts contexts of `lengths` ≥ 1 positions into at most max(limit, rows) parts.

    cores: of a software adapter, else 0.
    pages: of each row, as in the page table; equal ones at the same place hold the same positions,
    and so do all before them. Whole pages are shared, never that of a row's newest position.
    """
    rows = len(lengths)
    most = max(limit, rows)
    owned, shared = _segments(lengths, pages, page_size, min(most // 4, most - rows))
    room = most - rows - sum(len(one.rows) for one in shared)
    widest = max((len(one.rows) for one in shared), default=1)
    aim = cores or max(LEAST_WORKS, ROW_WORKS * rows)
    shared_works = _cut(shared, page_size, min(aim, 1 + room // 2 // widest), piece_tokens)
    room -= max(0, len(shared_works) - 1) * widest
    if _even(owned, piece_tokens, aim):
        works = [[_Piece(one, one.begin, one.end)] for one in owned]
    else:
        works = _cut(owned, page_size, min(max(aim, rows), 1 + room), piece_tokens, rows)
    return _table(rows, works, shared_works)


def _segments(
    lengths: Sequence[int], pages: Sequence[Sequence[int]], page_size: int, most_parts: int
) -> tuple[list[_Segment], list[_Segment]]:
    """What each row reads alone and what several share: the tree of common prefixes, parents before
    their children. Sharing leaves at most `most_parts` for each piece of it."""
    whole = [(length - 1) // page_size for length in lengths]

    def common(a: int, b: int) -> int:
        """Pages with which both rows begin. Where pages are equal, all before are: so bisect."""
        low, high = 0, min(whole[a], whole[b])
        while low < high:
            middle = (low + high) // 2
            if pages[a][middle] == pages[b][middle]:
                low = middle + 1
            else:
                high = middle
        return low

    def before(a: int, b: int) -> bool:
        same = common(a, b)
        if same == whole[a] or same == whole[b]:
            return whole[a] < whole[b]
        return pages[a][same] < pages[b][same]

    order: list[int] = []  # rows that share are neighbours in it
    for row in range(len(lengths)):
        at = len(order)
        while at > 0 and before(row, order[at - 1]):
            at -= 1
        order.insert(at, row)
    same = [0] + [common(a, b) for a, b in pairwise(order)]
    owned: list[_Segment] = []
    shared: list[_Segment] = []
    parts = 0

    def visit(low: int, high: int, depth: int) -> None:
        nonlocal parts
        if high - low == 1:
            row = order[low]
            owned.append(_Segment((row,), depth * page_size, lengths[row]))
            return
        least, count = min(same[low + 1 : high]), high - low
        saved = (count - 1) * (least - depth) * page_size
        if saved >= PART_TOKENS * count and parts + count <= most_parts:
            rows = tuple(order[low:high])
            shared.append(_Segment(rows, depth * page_size, least * page_size))
            parts += count
            depth = least
        first = low
        for at in range(low + 1, high + 1):
            if at == high or same[at] == least:
                visit(first, at, depth)
                first = at

    visit(0, len(order), 0)
    return owned, shared


def _even(owned: Sequence[_Segment], piece_tokens: int, aim: int) -> bool:
    """Whether a work for each row is right: not longer than need be, and as long as each other."""
    sizes = [one.end - one.begin for one in owned]
    total = sum(sizes)
    enough = min(aim, total // piece_tokens) <= len(sizes)
    return enough and 4 * len(sizes) * max(sizes) <= 5 * total


def _cut(
    segments: Sequence[_Segment],
    page_size: int,
    most: int,
    piece_tokens: int,
    wanted: int = 1,
) -> list[list[_Piece]]:
    """Cuts the line of all segments into at most `most` works, at pages: `wanted` if they can be,
    more if they have piece_tokens each."""
    total = sum(one.end - one.begin for one in segments)
    if total == 0:
        return []
    even = total // (EVEN_PAGES * page_size)
    count = max(1, min(most, even, max(total // piece_tokens, wanted)))
    works: list[list[_Piece]] = []
    at, begin, passed = 0, segments[0].begin, 0  # passed: positions before segment `at`
    for edge in range(1, count + 1):
        goal = edge * total // count
        pieces: list[_Piece] = []
        while at < len(segments):
            one = segments[at]
            size = one.end - one.begin
            inside = goal - passed
            if inside < size:
                low = inside // page_size * page_size
                high = min(low + page_size, size)
                end = one.begin + (low if inside - low <= high - inside else high)
            else:
                end = one.end
            if end > begin:
                pieces.append(_Piece(one, begin, end))
                begin = end
            if end < one.end:
                break
            at, passed = at + 1, passed + size
            begin = segments[at].begin if at < len(segments) else 0
            if inside <= size:
                break
        works.append(pieces)
    return works


def _table(rows: int, works: list[list[_Piece]], shared_works: list[list[_Piece]]) -> Works:
    counts = np.zeros(rows + 1, np.int32)
    for pieces in (*works, *shared_works):
        for piece in pieces:
            for row in piece.segment.rows:
                counts[row + 1] += 1
    work_rows = np.cumsum(counts, dtype=np.int32)
    part = work_rows.tolist()
    own_items = sum(map(len, works))
    shared_items = sum(map(len, shared_works))
    item = len(works) + len(shared_works)
    named = item + own_items + shared_items  # where rows of shared pieces are named
    headers: list[tuple[int, int, int, int]] = []
    for pieces in (*works, *shared_works):
        headers.append((item, item + len(pieces), 0, 0))
        item += len(pieces)
    own: list[tuple[int, int, int, int]] = []
    common: list[tuple[int, int, int, int]] = []
    names: list[tuple[int, int, int, int]] = []
    saved = 0
    # Shared pieces first: a row's parts follow one another as its positions do.
    for piece in (piece for pieces in shared_works for piece in pieces):
        sharers = piece.segment.rows
        common.append((named + len(names), piece.begin, piece.end, len(sharers)))
        saved += (len(sharers) - 1) * (piece.end - piece.begin)
        for row in sharers:
            names.append((row, part[row], 0, 0))
            part[row] += 1
    for piece in (piece for pieces in works for piece in pieces):
        (row,) = piece.segment.rows
        own.append((row, piece.begin, piece.end, part[row]))
        part[row] += 1
    table = np.array([*headers, *own, *common, *names], np.int32)
    return Works(table, work_rows, len(works), len(shared_works), saved)
