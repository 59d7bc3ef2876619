"""`webbuild bench` without a browser: options, folding of measurements, tables, trace, plot."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from toy_pack import write_toy_pack
from webbuild.bench.plan import BenchOptions, Case, Plan, Subject, make_plan
from webbuild.bench.plot import write_plot
from webbuild.bench.report import (
    Measured,
    Timeline,
    case_report,
    join_reports,
    load_report,
    profile_report,
    ratios,
    read_report,
    subject_report,
)
from webbuild.bench.table import render
from webbuild.bench.trace import chrome_trace
from webbuild.cli import run
from webbuild.errors import InvalidOptionError
from webbuild.schema.bench_report import BenchReport, SubjectReport
from webbuild.traffic import LaunchTraffic, StepTraffic


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    write_toy_pack(folder)
    return folder


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the names of a built package; nothing here runs it."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in ("index.js", "worker.js", "bench.js"):
        (folder / name).write_text("")
    return folder


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "older"
    folder.mkdir()
    (folder / "index.js").write_text("")
    return folder


# --- options ------------------------------------------------------------------------------------


def limit_of(pack: Path) -> int:
    limits = json.loads((pack / "pack.json").read_text())["limits"]
    return int(limits["context_length"])


def test_default_prompts_are_clipped_to_the_context(pack: Path, runtime: Path) -> None:
    plan = make_plan(BenchOptions((pack,), tokens=4, runtime=runtime))
    most = limit_of(pack) - 4
    assert [case.prompt for case in plan.cases] == sorted({min(n, most) for n in (128, 1024, 4096)})
    assert plan.context_length == max(case.context for case in plan.cases) + 4
    assert plan.method == "engine"


def test_a_context_is_reached_without_prefill(pack: Path, runtime: Path) -> None:
    options = BenchOptions((pack,), prompts=(8,), contexts=(8, 12), tokens=2, runtime=runtime)
    assert make_plan(options).cases == (Case(0, 8, 2), Case(11, 1, 2))


def test_sides(pack: Path, runtime: Path, older: Path) -> None:
    def sides(**options: Any) -> Plan:
        given: dict[str, Any] = {"prompts": (4,), "tokens": 2, "runtime": runtime} | options
        return make_plan(BenchOptions((pack,), **given))

    assert [s.name for s in sides().subjects] == ["a"]
    two = sides(place_b="dawn").subjects
    assert [(s.name, s.place, s.runtime) for s in two] == [
        ("a", "chromium", runtime),
        ("b", "dawn", runtime),
    ]
    compared = sides(runtime_b=older)
    assert [s.runtime for s in compared.subjects] == [runtime, older]
    assert compared.method == "public"
    assert not compared.profile
    native = make_plan(BenchOptions((pack,), place="native", prompts=(4,), tokens=2))
    assert native.subjects[0].runtime is None


@pytest.mark.parametrize(
    ("options", "name", "says"),
    [
        ([], "InvalidOptionError", "one pack, or two"),
        (["PACK", "PACK", "PACK"], "InvalidOptionError", "one pack, or two"),
        (["nowhere"], "NotAPackError", "pack.json"),
        (["PACK", "--tokens", "1"], "InvalidOptionError", "at least 2"),
        (["PACK", "--tokens", "100000"], "InvalidOptionError", "no room for a prompt"),
        (["PACK", "--rounds", "0"], "InvalidOptionError", "--rounds 0"),
        (["PACK", "--prompt", "0"], "InvalidOptionError", "--prompt 0"),
        (["PACK", "--prompt", "4,100000"], "InvalidOptionError", "--prompt 100000"),
        (["PACK", "--prompt", "four"], "Usage", "no list of lengths"),
        (["PACK", "--context", "100000"], "InvalidOptionError", "--context 100000"),
        (["PACK", "--tier", "f64"], "InvalidOptionError", "--tier f64"),
        (["PACK", "--in", "netscape"], "Usage", "netscape"),
        (["PACK", "--plot", "x.jpeg"], "InvalidOptionError", ".svg or .png"),
        (["PACK", "--json", "nowhere/x.json"], "InvalidOptionError", "no folder"),
        (["PACK", "--json", "."], "InvalidOptionError", "cannot be written"),
        (["PACK", "--runtime", "nowhere"], "RuntimeNotFoundError", "index.js"),
        (["PACK", "--runtime", "OLDER"], "RuntimeNotFoundError", "only the second may be older"),
        (["PACK", "--runtime-b", "OLDER", "--context", "8"], "InvalidOptionError", "use --prompt"),
        (
            ["PACK", "--runtime", "RUNTIME", "--runtime-b", "OLDER", "--in-b", "native"],
            "InvalidOptionError",
            "no JavaScript",
        ),
        (["PACK", "--in", "native", "--runtime-b", "OLDER"], "InvalidOptionError", "no JavaScript"),
    ],
)
def test_wrong_options_are_named_before_anything_starts(
    options: list[str],
    name: str,
    says: str,
    pack: Path,
    runtime: Path,
    older: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("a browser was started")

    monkeypatch.setattr("webbuild.bench.run._open_agent", start)
    folders = {"PACK": str(pack), "RUNTIME": str(runtime), "OLDER": str(older)}
    arguments = [folders.get(option, option) for option in options]
    if "--runtime" not in options and "native" not in options:
        arguments += ["--runtime", str(runtime)]
    if "--tokens" not in options:
        arguments += ["--tokens", "2"]
    assert run(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error[{name}]: ")
    assert says in error
    assert error.count("\n") == 1


def test_without_a_browser_the_error_says_so(
    pack: Path, runtime: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBBUILD_ADAPTER", "default")
    monkeypatch.setenv("WEBBUILD_CHROMIUM", "/no/such/browser")
    assert run(["bench", str(pack), "--runtime", str(runtime), "--tokens", "2"]) == 2
    assert "error[BrowserNotFoundError]: WEBBUILD_CHROMIUM names" in capsys.readouterr().err


# --- from answers to a report -------------------------------------------------------------------

TABLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "runtime_js/src/testing/bench_report.json").read_text("utf-8")
)


def traffic_of(row: dict[str, Any] | None) -> StepTraffic | None:
    if row is None:
        return None
    launches = tuple(LaunchTraffic(**launch) for launch in row["launches"])
    return StepTraffic(row["context"], 1, launches, weights=row["weights"], kv=row["kv"])


def steps_of(rows: list[Any]) -> list[dict[str, Any]]:
    names = ("label", "kernel", "begin", "end")
    return [
        {"tokens": tokens, "launches": [dict(zip(names, row, strict=True)) for row in launches]}
        for tokens, *launches in rows
    ]


TRAFFIC = traffic_of(TABLE["cases"][0]["traffic"])


@pytest.mark.parametrize("row", TABLE["cases"], ids=["prompt", "context"])
def test_a_case_counts_its_best_rounds(row: dict[str, Any]) -> None:
    report = case_report(Case(**row["case"]), row["answers"], traffic_of(row["traffic"]))
    assert json.loads(report.model_dump_json()) == row["report"]


@pytest.mark.parametrize("row", TABLE["profiles"], ids=lambda row: str(row["why"]))
def test_a_profile_folds_decode_steps(row: dict[str, Any]) -> None:
    traffic = TRAFFIC if row["counted"] else None
    split, whole = steps_of(row["split"]), steps_of(row["whole"])
    report, launches = profile_report(Case(**row["case"]), split, whole, traffic)
    if row["report"] is None:
        assert report is None
        assert not launches
    else:
        assert report
        assert json.loads(report.model_dump_json()) == row["report"]
        assert launches == split[-1]["launches"]


def test_a_load_has_its_parts() -> None:
    row = TABLE["load"]
    report = load_report(row["start"], row["answer"])
    assert json.loads(report.model_dump_json()) == row["report"]
    assert load_report("cached", {"total": 5, "parts": None}).parts is None


# --- what is written ----------------------------------------------------------------------------


def side(pack: Path, name: str, faster: float) -> SubjectReport:
    first, second = TABLE["cases"]
    answers = [
        answer | {"prefill": answer["prefill"] / faster, "decode": answer["decode"] / faster}
        for answer in (*first["answers"], *second["answers"])
    ]
    loaded = {
        "timestamps": True,
        "info": {
            "model": {"name": "toy"},
            "quantization": "q0f32",
            "tier": "f32",
            "contextLength": 2048,
            "bytes": {"total": 1},
            "adapter": {"vendor": "v", "architecture": "", "description": "gpu", "features": []},
            "launches": {"decode": 2},
        },
    }
    split, whole = (steps_of(TABLE["profiles"][0][key]) for key in ("split", "whole"))
    profile, _ = profile_report(Case(0, 128, 5), split, whole, TRAFFIC)
    return subject_report(
        Subject(name, "chromium", pack, pack, {}),
        "Chrome/1",
        loaded,
        bandwidth={"nbytes": 64, "copy": 2e6, "read": 3e6},
        loads=[load_report("cold", TABLE["load"]["answer"])],
        cases=[
            case_report(Case(**first["case"]), answers[:2], TRAFFIC),
            case_report(Case(**second["case"]), answers[2:], None),
        ],
        profile=profile,
    )


@pytest.fixture
def report(tmp_path: Path) -> BenchReport:
    a, b = side(tmp_path, "a", 1), side(tmp_path, "b", 2)
    return BenchReport(
        format_version=2,
        method="engine",
        order=("a", "b", "a", "b"),
        subjects={"a": a, "b": b},
        b_over_a=ratios(a.cases, b.cases),
    )


def alone(report: BenchReport) -> BenchReport:
    a = report.subjects["a"]
    return report.model_copy(update={"subjects": {"a": a}, "b_over_a": ()})


def test_ratios_are_b_over_a(report: BenchReport) -> None:
    assert [(r.context, r.prefill, r.decode) for r in report.b_over_a] == [
        (128, 2, 2),
        (1024, None, 2),
    ]


def test_a_report_that_was_written_is_read_again(
    report: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, again = tmp_path / "report.json", tmp_path / "again.json"
    path.write_text(report.model_dump_json(), "utf-8")
    assert read_report(path) == report
    plot = tmp_path / "plot.svg"
    assert run(["bench", str(path), "--json", str(again), "--plot", str(plot)]) == 0
    assert json.loads(again.read_text()) == json.loads(path.read_text())
    assert "B/A" in capsys.readouterr().out
    assert "<svg" in plot.read_text()


def test_two_reports_are_compared_in_the_cases_of_both(
    report: BenchReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = report.subjects["a"], report.subjects["b"]
    second = alone(report).model_copy(
        update={"subjects": {"a": b.model_copy(update={"cases": b.cases[:1]})}}
    )
    joined = join_reports(alone(report), second)
    assert [c.context for c in joined.subjects["a"].cases] == [128]
    assert [(r.context, r.decode) for r in joined.b_over_a] == [(128, 2)]
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, one in zip(paths, (alone(report), second), strict=True):
        path.write_text(one.model_dump_json(), "utf-8")
    assert run(["bench", *map(str, paths)]) == 0
    assert "B/A" in capsys.readouterr().out
    apart = second.model_copy(
        update={"subjects": {"a": a.model_copy(update={"cases": a.cases[1:]})}}
    )
    with pytest.raises(InvalidOptionError, match="no case in common"):
        join_reports(second, apart)


EMPTY = '{"format_version":2,"method":"engine","order":[],"subjects":{},"b_over_a":[]}'


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        (None, "NotAReportError", "No such file"),
        ("{", "NotAReportError", "no report"),
        ('{"format_version": 1}', "FormatVersionError", "measure again"),
        ('{"format_version": 2}', "NotAReportError", "method"),
        (EMPTY, "NotAReportError", "no side a"),
    ],
)
def test_what_is_no_report_is_named(
    text: str | None,
    name: str,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert run(["bench", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error[{name}]: ")
    assert says in error


@pytest.mark.parametrize(
    ("more", "says"),
    [(["PACK"], "to measure, or"), (["R", "R"], "to measure, or"), (["--trace", "t"], "--trace")],
)
def test_reports_and_packs_do_not_mix(
    more: list[str],
    says: str,
    pack: Path,
    report: BenchReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "x.json"
    path.write_text(report.model_dump_json(), "utf-8")
    names = {"PACK": str(pack), "R": str(path)}
    assert run(["bench", str(path), *(names.get(word, word) for word in more)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error[InvalidOptionError]: ")
    assert says in error


def test_tables_show_rates_loads_and_kernels(report: BenchReport) -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(render(report))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("12,800.0", "B/A", "2.000", "50.0 %", "GPU time of a decode step", "gemv", "cold"):
        assert part in text
    console.print(render(alone(report)))
    assert "B/A" not in console.file.getvalue()[len(text) :]


def test_the_trace_is_one_that_browsers_read(report: BenchReport) -> None:
    details = tuple(row["answers"][-1]["detail"] for row in TABLE["cases"])
    launches = steps_of([[1, ["layers.0.qkv", "gemv", 0, 1000], ["head", "gemv", 9000, 12000]]])
    timeline = Timeline(details, launches[0]["launches"])
    measured = Measured(report, {"a": timeline, "b": timeline})
    trace = json.loads(json.dumps(chrome_trace(measured)))
    events = trace["traceEvents"]
    named = {(e["pid"], e.get("tid")) for e in events if e["ph"] == "M"}
    for event in events:
        assert event["ph"] in "MXi"
        if event["ph"] != "M":
            assert (event["pid"], event["tid"]) in named
            assert event["ts"] >= 0
            assert event.get("dur", 0) >= 0
            assert event["name"]
    gpu = [e for e in events if e.get("cat") == "gpu" and e["pid"] == 1]
    assert [(e["args"]["label"], e["dur"]) for e in gpu] == [("layers.0.qkv", 1.0), ("head", 3.0)]
    # What one thread does does not overlap.
    for key in named:
        spans = sorted(
            (e["ts"], e["ts"] + e["dur"])
            for e in events
            if e["ph"] == "X" and (e["pid"], e["tid"]) == key
        )
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plots(report: BenchReport, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    write_plot(report, path)
    data = path.read_bytes()
    if suffix == ".png":
        assert data.startswith(b"\x89PNG")
    else:
        text = data.decode()
        assert "<svg" in text
        assert "decode, tokens/s" in text
        assert "gemv" in text
        write_plot(report, path)
        assert path.read_bytes() == data
