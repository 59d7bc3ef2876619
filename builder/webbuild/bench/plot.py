"""A report as a picture: tokens per second by context, and where a decode step's time goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webbuild.schema.bench_report import BenchReport, SubjectReport

from .plan import require_plots
from .report import adapter_name

#: Kernels drawn apart; the rest is one part.
_MOST_KERNELS = 9
_SIDES = ("#1f6feb", "#d4731b")


def write_plot(report: BenchReport, path: Path) -> None:
    """Writes an SVG or PNG, by the path's suffix. Raises MissingExtraError."""
    require_plots()
    import matplotlib
    from matplotlib.figure import Figure

    profiled = {name: side for name, side in report.subjects.items() if side.profile}
    panels = 2 + bool(profiled)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "webbuild"}):
        figure = Figure(figsize=(4.6 * panels, 3.8), layout="constrained")
        axes = figure.subplots(1, panels)
        _rates(axes[0], report, "prefill")
        _rates(axes[1], report, "decode")
        if profiled:
            _kernels(axes[2], profiled)
        first = report.subjects["a"]
        figure.suptitle(f"{first.model}: {adapter_name(first)}", fontsize=10)
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def _label(report: BenchReport, name: str) -> str:
    subject = report.subjects[name]
    if len(report.subjects) == 1:
        return f"{subject.quantization}, {subject.tier}"
    return f"{name.upper()}: {subject.model}, {subject.tier}, {subject.where}"


def _rates(axes: Any, report: BenchReport, kind: str) -> None:
    for (name, subject), color in zip(report.subjects.items(), _SIDES, strict=False):
        points = sorted(
            (case.context, rate)
            for case in subject.cases
            if (rate := getattr(case, f"{kind}_tokens_per_s")) is not None
        )
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            marker="o",
            color=color,
            label=_label(report, name),
        )
    contexts = sorted({case.context for s in report.subjects.values() for case in s.cases})
    axes.set_xscale("log", base=2)
    axes.set_xticks(contexts, [str(context) for context in contexts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title(f"{kind}, tokens/s", fontsize=10)
    axes.set_xlabel("prompt length" if kind == "prefill" else "tokens in the context")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, frameon=False)


def _kernels(axes: Any, subjects: Mapping[str, SubjectReport]) -> None:
    """Horizontal bars: ms of a decode step by kernel."""
    totals: dict[str, list[float]] = {}
    for i, subject in enumerate(subjects.values()):
        assert subject.profile
        for launch in subject.profile.launches:
            totals.setdefault(launch.kernel, [0.0] * len(subjects))[i] += launch.ms
    ordered = sorted(totals.items(), key=lambda item: -max(item[1]))
    shown = ordered[:_MOST_KERNELS]
    if rest := ordered[_MOST_KERNELS:]:
        shown.append(
            ("others", [sum(column) for column in zip(*(t for _, t in rest), strict=True)])
        )
    height = 0.8 / len(subjects)
    for i, (name, color) in enumerate(zip(subjects, _SIDES, strict=False)):
        places = [row + i * height for row in range(len(shown))]
        widths = [times[i] for _, times in shown]
        axes.barh(places, widths, height, color=color, label=name.upper())
    middle = 0.4 - height / 2
    axes.set_yticks([row + middle for row in range(len(shown))], [name for name, _ in shown])
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.set_title("a decode step on the GPU, ms by kernel", fontsize=10)
    if len(subjects) > 1:
        axes.legend(fontsize=7, frameon=False)
