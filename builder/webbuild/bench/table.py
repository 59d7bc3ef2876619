"""The readable form of a report."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from webbuild.schema.bench_report import BenchReport, CaseReport, LaunchReport, SubjectReport
from webbuild.tables import number_table, show

from .report import adapter_name

_WIDTH = 130


def print_report(report: BenchReport) -> None:
    """Prints the tables to standard output."""
    show(render(report), width=_WIDTH)


def render(report: BenchReport) -> RenderableType:
    """All tables of a report."""
    return Group(
        _about(report),
        _rates(report),
        _loads(report),
        *(_kernels(name, side) for name, side in report.subjects.items() if side.profile),
    )


def _about(report: BenchReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    sides = report.subjects.items()
    for name, side in sides:
        text = f"{side.model} ({side.quantization}), tier {side.tier}, {side.pack}"
        text += f", in {side.where}"
        if len({s.runtime for s in report.subjects.values()}) > 1:
            text += f", runtime {side.runtime}"
        table.add_row(name.upper(), text)
    for label, words in (("adapter", adapter_name), ("memory", _memory)):
        said = {name: words(side) for name, side in sides}
        if len(set(said.values())) == 1:
            table.add_row(label, said["a"])
        else:
            for name, text in said.items():
                table.add_row(f"{label} {name.upper()}", text)
    if report.method == "public":
        table.add_row("measured", "through the public API: one of the builds has no benchmark")
    return table


def _memory(side: SubjectReport) -> str:
    if not side.bandwidth:
        return "not measured"
    copy, read = side.bandwidth.copy_bytes_per_s / 1e9, side.bandwidth.read_bytes_per_s / 1e9
    return f"{copy:.1f} GB/s copied (read + written), {read:.1f} GB/s read"


def _rates(report: BenchReport) -> Table:
    columns = ["", "context", "prefill tok/s", "decode tok/s", "ms/token"]
    columns += ["JS ms/token", "launches", "submits", "writes", "MB/token", "GB/s", "of copy"]
    title = "\nTokens per second, best of the rounds; calls, and bytes by count, per decoded token"
    table = number_table(title, *columns)
    for i in range(len(report.subjects["a"].cases)):
        for name, side in report.subjects.items():
            table.add_row(name.upper(), *_case(side, side.cases[i]))
        if report.b_over_a:
            ratio = report.b_over_a[i]
            table.add_row("B/A", "", _number(ratio.prefill, 3), _number(ratio.decode, 3))
    return table


def _case(side: SubjectReport, case: CaseReport) -> list[str]:
    calls = case.per_token
    counts = (calls.launches, calls.submits, calls.write_buffers) if calls else (None,) * 3
    nbytes = None
    if case.bytes_read_per_token is not None and case.bytes_written_per_token is not None:
        nbytes = case.bytes_read_per_token + case.bytes_written_per_token
    return [
        str(case.context),
        _number(case.prefill_tokens_per_s, 1),
        _number(case.decode_tokens_per_s, 2),
        _number(1000 / case.decode_tokens_per_s, 2),
        _number(case.js_ms_per_token, 3),
        *(_number(count, 2) for count in counts),
        _number(nbytes and nbytes / 1e6, 2),
        _number(case.bytes_per_s and case.bytes_per_s / 1e9, 2),
        _percent(_of_copy(side, case.bytes_per_s)),
    ]


def _of_copy(side: SubjectReport, rate: float | None) -> float | None:
    """The share of the measured copy bandwidth."""
    return rate / side.bandwidth.copy_bytes_per_s if rate and side.bandwidth else None


def _loads(report: BenchReport) -> Table:
    parts = ("fetch", "store", "hash", "upload", "compile", "compile_tail", "warmup")
    names = ("fetch", "store", "hash", "upload", "compile", "of it after", "warm-up")
    table = number_table("\nLoads, ms (parts run side by side)", "", "start", "total", *names)
    for name, side in report.subjects.items():
        for load in side.loads:
            found = load.parts or {}
            table.add_row(
                name.upper(),
                load.start,
                _number(load.total_ms, 0),
                *(_number(found.get(f"{part}_ms"), 0) for part in parts),
            )
    return table


def _kernels(name: str, side: SubjectReport) -> Table:
    profile = side.profile
    assert profile
    title = (
        f"\n{name.upper()}: GPU time of a decode step at a context of {profile.context}, "
        f"by timestamps: {profile.launch_ms:.2f} ms in launches"
    )
    if profile.pass_ms is not None:
        title += f", {profile.pass_ms:.2f} ms as one pass"
    table = number_table(title, "kernel", "launches", "µs each", "ms", "share", "GB/s", "of copy")
    by_kernel: dict[str, list[LaunchReport]] = {}
    for launch in profile.launches:
        by_kernel.setdefault(launch.kernel, []).append(launch)
    for kernel, launches in sorted(
        by_kernel.items(), key=lambda item: -sum(launch.ms for launch in item[1])
    ):
        total = sum(launch.ms for launch in launches)
        rate = None
        if total and all(launch.nbytes is not None for launch in launches):
            rate = sum(launch.nbytes or 0 for launch in launches) / total * 1e3
        table.add_row(
            kernel,
            str(len(launches)),
            f"{1000 * total / len(launches):,.1f}",
            f"{total:.3f}",
            _percent(total / profile.launch_ms if profile.launch_ms else None),
            _number(rate and rate / 1e9, 2),
            _percent(_of_copy(side, rate)),
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
