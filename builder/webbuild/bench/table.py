"""The readable form of a report."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table

from .report import BenchReport, SubjectReport

_WIDTH = 118


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
        *(_kernels(subject) for subject in report.subjects if subject.profile),
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
    table.add_row("runs in", report.where)
    for subject in report.subjects:
        text = f"{subject.model} ({subject.quantization}), tier {subject.tier}, {subject.pack}"
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
    columns += ["JS ms/token", "launches", "submits", "writes"]
    table = _table("\nTokens per second, best of the rounds; calls per decoded token", *columns)
    compared = len(report.subjects) > 1
    for i, ratio in enumerate(report.ratios() or [None] * len(report.subjects[0].cases)):
        for subject in report.subjects:
            case = subject.cases[i]
            counts = (case.per_token(name) for name in ("launches", "submits", "writeBuffers"))
            table.add_row(
                subject.name.upper(),
                str(case.case.context),
                _number(case.prefill_tokens_per_s, 1),
                _number(case.decode_tokens_per_s, 2),
                _number(1000 / case.decode_tokens_per_s, 2),
                _number(case.js_ms_per_token, 3),
                *(_number(count, 2) for count in counts),
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


def _kernels(subject: SubjectReport) -> Table:
    profile = subject.profile
    assert profile
    title = (
        f"\n{subject.name.upper()}: GPU time of a decode step at a context of {profile.context}, "
        f"by timestamps: {profile.launch_ms:.2f} ms in launches"
    )
    if profile.pass_ms is not None:
        title += f", {profile.pass_ms:.2f} ms as one pass"
    table = _table(title, "kernel", "launches", "µs each", "ms", "share")
    by_kernel: dict[str, list[float]] = {}
    for launch in profile.launches:
        by_kernel.setdefault(launch.kernel, []).append(launch.ms)
    for kernel, times in sorted(by_kernel.items(), key=lambda item: -sum(item[1])):
        total = sum(times)
        table.add_row(
            kernel,
            str(len(times)),
            f"{1000 * total / len(times):,.1f}",
            f"{total:.3f}",
            f"{100 * total / profile.launch_ms:.1f} %" if profile.launch_ms else "–",
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
