"""The search: for each kernel what the rules propose is measured, and the fastest is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import webbuild
from webbuild.schema.check import MAX_GRID, MAX_INVOCATIONS, MAX_WORKGROUP_BYTES
from webgpu_kernels.attrs import OpAttrs, parse
from webgpu_kernels.launch import KernelLaunch, Tier
from webgpu_kernels.records import TuningRecord
from webgpu_kernels.registry import OPS, rows_of
from webgpu_kernels.row import Kernel
from webgpu_kernels.variation import lower_as

from .case import KernelCase, Measurement, Problem
from .problem import problem
from .rules import candidates
from .runner import Adapter, Runner

#: Candidates beside the default in one measurement.
BATCH = 6
#: Candidates that are measured once more, so that luck decides nothing.
FINALISTS = 2
#: What a tuning must win to be preferred to the default: less is noise.
LEAST_GAIN = 1.02


@dataclass(frozen=True)
class Op:
    """A library op as it was asked for."""

    attrs: OpAttrs
    tier: Tier


class Candidates(Protocol):
    """Proposes kernels batch by batch, having heard what the last ones took."""

    seed: int

    def start(self, batch: int) -> None:
        """To be called first. batch: most candidates at a time."""

    def take(self) -> list[KernelCase]:
        """The next candidates; none: there are no more."""

    def hear(self, took: Mapping[str, Measurement]) -> None:
        """What those of the last `take` took, by name."""

    def trace(self, name: str) -> list[Any] | None:
        """What the record of that candidate needs beside its name."""

    def case(self, name: str) -> KernelCase:
        """The candidate once more."""

    def many(self, name: str) -> KernelCase:
        """The candidate on a larger problem, where a winner must not lose."""


@dataclass(frozen=True)
class Job:
    """A kernel to tune: its default and its candidates, as cases on one problem.

    others: all candidates; or `search` proposes them.
    """

    key: str
    tier: Tier
    default: KernelCase
    others: tuple[KernelCase, ...] = ()
    search: Candidates | None = None

    def case(self, name: str) -> KernelCase:
        """The default, or a candidate; of those that `search` has proposed."""
        if self.search is not None:
            return self.search.case(name)
        return next(case for case in (self.default, *self.others) if case.name == name)


@dataclass
class Outcome:
    """What has been found so far; an interruption keeps it."""

    records: list[TuningRecord] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Candidates that failed, and why."""
    skipped: list[str] = field(default_factory=list)
    """Kernels that were not measured, and why."""


def make_op(op: str, attrs: dict[str, object], tier: Tier) -> Op:
    """Raises BadAttributeError."""
    return Op(parse(OPS[op], attrs), tier)


def make_jobs(
    ops: Iterable[Op], adapter: Adapter, rows: Sequence[str], outcome: Outcome
) -> list[Job]:
    """Jobs for the kernels that an adapter can run and that have something to choose from.

    rows: names of kernels; none, all.
    """
    jobs: dict[tuple[str, str], Job] = {}
    for op in ops:
        if not runs_tier(op.tier, adapter, outcome):
            continue
        for row in rows_of(op.attrs):
            if rows and row.name not in rows:
                continue
            job = _job(row, op, adapter, outcome)
            if job is not None:
                jobs.setdefault((job.tier, job.key), job)
    return list(jobs.values())


def runs_tier(tier: Tier, adapter: Adapter, outcome: Outcome) -> bool:
    """Whether the adapter can run a tier; if not, that is noted."""
    if tier == "f16" and "shader-f16" not in adapter.features:
        note(outcome.skipped, "tier f16: the adapter has no shader-f16")
        return False
    return True


def _job(row: Kernel, op: Op, adapter: Adapter, outcome: Outcome) -> Job | None:
    tunings = candidates(row, op.attrs, op.tier, adapter)
    if len(tunings) < 2:
        return None
    lowered = [
        (tuning.name, launches[0])
        for tuning in tunings
        if (launches := lower_as(row, tuning, op.attrs, op.tier))
    ]
    base = lowered[0][1]
    given = problem(op.attrs, op.tier, base.rows)
    if given is None or any(binding.name not in given.arrays for binding in base.bindings):
        note(
            outcome.skipped, f"{row.name}: not tuned, as nobody has written how to make its inputs"
        )
        return None
    cases = list(_cases(lowered, given, adapter))
    if len(cases) < 2:
        return None
    return Job(base.tuning_key, op.tier, cases[0], tuple(cases[1:]))


def _cases(
    lowered: Iterable[tuple[str, KernelLaunch]], given: Problem, adapter: Adapter
) -> Iterator[KernelCase]:
    """One case for each different kernel that WebGPU's limits and the adapter allow."""
    seen = set()
    for name, launch in lowered:
        x, y, z = launch.workgroup_size
        if x * y * z > MAX_INVOCATIONS or launch.workgroup_bytes > MAX_WORKGROUP_BYTES:
            continue
        if not adapter.features.issuperset(launch.features):
            continue
        case = KernelCase.of(name, launch, given)
        same = (case.wgsl, case.grid, case.params)
        if same not in seen and max(case.grid) <= MAX_GRID:
            seen.add(same)
            yield case


async def search(
    runner: Runner,
    jobs: Sequence[Job],
    seconds: float,
    outcome: Outcome,
    done: Callable[[str], None],
) -> None:
    """Measures jobs, one after another, each with its share of the time; `done` hears of each.

    At least one batch of each job is measured. Raises what the runner raises.
    """
    end = time.monotonic() + seconds
    for index, job in enumerate(jobs):
        share = max(0.0, end - time.monotonic()) / (len(jobs) - index)
        record, refused = await _tune(runner, job, share)
        outcome.refused += refused
        if record is None:
            outcome.skipped.append(f"{job.key}: {job.default.name} itself fails here")
            done(f"{job.tier} {job.key}: not tuned")
            continue
        outcome.records.append(record)
        gain = record.baseline / record.microseconds
        done(f"{job.tier} {job.key}: {record.tuning}, {gain:.2f}× the default")


async def _tune(runner: Runner, job: Job, seconds: float) -> tuple[TuningRecord | None, list[str]]:
    end = time.monotonic() + seconds
    refused: list[str] = []
    #: Time relative to the default of the same measurement, by candidate.
    ratios: dict[KernelCase, float] = {}
    for batch in _batches(job):
        began = time.monotonic()
        base, *took = await _measure(runner, [job.default, *batch])
        if base.seconds is None:
            return None, [*refused, f"{job.key}: {base.failure}"]
        for case, one in zip(batch, took, strict=True):
            if one.seconds is None:
                refused.append(f"{job.key}: {one.failure}")
            else:
                ratios[case] = one.seconds / base.seconds
        if job.search is not None:
            job.search.hear({case.name: one for case, one in zip(batch, took, strict=True)})
        now = time.monotonic()
        if 2 * now - began > end:  # the final takes about as long as a batch
            break
    finalists = sorted(ratios, key=lambda case: ratios[case])[:FINALISTS]
    if job.search is not None:
        finalists = [one for one in finalists if await _holds(runner, job.search, one, refused)]
    base, *took = await _measure(runner, [job.default, *finalists])
    if base.seconds is None:
        return None, [*refused, f"{job.key}: {base.failure}"]
    best, best_seconds = _best(job.default, base.seconds, list(zip(finalists, took, strict=True)))
    kind = runner.adapter.kind
    trace = job.search.trace(best.name) if job.search else None
    record = TuningRecord(
        vendor=kind.vendor,
        architecture=kind.architecture,
        tier=job.tier,
        key=job.key,
        tuning=best.name,
        microseconds=round(best_seconds * 1e6, 3),
        baseline=round(base.seconds * 1e6, 3),
        version=webbuild.__version__,
        trace=tuple(trace) if trace else None,
        seed=job.search.seed if job.search and trace else None,
    )
    return record, refused


def _batches(job: Job) -> Iterator[Sequence[KernelCase]]:
    """Candidates, as many at a time as are measured together."""
    if job.search is None:
        for start in range(0, len(job.others), BATCH):
            yield job.others[start : start + BATCH]
        return
    job.search.start(BATCH)
    while batch := job.search.take():
        yield batch


async def _holds(runner: Runner, search: Candidates, case: KernelCase, refused: list[str]) -> bool:
    """Whether a candidate is no slower than the default where there is more to do."""
    base, one = await _measure(runner, [search.many("default"), search.many(case.name)])
    if base.seconds is None or one.seconds is None:
        refused.append(f"{case.name} on more tokens: {one.failure or base.failure}")
        return False
    return one.seconds <= base.seconds


async def _measure(runner: Runner, cases: Sequence[KernelCase]) -> list[Measurement]:
    result = await runner.measure(cases)
    await asyncio.sleep(0)  # where Ctrl-C takes effect, though the runner never waits
    return result


def _best(
    default: KernelCase, base: float, took: Sequence[tuple[KernelCase, Measurement]]
) -> tuple[KernelCase, float]:
    right = [(case, one.seconds) for case, one in took if one.seconds is not None]
    case, seconds = min(right, key=lambda pair: pair[1], default=(default, base))
    return (case, seconds) if base / seconds >= LEAST_GAIN else (default, base)


def note(notes: list[str], text: str) -> None:
    """Adds a line that is not there yet."""
    if text not in notes:
        notes.append(text)
