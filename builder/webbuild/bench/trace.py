"""A report as a Chrome trace: open it in Perfetto (ui.perfetto.dev) or chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webbuild.schema.bench_report import CaseReport, SubjectReport

from .report import Answer, Measured, Timeline

_HOST, _TOKENS, _GPU = 1, 2, 3
_THREADS = {
    _HOST: "host: plan, encode, submit",
    _TOKENS: "tokens arrive",
    _GPU: "GPU: launches of one profiled step",
}
_GAP_US = 1000.0
"""Between cases, and before the profiled step."""


def chrome_trace(measured: Measured) -> dict[str, Any]:
    """The trace as plain data; times are in µs.

    A process per side. Its cases follow each other: the last round of each, then a decode step with
    the GPU time of every launch (measured apart, so on a clock of its own).
    """
    events = [
        event
        for pid, (name, subject) in enumerate(measured.report.subjects.items(), 1)
        for event in _subject(pid, name, subject, measured.timelines[name])
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _subject(
    pid: int, side: str, subject: SubjectReport, timeline: Timeline
) -> Iterator[dict[str, Any]]:
    name = f"{side.upper()}: {subject.model} {subject.tier}, {subject.where}"
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
    for tid, thread in _THREADS.items():
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": thread}}
    start = 0.0
    for case, detail in zip(subject.cases, timeline.details, strict=True):
        events = list(_case(pid, start, case, detail or {}))
        yield from events
        start = max([start, *(e["ts"] + e.get("dur", 0) for e in events)]) + _GAP_US
    if subject.profile:
        counted = {launch.label: launch.nbytes for launch in subject.profile.launches}
        for launch in timeline.launches:
            yield {
                "ph": "X",
                "name": launch["kernel"] or "pass",
                "cat": "gpu",
                "pid": pid,
                "tid": _GPU,
                "ts": start + launch["begin"] / 1e3,
                "dur": max(0.0, (launch["end"] - launch["begin"]) / 1e3),
                "args": {"label": launch["label"], "bytes": counted.get(launch["label"])},
            }


def _case(pid: int, start: float, case: CaseReport, detail: Answer) -> Iterator[dict[str, Any]]:
    for step in detail.get("steps", ()):
        decodes = step["tokens"] == 1
        yield {
            "ph": "X",
            "name": "decode step" if decodes else "prefill step",
            "cat": "host",
            "pid": pid,
            "tid": _HOST,
            "ts": start + step["begin"] * 1e3,
            "dur": (step["end"] - step["begin"]) * 1e3,
            "args": {"tokens": step["tokens"]},
        }
    for number, arrival in enumerate(detail.get("arrivals", ())):
        yield {
            "ph": "i",
            "s": "t",
            "name": f"token {number}",
            "cat": "tokens",
            "pid": pid,
            "tid": _TOKENS,
            "ts": start + arrival * 1e3,
            "args": {"context": case.context + number},
        }
