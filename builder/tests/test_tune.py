"""The search for tunings: what is measured, what is recorded, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import click
import numpy as np
import pytest
from rich.console import Console
from yarl import URL

from webbuild.browser import open_browser
from webbuild.cli import run
from webbuild.errors import BenchmarkFailedError, InvalidOptionError, OutputNotWritableError
from webbuild.pack import Reporter
from webbuild.reference import Case, prepare
from webbuild.schema.folder import PackFolder
from webbuild.schema.tuning import AdapterKind
from webbuild.tune import RunnerOptions, TuneOptions, command, rules, tune
from webbuild.tune.array import Array, hashed
from webbuild.tune.case import KernelCase, Measurement
from webbuild.tune.command import parse_shape
from webbuild.tune.open_runner import Place, open_runner
from webbuild.tune.page_agent import page_agent
from webbuild.tune.problem import problem
from webbuild.tune.runner import Adapter, Runner
from webbuild.tune.search import BATCH, FINALISTS, Job, Outcome, make_jobs, search
from webgpu_kernels.attrs import KvStore
from webgpu_kernels.records import read_records
from webgpu_kernels.registry import rows_of
from webgpu_kernels.variation import lower_as, named, vary

ROOT = Path(__file__).parents[2]
SHAPE = "linear mode=gemv quant=q4 N=40 K=64"
ADAPTER = Adapter(AdapterKind("acme", "one"), "Acme One", frozenset(("shader-f16",)), True)


class FakeRunner:
    """Takes times and differences from tables, by the names of cases."""

    def __init__(
        self, seconds: dict[str, float] | None = None, failures: dict[str, str] | None = None
    ) -> None:
        self.adapter = ADAPTER
        self.seconds = seconds or {}
        self.failures = failures or {}
        self.calls: list[list[str]] = []
        self.stop_after: int | None = None

    async def measure(self, cases: Sequence[KernelCase]) -> list[Measurement]:
        if self.stop_after is not None and len(self.calls) == self.stop_after:
            signal.raise_signal(signal.SIGINT)
        self.calls.append([case.name for case in cases])
        return [
            Measurement(None, failure=self.failures[case.name])
            if case.name in self.failures
            else Measurement(self.seconds.get(case.name, 1.0), 1.0)
            for case in cases
        ]


def case(name: str) -> KernelCase:
    return KernelCase(
        name, "", "main", (), ("read_write",), (Array(4, "nan"),), (0,), (), (1, 1, 1)
    )


def job(others: Sequence[str], key: str = "gemv N=1") -> Job:
    return Job(key, "f32", case("default"), tuple(map(case, others)))


def searched(runner: FakeRunner, jobs: Sequence[Job], seconds: float = 1e9) -> Outcome:
    outcome = Outcome()
    asyncio.run(search(runner, jobs, seconds, outcome, lambda name: None))
    return outcome


# --- the search ----------------------------------------------------------------------------------


def test_the_fastest_is_recorded_after_a_final() -> None:
    names = [f"n{i}" for i in range(BATCH + 2)]
    runner = FakeRunner({"default": 2.0, "n7": 0.5, "n1": 0.75})
    (record,) = searched(runner, [job(names)]).records
    assert runner.calls == [
        ["default", *names[:BATCH]],
        ["default", *names[BATCH:]],
        ["default", "n7", "n1"],
    ]
    assert len(runner.calls[-1]) == 1 + FINALISTS
    assert (record.tuning, record.microseconds, record.baseline) == ("n7", 0.5e6, 2e6)
    assert (record.vendor, record.architecture, record.tier) == ("acme", "one", "f32")


def test_a_gain_within_the_noise_keeps_the_default() -> None:
    (record,) = searched(FakeRunner({"n0": 0.99}), [job(["n0"])]).records
    assert (record.tuning, record.microseconds) == ("default", 1e6)


def test_a_wrong_candidate_is_refused_by_name_however_fast() -> None:
    runner = FakeRunner({"n1": 0.9}, {"n0": "n0 computes something else: off by 1"})
    outcome = searched(runner, [job(["n0", "n1"])])
    assert [record.tuning for record in outcome.records] == ["n1"]
    assert outcome.refused == ["gemv N=1: n0 computes something else: off by 1"]


def test_without_a_right_default_nothing_is_recorded() -> None:
    runner = FakeRunner(failures={"default": "default does not compile: 7"})
    outcome = searched(runner, [job(["n0"])])
    assert outcome.records == []
    assert "does not compile" in outcome.refused[0]


def test_out_of_time_every_job_still_gets_a_batch() -> None:
    runner = FakeRunner()
    jobs = [job([f"n{i}" for i in range(3 * BATCH)], key) for key in ("a N=1", "b N=1")]
    outcome = searched(runner, jobs, seconds=0)
    assert [record.key for record in outcome.records] == ["a N=1", "b N=1"]
    assert len(runner.calls) == 4


# --- rules ---------------------------------------------------------------------------------------


def test_a_rule_is_all_that_a_search_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_RULES", list(rules._RULES))
    file = tmp_path / "mine.py"
    file.write_text(
        "from webbuild.tune.rules import ROWS, rule, sweep\n"
        "@rule('gemm')\n"
        "def mine(attrs, tier, adapter):\n"
        "    row = ROWS['gemm']\n"
        "    yield from sweep(row, row.tunings[0].name, rows=(attrs.N,))\n"
    )
    op = "linear mode=gemm quant=q4 N=48 K=64"
    runner = FakeRunner()
    run_tune(tmp_path, monkeypatch, runner, shapes=(op,), rules=(file,))
    base = rules.ROWS["gemm"].tunings[0].name
    assert any(f"{base}:rows=48" in call for call in runner.calls)


def test_rules_for_unknown_kernels_are_refused() -> None:
    with pytest.raises(KeyError, match="no kernel is called gone"):
        rules.rule("gone")


def test_jobs_hold_each_different_kernel_once() -> None:
    ops = [parse_shape(SHAPE, "f32"), parse_shape(SHAPE, "f32"), parse_shape(SHAPE, "f16")]
    outcome = Outcome()
    jobs = make_jobs(ops, replace(ADAPTER, features=frozenset()), (), outcome)
    assert [found.tier for found in jobs] == ["f32"]
    assert outcome.skipped == ["tier f16: the adapter has no shader-f16"]
    (found,) = jobs
    kernels = [(one.wgsl, one.grid) for one in (found.default, *found.others)]
    assert len(set(kernels)) == len(kernels) > 2
    assert all("subgroups" not in one.features for one in found.others)


# --- the command ---------------------------------------------------------------------------------


def run_tune(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    runner: FakeRunner,
    shapes: tuple[str, ...] = (SHAPE,),
    rules: tuple[Path, ...] = (),
    pack: Path | None = None,
    ops: tuple[str, ...] = (),
) -> tuple[Outcome, str]:
    @contextlib.asynccontextmanager
    async def opened(options: RunnerOptions, say: object) -> AsyncIterator[FakeRunner]:
        yield runner

    monkeypatch.setattr(command, "open_runner", opened)
    text = io.StringIO()
    options = TuneOptions(
        pack, shapes, RunnerOptions(), ops, "f32", out=folder / "db.json", rules=rules
    )
    try:
        return tune(options, Reporter(Console(file=text))), text.getvalue()
    except click.exceptions.Exit as exit_:
        assert exit_.exit_code == 130
        return Outcome(), text.getvalue()


def test_records_are_merged_into_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SHAPE.replace("K=64", "K=128")
    run_tune(tmp_path, monkeypatch, FakeRunner())
    _, text = run_tune(tmp_path, monkeypatch, FakeRunner(), shapes=(other, SHAPE))
    assert [record.key for record in read_records(tmp_path / "db.json")] == [
        "gemv_q4 N=40 K=128",
        "gemv_q4 N=40 K=64",
    ]
    assert "Tuning 1/2: f32 gemv_q4 N=40 K=128" in text
    assert "Tuning 2/2: f32 gemv_q4 N=40 K=64" in text


@pytest.mark.parametrize("kv", ["float", "int8"])
def test_what_is_tuned_is_what_the_pack_runs(
    kv: KvStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pack = prepare(Case("llama-gqa", "q4f16_1", kv=kv), tmp_path)
    outcome, _ = run_tune(tmp_path, monkeypatch, FakeRunner(), (), pack=pack, ops=tuple(rules.ROWS))
    kernels = PackFolder.open(pack).kernels.kernels.values()
    tuned = {record.key for record in outcome.records}
    assert any("attention_prefill" in key for key in tuned)
    assert tuned <= {kernel.tuning_key for kernel in kernels}


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner()
    first = SHAPE.replace("K=64", "K=128")
    calls = len(_calls_of(first))
    runner.stop_after = calls + 1
    _, text = run_tune(tmp_path, monkeypatch, runner, shapes=(first, SHAPE))
    (record,) = read_records(tmp_path / "db.json")
    assert record.key == "gemv_q4 N=40 K=128"
    assert "interrupted: 1 records kept" in text


def test_ctrl_c_ends_the_command_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def opened(options: RunnerOptions, say: object) -> AsyncIterator[FakeRunner]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(command, "open_runner", opened)
    assert run(["tune", "--shape", SHAPE, "-o", str(tmp_path / "db.json")]) == 130


def _calls_of(shape: str) -> list[list[str]]:
    runner = FakeRunner()
    searched(runner, make_jobs([parse_shape(shape, "f32")], ADAPTER, (), Outcome()))
    return runner.calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a PACK"),
        (["--shape", "bake N=3"], "no op is called bake"),
        (["--shape", "linear N"], "no NAME=VALUE"),
        (["--shape", "linear mode=gemv quant=q4 N=4 K=33"], "multiple of 32"),
        (["--shape", "linear mode=gemv colour=3"], "colour"),
        (["--shape", SHAPE, "--ops", "bake"], "no kernel is called bake"),
        (["--shape", SHAPE, "--tier", "f64"], "f16 or f32"),
        (["--shape", SHAPE, "--rules", "gone.py"], "no such file"),
    ],
)
def test_bad_options(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["tune", *arguments, "--out", str(tmp_path / "db.json")]) == 2
    error = capsys.readouterr().err
    assert "error[InvalidOptionError]" in error
    assert words in error


def test_rules_that_fail_are_refused_by_name(tmp_path: Path) -> None:
    rules = tmp_path / "rules.py"
    rules.write_text("this is no Python")
    options = TuneOptions(None, (SHAPE,), RunnerOptions(), out=tmp_path / "db", rules=(rules,))
    with pytest.raises(InvalidOptionError, match=r"rules\.py: SyntaxError: .*mend the file"):
        tune(options, Reporter(quiet=True))


def test_records_that_could_not_be_kept_are_not_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = TuneOptions(None, (SHAPE,), RunnerOptions(), out=tmp_path / "file" / "db.json")
    with pytest.raises(OutputNotWritableError, match=r"cannot write .*db\.json"):
        tune(options, Reporter(quiet=True))


def test_a_broken_database_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "db.json"
    path.write_text("{}")
    with pytest.raises(InvalidOptionError, match=r"db\.json holds no tuning records"):
        tune(TuneOptions(None, (SHAPE,), RunnerOptions(), out=path), Reporter(quiet=True))
    assert path.read_text() == "{}"


# --- arrays --------------------------------------------------------------------------------------


def test_arrays_are_those_of_the_page() -> None:
    """The same numbers stand in runtime_js/src/bench/fill.test.ts."""
    assert hashed(3, 1).tolist() == [33350994, 2672842292, 127880910]
    f32 = Array(1000, "f32", 2).contents().view("<f4")
    assert f32.min() >= -1
    assert f32.max() < 1
    assert 0.4 < f32.std() < 0.7
    f16 = np.abs(Array(1000, "f16", 3).contents().view("<f2"))
    assert (f16 >= 2**-7).all()
    assert (f16 < 2**-6).all()
    assert np.isnan(Array(4, "nan").contents().view("<f4")).all()
    assert Array.of([1, -1]).contents().tolist() == [1, 2**32 - 1]


# --- on a device ---------------------------------------------------------------------------------


def _cases() -> list[KernelCase]:
    op = parse_shape(SHAPE, "f32")
    (row,) = rows_of(op.attrs)
    given = problem(op.attrs, "f32", None)
    assert given is not None
    tuning = vary(row, "default", team_rows=8)
    cases = []
    for one in (row.tunings[0], tuning):
        launches = lower_as(row, one, op.attrs, "f32")
        assert launches is not None
        cases.append(KernelCase.of(one.name, launches[0], given))
    return cases


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's benchmark, bundled from its sources."""
    folder = tmp_path_factory.mktemp("runtime")
    arguments = ["--bundle", "--format=esm", f"--outfile={folder}/bench.js", "--log-level=error"]
    entry = ROOT / "runtime_js" / "src" / "bench" / "index.ts"
    esbuild = ROOT / "node_modules" / ".bin" / "esbuild"
    subprocess.run([esbuild, entry, *arguments], check=True, cwd=ROOT)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@contextlib.asynccontextmanager
async def opened_runner(place: Place, runtime: Path) -> AsyncIterator[Runner]:
    """A runner; where it waits for a browser, one that opens the printed URL."""
    with contextlib.ExitStack() as browsers:

        def say(text: str) -> None:
            if "http://" in text:
                browsers.enter_context(open_browser(text.split(" ")[1]))

        async with open_runner(RunnerOptions(place, runtime), say) as runner:
            yield runner


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["wgpu", "dawn", "browser"])
def test_every_runner_measures_and_refuses(
    place: Place, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    default, right = _cases()
    y = default.access.index("read_write")
    silent = replace(right, name="silent", wgsl="@compute @workgroup_size(1) fn main() {}")
    zeros = replace(
        right,
        name="zeros",
        wgsl=f"@group(0) @binding({y}) var<storage, read_write> y: array<f32>;\n"
        "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3<u32>) "
        "{ y[i.x] = 0.0; }",
    )
    broken = replace(right, name="broken", wgsl="fn main( {")

    async def measured() -> tuple[Adapter, list[Measurement], list[Measurement]]:
        async with opened_runner(place, runtime) as runner:
            first = await runner.measure([default, right, silent, zeros, broken])
            return runner.adapter, first, await runner.measure([default, right])

    adapter, got, again = asyncio.run(measured())
    assert [one.seconds is not None for one in got] == [True, True, False, False, False]
    assert [one.seconds is not None for one in again] == [True, True]
    assert got[1].difference < 1e-5
    silence, wrong, syntax = (one.failure or "" for one in got[2:])
    assert silence.startswith("silent computes something else")
    assert wrong.startswith("zeros computes something else")
    assert "broken does not compile" in syntax
    assert adapter.kind.vendor


@pytest.mark.gpu
def test_wgpu_names_what_the_adapter_lacks() -> None:
    from webbuild.tune.wgpu_runner import WgpuRunner

    default, right = _cases()
    lacking = replace(right, features=("time-travel",))
    _, got = asyncio.run(WgpuRunner(samples=1).measure([default, lacking]))
    assert got.failure == f"{right.name} needs time-travel"


def test_the_page_is_behind_a_secret(tmp_path: Path) -> None:
    """Loopback; nothing but the path that is printed answers; a second page is sent away."""

    async def visited() -> tuple[list[int], str, int | None]:
        said: list[str] = []
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def say(text: str) -> None:
            said.append(text)
            url.set_result(text.split(" ")[1])

        async def serve() -> None:
            async with page_agent(tmp_path, say) as agent:
                with pytest.raises(BenchmarkFailedError, match="the page went away"):
                    await agent.call("kernels", {})

        serving = asyncio.create_task(serve())
        found = URL(await url)
        async with aiohttp.ClientSession() as session:
            outside = [
                found.with_path("/"),
                found.with_path("/guess/"),
                found.with_path("/channel"),
            ]
            codes = []
            for address in (found, *outside):
                async with session.get(address) as response:
                    codes.append(response.status)
            page = await session.ws_connect(found / "channel")
            second = await session.ws_connect(found / "channel")
            message = await second.receive()
            asked = await page.receive_json()
            await page.close()
            await serving
            assert asked["method"] == "kernels"
            return codes, found.host or "", message.data

    codes, host, closed = asyncio.run(visited())
    assert (codes, host, closed) == ([200, 404, 404, 404], "127.0.0.1", 1000)


@pytest.mark.gpu
def test_a_record_replays_to_the_kernel_that_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "db.json"
    arguments = ["tune", "--shape", SHAPE, "--tier", "f32", "--seconds", "0", "-q"]
    assert run([*arguments, "--ops", "gemv", "--out", str(out)]) == 0
    (record,) = read_records(out)
    op = parse_shape(SHAPE, "f32")
    (row,) = rows_of(op.attrs)
    tuning = named(row, record.tuning)
    assert tuning is not None
    from webbuild.tune.wgpu_runner import WgpuRunner

    (found,) = make_jobs([op], WgpuRunner().adapter, (), Outcome())
    measured = next(c for c in (found.default, *found.others) if c.name == record.tuning)
    launches = lower_as(row, tuning, op.attrs, "f32")
    assert launches is not None
    assert (launches[0].wgsl, launches[0].tuning_key) == (measured.wgsl, record.key)
