"""MetaSchedule's traces of TVM's functions: drawn, measured, kept, and applied once more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webbuild.cli import run
from webbuild.compile import Compiled, compile_model
from webbuild.compile.pipeline import TvmOp, retraced
from webbuild.compile.traces import replay, tuning_of
from webbuild.native import NativeModel
from webbuild.native.choose import advice_of, choose_kernels
from webbuild.native.device import open_device
from webbuild.reference import TINY
from webbuild.reference.tiny import write_tiny
from webbuild.schema.tuning import AdapterKind
from webbuild.tune import spaces
from webbuild.tune.case import KernelCase, Measurement
from webbuild.tune.runner import Adapter
from webbuild.tune.search import BATCH, Outcome, search
from webbuild.tune.trace_search import TraceSearch, make_tvm_jobs
from webgpu_kernels.records import TuningRecord, read_records, write_records

ADAPTER = Adapter(AdapterKind("acme", "one"), "Acme One", frozenset(("shader-f16",)), False)
MODEL = "qwen3"  # its norm of q and k gives one function more


def compiled(*records: TuningRecord) -> Compiled:
    return compile_model(TINY[MODEL], "q4f16_1", library=False, records=records)


plain = cache(compiled)


def op_of(name: str, tier: str = "f32") -> TvmOp:
    return next(op for op in plain().tvm_ops if op.name == name and op.tier == tier)


TUNABLE = ("rms_norm", "qk_norm", "linear", "fused_linear1_add", "fused_split_silu_multiply")


class Clock:
    """A runner without a device: the candidates that come later are the faster ones."""

    def __init__(self, lose_on_more_tokens: bool = False) -> None:
        self.adapter = ADAPTER
        self.grids: dict[str, set[Any]] = {}
        self.order: list[str] = ["default"]
        self.lose = lose_on_more_tokens

    async def measure(self, cases: Sequence[KernelCase]) -> list[Measurement]:
        many = cases[0].params != (1,)
        result = []
        for case in cases:
            if case.name not in self.order:
                self.order.append(case.name)
            rank = self.order.index(case.name)
            result.append(Measurement(1 + rank if many and self.lose else 1 / (1 + rank), 1.0))
        return result


def found(op: TvmOp, runner: Clock, seconds: float = 0.0) -> TuningRecord:
    outcome = Outcome()
    jobs = make_tvm_jobs([op], ADAPTER, 7, outcome)
    asyncio.run(search(runner, jobs, seconds, outcome, lambda line: None))
    (record,) = outcome.records
    return record


def test_the_same_seed_draws_the_same_traces() -> None:
    def drawn(seed: int) -> list[KernelCase]:
        one = TraceSearch(op_of("rms_norm"), ADAPTER, seed)
        one.start(BATCH)
        batches = []
        for _ in range(2):
            batch = one.take()
            one.hear({case.name: Measurement(1 / len(case.wgsl), 1.0) for case in batch})
            batches += batch
        return batches

    first = drawn(7)
    assert drawn(7) == first
    assert drawn(8) != first


@pytest.mark.parametrize("name", TUNABLE)
def test_a_trace_replays_to_the_kernel_that_was_measured(name: str, tmp_path: Path) -> None:
    """From the record alone, as a file holds it; and in a pack, byte for byte."""
    op = op_of(name)
    searched = TraceSearch(op, ADAPTER, 7)
    searched.start(BATCH)
    kernels = {case.name: case.wgsl for case in searched.take()}
    record = found(op, Clock())
    assert record.tuning in kernels
    write_records(tmp_path / "db.json", [record])
    (read,) = read_records(tmp_path / "db.json")
    assert (read, read.seed) == (record, 7)
    assert read.trace is not None
    assert tuning_of(read.trace) == read.tuning
    again = retraced(op.name, op.function, op.default, read.trace)
    assert again is not None
    assert again.kernel.wgsl == kernels[read.tuning]
    packed = compiled(read).kernels.kernels.values()
    (kernel,) = [one for one in packed if one.tuning == read.tuning]
    assert (kernel.wgsl, kernel.tuning_key) == (again.kernel.wgsl, op.key)


def test_a_pack_holds_the_traced_kernel_and_executors_take_it() -> None:
    record = found(op_of("linear"), Clock())
    result = compiled(record)
    kernels = result.kernels.kernels
    assert [one.tuning for one in result.kernels.records] == [record.tuning]
    tier = result.program.tiers["f32"]
    default = [kernels[one.kernel].tuning_key for one in tier.functions["decode"].launches]
    for vendor, count in (("acme", default.count(record.key)), ("other", 0)):
        kind = AdapterKind(vendor, "one")
        advice = advice_of(result.kernels.records, kind, "f32", kernels.values())
        chosen = choose_kernels(tier, kernels, set(), False, advice)
        launches = chosen.functions["decode"].launches
        tunings = [kernels[one.kernel].tuning for one in launches]
        assert len(tunings) > count
        assert tunings.count(record.tuning) == count


def test_a_trace_of_another_function_is_passed_over() -> None:
    record = found(op_of("rms_norm"), Clock())
    assert record.trace is not None
    assert replay(op_of("linear").function, record.trace) is None
    assert replay(op_of("rms_norm").function, [[["NoSuchStep", [], [], []]], []]) is None
    stray = record.model_copy(update={"key": op_of("linear").key})
    assert compiled(stray).program == plain().program


def test_functions_are_not_changed_by_what_is_tried_on_them() -> None:
    for name in TUNABLE:
        op = op_of(name)
        before = op.function.script()
        found(op, Clock())
        assert op.function.script() == before


def test_a_winner_that_loses_on_more_tokens_is_none() -> None:
    record = found(op_of("linear"), Clock(lose_on_more_tokens=True))
    assert (record.tuning, record.trace, record.seed) == ("default", None, None)


def test_what_cannot_be_tuned_is_named() -> None:
    outcome = Outcome()
    jobs = make_tvm_jobs(plain().tvm_ops, ADAPTER, 1, outcome)
    assert {job.tier for job in jobs} == {"f16", "f32"}
    names = {line.split(" ")[0].split(".")[1] for line in outcome.skipped}
    assert names == {"resolve", "take_rows", "take", "rope_append", "attention"}
    bare = Adapter(ADAPTER.kind, "", frozenset(), True)
    assert {job.tier for job in make_tvm_jobs(plain().tvm_ops, bare, 1, Outcome())} == {"f32"}


def test_a_space_is_all_that_a_search_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "_SPACES", [])
    assert make_tvm_jobs([op_of("linear")], ADAPTER, 1, Outcome()) == []

    @spaces.space
    def mine(schedule: Any, work: spaces.Work, adapter: Adapter) -> bool:
        token, row, _ = schedule.get_loops(work.reductions[0])
        block, lane = schedule.split(row, schedule.sample_perfect_tile(row, 2, 40))
        schedule.bind(token, "blockIdx.y")
        schedule.bind(block, "blockIdx.x")
        schedule.bind(lane, "threadIdx.x")
        return True

    record = found(op_of("linear"), Clock())
    assert record.trace is not None
    assert "SamplePerfectTile" in json.dumps(record.trace)


def test_a_space_that_tvm_stops_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def crooked(schedule: Any, work: spaces.Work, adapter: Adapter) -> bool:
        schedule.fuse(*reversed(schedule.get_loops(work.reductions[0])))
        return True

    monkeypatch.setattr(spaces, "_SPACES", [crooked, *spaces._SPACES])
    outcome = Outcome()
    op = op_of("linear")
    assert len(make_tvm_jobs([op], ADAPTER, 1, outcome)) == 1
    (line,) = outcome.skipped
    assert line.startswith(f"{op.key}: crooked fails: Error message: ")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "tier"), [("linear", "f16"), *((name, "f32") for name in TUNABLE)]
)
def test_candidates_of_every_space_give_the_default_result(name: str, tier: str) -> None:
    from webbuild.tune.wgpu_runner import WgpuRunner

    runner = WgpuRunner(samples=1)
    if tier == "f16" and "shader-f16" not in runner.adapter.features:
        pytest.skip("the adapter has no shader-f16")
    # Spaces as for a GPU: those for software are fewer.
    searched = TraceSearch(op_of(name, tier), ADAPTER, 3)
    searched.start(BATCH)
    names = [case.name for case in searched.take()]
    assert names
    for cases in (
        [searched.default, *searched.take()],
        [searched.many(one) for one in ("default", *names)],
    ):
        for one in asyncio.run(runner.measure(cases)):
            assert one.failure is None
            assert one.difference < 1e-5


@pytest.mark.gpu
def test_a_pack_with_traces_gives_the_same_logits(tmp_path: Path) -> None:
    kind = open_device().kind
    records = [
        found(op_of(name), Clock()).model_copy(
            update={"vendor": kind.vendor, "architecture": kind.architecture}
        )
        for name in TUNABLE
    ]
    write_records(tmp_path / "db.json", records)
    folder = write_tiny(MODEL, tmp_path)
    logits = []
    for name, more in (("plain", []), ("traced", ["--records", str(tmp_path / "db.json")])):
        out = str(tmp_path / name)
        assert run(["pack", str(folder), "-o", out, "--no-library", "-q", *more]) == 0
        model = NativeModel.open(Path(out), "f32")
        sequence = model.sequence()
        model.prefill(sequence, [17, 300, 4, 250, 99])
        model.decode([sequence], [5])
        logits.append(model.logits())
        kernels = model.pack.kernels
        advice = advice_of(kernels.records, kind, "f32", kernels.kernels.values())
        taken = {tuning for tunings in advice.values() for tuning in tunings}
        assert taken == ({record.tuning for record in records} if more else set())
    assert np.abs(logits[0] - logits[1]).max() <= 1e-5 * np.abs(logits[0]).max()
