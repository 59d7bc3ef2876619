"""`webbuild bench` without a browser: options, folding of measurements, tables, trace, plot."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from toy_pack import write_toy_pack
from webbuild.bench.plan import BenchOptions, Case, Plan, make_plan
from webbuild.bench.plot import write_plot
from webbuild.bench.report import BenchReport, CaseReport, LoadReport, Round, SubjectReport
from webbuild.bench.report import fold_profile as fold
from webbuild.bench.table import render
from webbuild.bench.trace import chrome_trace
from webbuild.bench.traffic import LaunchTraffic, StepTraffic
from webbuild.cli import run


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


# --- measurements -------------------------------------------------------------------------------


def step(tokens: int, *times: tuple[str, str, int, int]) -> dict[str, Any]:
    launches = [{"label": a, "kernel": k, "begin": b, "end": e} for a, k, b, e in times]
    return {"tokens": tokens, "launches": launches}


def two_launches(qkv: int, head: int) -> dict[str, Any]:
    return step(1, ("layers.0.qkv", "gemv", 0, qkv), ("head", "gemv", 9000, 9000 + head))


TRAFFIC = StepTraffic(
    128,
    (LaunchTraffic("layers.0.qkv", "gemv", 900, 100), LaunchTraffic("head", "gemv", 2900, 100)),
    weights=3000,
    kv=100,
)


def test_a_profile_is_the_median_of_its_decode_steps() -> None:
    prompt = step(4, ("prefill", "gemm", 0, 10_000_000))
    split = [prompt, two_launches(1000, 3000), two_launches(5000, 2000), two_launches(2000, 9000)]
    whole = [step(4, ("", "", 0, 1)), step(1, ("", "", 0, 4000)), step(1, ("", "", 0, 6000))]
    profile = fold(Case(0, 4, 4), split, whole, TRAFFIC)
    assert profile
    assert [launch.ms for launch in profile.launches] == pytest.approx([0.002, 0.003])
    assert [launch.nbytes for launch in profile.launches] == [1000, 3000]
    assert profile.launch_ms == pytest.approx(0.005)
    assert profile.pass_ms == pytest.approx(0.005)
    assert profile.attributed == 1.0
    assert profile.steps == 3


def test_time_of_a_launch_without_a_name_is_not_attributed() -> None:
    nameless = step(1, ("layers.0.qkv", "gemv", 0, 3000), ("", "", 4000, 5000))
    profile = fold(Case(0, 4, 4), [nameless], [], None)
    assert profile
    assert profile.attributed == pytest.approx(0.75)
    assert profile.pass_ms is None


def test_no_decode_step_no_profile() -> None:
    assert fold(Case(0, 4, 4), [step(4, ("a", "b", 0, 1))], [], None) is None


def detail() -> dict[str, Any]:
    return {
        "decodeCounts": {
            "steps": 4,
            "launches": 80,
            "submits": 4,
            "writeBuffers": 4,
            "createdBuffers": 0,
            "createdBindGroups": 0,
        },
        "jsPerToken": 0.25,
        "arrivals": [10.0, 12.0, 14.0, 16.0, 18.0],
        "steps": [{"begin": 0.0, "end": 0.5, "tokens": 128}]
        + [{"begin": 10 + 2 * i, "end": 10.25 + 2 * i, "tokens": 1} for i in range(4)],
    }


def subject(name: str, faster: float) -> SubjectReport:
    rounds = tuple(
        Round(128, 5, 10 / faster * slow, 8 / faster * slow, detail()) for slow in (2.0, 1.0)
    )
    placed = Round(1, 5, 3, 16 / faster, detail())
    split = [two_launches(1000, 3000)]
    parts = dict.fromkeys(
        ("total", "fetch", "store", "hash", "upload", "compile", "warmup", "compileTail"), 1.5
    ) | {"networkBytes": 5, "cacheBytes": 0}
    return SubjectReport(
        name=name,
        place="chromium",
        where="Chrome/1",
        pack=Path("packs/x"),
        runtime=Path("dist"),
        model="toy",
        quantization="q0f32",
        tier="f32",
        context_length=2048,
        gpu_bytes=1,
        adapter={"vendor": "v", "architecture": "", "description": "gpu"},
        launches={"decode": 2},
        timestamps=True,
        loads=(LoadReport("cold", 7.0, parts), LoadReport("cached", 5.0, None)),
        cases=[
            CaseReport(Case(0, 128, 5), rounds, TRAFFIC),
            CaseReport(Case(1023, 1, 5), (placed,), None),
        ],
        profile=fold(Case(0, 128, 5), split, [step(1, ("", "", 0, 4000))], TRAFFIC),
    )


@pytest.fixture
def report() -> BenchReport:
    return BenchReport(
        method="engine",
        order=("a", "b", "a", "b"),
        bandwidth={"nbytes": 64, "copy": 4e6, "read": 3e6},
        subjects=(subject("a", 1.0), subject("b", 2.0)),
    )


def test_the_best_round_counts_and_ratios_are_b_over_a(report: BenchReport) -> None:
    first = report.subjects[0].cases[0]
    assert first.prefill_tokens_per_s == pytest.approx(12_800)
    assert first.decode_tokens_per_s == pytest.approx(500)
    assert first.bytes_per_s == pytest.approx(4000 * 500)
    assert first.per_token("submits") == 1
    assert first.per_token("launches") == 20
    assert report.ratios() == [
        {"context": 128, "prefill": pytest.approx(2), "decode": pytest.approx(2)},
        {"context": 1024, "prefill": None, "decode": pytest.approx(2)},
    ]


def test_json_holds_it_all(report: BenchReport) -> None:
    data = json.loads(json.dumps(report.to_json()))
    assert data["format_version"] == 1
    assert data["adapter"] == "v gpu"
    a = data["subjects"]["a"]
    assert a["cases"][0]["per_token"] == {
        "launches": 20,
        "submits": 1,
        "write_buffers": 1,
        "created_buffers": 0,
        "created_bind_groups": 0,
    }
    assert a["cases"][0]["bytes_read_per_token"] == TRAFFIC.read
    assert a["loads"][0]["parts"]["compile_tail_ms"] == 1.5
    assert a["loads"][0]["parts"]["network_bytes"] == 5
    assert a["loads"][1]["parts"] is None
    assert a["profile"]["attributed"] == 1
    assert [r["decode_ms"] for r in a["cases"][0]["rounds"]] == [16, 8]


def test_tables_show_rates_loads_and_kernels(report: BenchReport) -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(render(report))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("12,800.0", "B/A", "2.000", "50.0 %", "GPU time of a decode step", "gemv", "cold"):
        assert part in text
    alone = replace(report, subjects=report.subjects[:1], bandwidth=None)
    console.print(render(alone))
    assert "B/A" not in console.file.getvalue()[len(text) :]


def test_the_trace_is_one_that_browsers_read(report: BenchReport) -> None:
    trace = json.loads(json.dumps(chrome_trace(report)))
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
