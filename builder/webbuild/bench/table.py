"""The readable form of a report."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table

from .report import BenchReport, LaunchProfile, SubjectReport

_WIDTH = 130


def print_report(report: BenchReport) -> None:
    """Prints the tables to standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(render(report))


def render(report: BenchReport) -> RenderableType:
    """All tables of a report."""
    return Group(
        _about(report),
        _rates(report),
        _loads(report),
        *(_kernels(report, subject) for subject in report.subjects if subject.profile),
    )


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def _about(report: BenchReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("adapter", report.adapter)
    for subject in report.subjects:
        text = f"{subject.model} ({subject.quantization}), tier {subject.tier}, {subject.pack}"
        text += f", in {subject.where}"
        if len({s.runtime for s in report.subjects}) > 1:
            text += f", runtime {subject.runtime}"
        table.add_row(subject.name.upper(), text)
    if report.bandwidth:
        copy, read = (report.bandwidth[key] / 1e9 for key in ("copy", "read"))
        table.add_row("memory", f"{copy:.1f} GB/s copied (read + written), {read:.1f} GB/s read")
    if report.method == "public":
        table.add_row("measured", "through the public API: one of the builds has no benchmark")
    return table


def _rates(report: BenchReport) -> Table:
    columns = ["", "context", "prefill tok/s", "decode tok/s", "ms/token"]
    columns += ["JS ms/token", "launches", "submits", "writes", "MB/token", "GB/s", "of copy"]
    title = "\nTokens per second, best of the rounds; calls, and bytes by count, per decoded token"
    table = _table(title, *columns)
    compared = len(report.subjects) > 1
    for i, ratio in enumerate(report.ratios() or [None] * len(report.subjects[0].cases)):
        for subject in report.subjects:
            case = subject.cases[i]
            counts = (case.per_token(name) for name in ("launches", "submits", "writeBuffers"))
            traffic, rate = case.traffic, case.bytes_per_s
            copied = rate / report.bandwidth["copy"] if rate and report.bandwidth else None
            table.add_row(
                subject.name.upper(),
                str(case.case.context),
                _number(case.prefill_tokens_per_s, 1),
                _number(case.decode_tokens_per_s, 2),
                _number(1000 / case.decode_tokens_per_s, 2),
                _number(case.js_ms_per_token, 3),
                *(_number(count, 2) for count in counts),
                _number((traffic.read + traffic.written) / 1e6 if traffic else None, 2),
                _number(rate and rate / 1e9, 2),
                _percent(copied),
            )
        if compared and ratio:
            prefill, decode = (_number(ratio[key], 3) for key in ("prefill", "decode"))
            table.add_row("B/A", "", prefill, decode)
    return table


def _loads(report: BenchReport) -> Table:
    parts = ("fetch", "store", "hash", "upload", "compile", "compileTail", "warmup")
    names = ("fetch", "store", "hash", "upload", "compile", "of it after", "warm-up")
    table = _table("\nLoads, ms (parts run side by side)", "", "start", "total", *names)
    for subject in report.subjects:
        for load in subject.loads:
            values = [load.parts[part] if load.parts else None for part in parts]
            table.add_row(
                subject.name.upper(),
                load.start,
                _number(load.total, 0),
                *(_number(value, 0) for value in values),
            )
    return table


def _kernels(report: BenchReport, subject: SubjectReport) -> Table:
    profile = subject.profile
    assert profile
    title = (
        f"\n{subject.name.upper()}: GPU time of a decode step at a context of {profile.context}, "
        f"by timestamps: {profile.launch_ms:.2f} ms in launches"
    )
    if profile.pass_ms is not None:
        title += f", {profile.pass_ms:.2f} ms as one pass"
    table = _table(title, "kernel", "launches", "µs each", "ms", "share", "GB/s", "of copy")
    by_kernel: dict[str, list[LaunchProfile]] = {}
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
            _percent(rate / report.bandwidth["copy"] if rate and report.bandwidth else None),
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
