"""Search rules for the functions that TVM schedules: how one may be mapped to workgroups.

A space schedules a function with choices left open (`sample_perfect_tile`, `sample_categorical`),
which MetaSchedule draws; `@space` puts it into the table. A space of your own, in a file that
`webbuild tune --rules FILE` names, needs no more than that. The axis of tokens has no known size,
so nothing is sampled from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir import Schedule

from webbuild.compile.traces import copied

from .runner import Adapter

#: Loops up to so many steps are written out.
_UNROLL = (0, 16, 64)


@dataclass(frozen=True)
class Work:
    """The blocks that a space schedules: what else there was is part of them already.

    reductions: in order; output: the last block, where that is no reduction.
    """

    reductions: tuple[Any, ...]
    output: Any | None


Space = Callable[[Schedule, Work, Adapter], bool]
"""Schedules the function; False if it has no idea how."""

_SPACES: list[Space] = []


def space(function: Space) -> Space:
    """Registers a space."""
    _SPACES.append(function)
    return function


def schedules(
    function: tirx.PrimFunc, adapter: Adapter, seed: int, problems: list[str]
) -> list[Schedule]:
    """One schedule for each space that knows the function.

    problems: gets a line for each space that TVM stopped.
    """
    found = []
    for number, attempt in enumerate(_SPACES):
        schedule = Schedule(tvm.IRModule({"main": copied(function)}), seed=seed + number)
        try:
            if attempt(schedule, _inlined(schedule), adapter):
                found.append(schedule)
        except (
            RuntimeError
        ) as error:  # TVM's errors: the last line says why, after the whole module
            problems.append(f"{attempt.__name__} fails: {str(error).strip().splitlines()[-1]}")
    return found


def _inlined(schedule: Schedule) -> Work:
    """Inlines every block that is no reduction and not the last."""
    blocks = list(schedule.get_child_blocks(schedule.get_sblock("root", "main")))
    reductions = []
    for number, block in enumerate(blocks):
        kinds = {one.iter_type for one in schedule.get(block).iter_vars}
        if tirx.IterVar.CommReduce in kinds:
            reductions.append(block)
        elif number < len(blocks) - 1:
            schedule.compute_inline(block)
    output = None if reductions and reductions[-1] is blocks[-1] else blocks[-1]
    return Work(tuple(reductions), output)


def _known(schedule: Schedule, loop: Any) -> bool:
    return isinstance(schedule.get(loop).extent, tirx.IntImm)


def _choice(schedule: Schedule, options: tuple[int, ...]) -> Any:
    return schedule.sample_categorical(list(options), [1 / len(options)] * len(options))


def _unroll(schedule: Schedule, loop: Any) -> None:
    schedule.annotate(loop, "pragma_auto_unroll_max_step", _choice(schedule, _UNROLL))
    schedule.annotate(loop, "pragma_unroll_explicit", 1)


# --- shipped spaces ------------------------------------------------------------------------------


@space
def element_wise(schedule: Schedule, work: Work, adapter: Adapter) -> bool:
    """An invocation writes a few elements, side by side or a workgroup's width apart."""
    if work.reductions or work.output is None:
        return False
    fused = schedule.fuse(*schedule.get_loops(work.output))
    threads = _choice(schedule, (32, 64, 128, 256))
    block, lane, part = schedule.split(fused, [None, threads, _choice(schedule, (1, 2, 4, 8))])
    schedule.bind(block, "blockIdx.x")
    schedule.bind(lane, "threadIdx.x")
    _unroll(schedule, part)
    return True


@space
def rows(schedule: Schedule, work: Work, adapter: Adapter) -> bool:
    """An invocation sums up whole rows of a product, several at once."""
    found = _product(schedule, work)
    if found is None:
        return False
    token, row, column = found
    block, lane, part = schedule.split(
        row, schedule.sample_perfect_tile(row, 3, max_innermost_factor=8)
    )
    outer, inner = schedule.split(
        column, schedule.sample_perfect_tile(column, 2, max_innermost_factor=64)
    )
    schedule.reorder(token, block, lane, outer, part, inner)
    schedule.bind(token, "blockIdx.y")
    schedule.bind(block, "blockIdx.x")
    schedule.bind(lane, "threadIdx.x")
    _finish(schedule, work, lane)
    _unroll(schedule, lane)
    schedule.decompose_reduction(work.reductions[0], outer)
    return True


@space
def teams(schedule: Schedule, work: Work, adapter: Adapter) -> bool:
    """Invocations share a row of a product and add up their parts; software has no use for it."""
    found = None if adapter.software else _product(schedule, work)
    if found is None:
        return False
    token, row, column = found
    block, team = schedule.split(row, schedule.sample_perfect_tile(row, 2, max_innermost_factor=8))
    outer, lane, inner = schedule.split(
        column, [None, _choice(schedule, (8, 16, 32)), _choice(schedule, (1, 4, 8))]
    )
    schedule.reorder(token, block, team, outer, inner, lane)
    schedule.bind(token, "blockIdx.y")
    schedule.bind(block, "blockIdx.x")
    schedule.bind(team, "threadIdx.y")
    schedule.bind(lane, "threadIdx.x")
    _finish(schedule, work, team)
    _unroll(schedule, team)
    return True


def _product(schedule: Schedule, work: Work) -> tuple[Any, Any, Any] | None:
    """The loops over tokens, rows and columns of a matrix product, whose rows nothing else reads;
    None if the function is none."""
    if len(work.reductions) != 1:
        return None
    loops = schedule.get_loops(work.reductions[0])
    if len(loops) != 3 or not all(_known(schedule, loop) for loop in loops[1:]):
        return None
    if work.output is not None:
        extent = schedule.get(schedule.get_loops(work.output)[-1]).extent
        if extent != schedule.get(loops[1]).extent:
            return None
    token, row, column = loops
    return token, row, column


def _finish(schedule: Schedule, work: Work, loop: Any) -> None:
    """What follows the sums, or their way to memory, moves into `loop`."""
    (block,) = work.reductions
    if work.output is None:
        schedule.reverse_compute_at(schedule.cache_write(block, 0, "local"), loop)
    else:
        schedule.set_scope(block, 0, "local")
        schedule.reverse_compute_at(work.output, loop)


@space
def one_row_each(schedule: Schedule, work: Work, adapter: Adapter) -> bool:
    """A workgroup reduces one token's row, then writes it, as a norm does."""
    if not work.reductions or work.output is None or _product(schedule, work) is not None:
        return False
    token, *rest = schedule.get_loops(work.output)
    if not rest or not all(_known(schedule, loop) for loop in rest):
        return False
    threads = _choice(schedule, (8, 16, 32, 64, 128, 256))
    outer, lane = schedule.split(schedule.fuse(*rest), [None, threads])
    schedule.bind(token, "blockIdx.x")
    schedule.bind(lane, "threadIdx.x")
    _unroll(schedule, outer)
    for block in reversed(work.reductions):
        schedule.compute_at(block, token)
        schedule.set_scope(block, 0, "shared")
        column = schedule.get_loops(block)[-1]
        _, part = schedule.split(column, [None, threads])
        schedule.bind(part, "threadIdx.x")
    return True
