"""From what agents answer to a report: runtime_js/src/bench/report.ts does the same in a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from webbuild.errors import FormatVersionError, InvalidOptionError, NotAReportError
from webbuild.schema.bench_report import (
    REPORT_VERSION,
    AdapterReport,
    BandwidthReport,
    BenchReport,
    CallsPerToken,
    CaseReport,
    LaunchReport,
    LoadReport,
    ProfileReport,
    RatioReport,
    RoundReport,
    SubjectReport,
)
from webbuild.traffic import StepTraffic

from .plan import Case, Subject

Answer = Mapping[str, Any]
"""As the runtime sends it: names in camel case, times in ms."""

_CALLS = ("launches", "submits", "writeBuffers", "createdBuffers", "createdBindGroups")


@dataclass(frozen=True, slots=True)
class Timeline:
    """What only the trace shows of one side."""

    details: tuple[Answer | None, ...]
    """Of each case's last round: when steps ran and tokens arrived; None through the public API."""
    launches: Sequence[Answer]
    """Of the last profiled decode step."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of `webbuild bench`."""

    report: BenchReport
    timelines: Mapping[str, Timeline]
    """By side."""


def read_report(path: Path) -> BenchReport:
    """A report that was written before. Raises NotAReportError or FormatVersionError."""
    try:
        data = path.read_bytes()
        found = BenchReport.model_validate_json(data)
    except OSError as error:
        raise NotAReportError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        if place == "format_version" and first["type"] == "literal_error":
            raise FormatVersionError(
                f"{path} is a report of another format version than {REPORT_VERSION}: measure again"
            ) from None
        raise NotAReportError(
            f"{path} is no report of a benchmark ({place}: {first['msg']}): give a file written by "
            "webbuild bench --json or by the benchmark page"
        ) from None
    if "a" not in found.subjects:
        raise NotAReportError(f"{path} has no side a: it reports nothing")
    return found


def join_reports(first: BenchReport, second: BenchReport) -> BenchReport:
    """Side A of two runs, in the cases that both have. Raises InvalidOptionError without one."""
    a, b = first.subjects["a"], second.subjects["a"]

    cases = {(case.start, case.prompt, case.tokens): case for case in b.cases}
    pairs = [
        (case, cases[key])
        for case in a.cases
        if (key := (case.start, case.prompt, case.tokens)) in cases
    ]
    if not pairs:
        raise InvalidOptionError(
            "the two reports have no case in common (same prompt, context and tokens): measure "
            "both with the same lengths"
        )
    left, right = zip(*pairs, strict=True)
    return BenchReport(
        format_version=REPORT_VERSION,
        method="public" if "public" in (first.method, second.method) else "engine",
        order=(),
        subjects={
            "a": a.model_copy(update={"cases": left}),
            "b": b.model_copy(update={"cases": right}),
        },
        b_over_a=ratios(left, right),
    )


def ratios(a: Iterable[CaseReport], b: Iterable[CaseReport]) -> tuple[RatioReport, ...]:
    """B's rates over A's, case by case."""
    return tuple(
        RatioReport(
            context=left.context,
            prefill=right.prefill_tokens_per_s / left.prefill_tokens_per_s
            if left.prefill_tokens_per_s and right.prefill_tokens_per_s
            else None,
            decode=right.decode_tokens_per_s / left.decode_tokens_per_s,
        )
        for left, right in zip(a, b, strict=True)
    )


def case_report(case: Case, answers: Sequence[Answer], traffic: StepTraffic | None) -> CaseReport:
    """All rounds of one case. traffic: None for a pack of a format that is not this version's."""
    rounds = tuple(
        RoundReport(
            prompt_tokens=answer["promptTokens"],
            completion_tokens=answer["completionTokens"],
            prefill_ms=answer["prefill"],
            decode_ms=answer["decode"],
        )
        for answer in answers
    )
    details = [answer["detail"] for answer in answers]
    js = [d["jsPerToken"] for d in details if d and d["jsPerToken"] is not None]
    rate = max((r.completion_tokens - 1) * 1000 / r.decode_ms for r in rounds)
    return CaseReport(
        start=case.start,
        prompt=case.prompt,
        tokens=case.tokens,
        context=case.context,
        prefill_tokens_per_s=max(r.prompt_tokens * 1000 / r.prefill_ms for r in rounds)
        if case.start == 0
        else None,
        decode_tokens_per_s=rate,
        js_ms_per_token=min(js, default=None),
        bytes_read_per_token=traffic.read if traffic else None,
        bytes_written_per_token=traffic.written if traffic else None,
        bytes_needed_per_token=traffic.needed if traffic else None,
        bytes_per_s=(traffic.read + traffic.written) * rate if traffic else None,
        per_token=_calls(answers[-1]),
        rounds=rounds,
    )


def _calls(answer: Answer) -> CallsPerToken | None:
    if answer["detail"] is None:
        return None
    tokens = max(1, answer["completionTokens"] - 1)
    counts = answer["detail"]["decodeCounts"]
    return CallsPerToken(**{_snake(name): counts[name] / tokens for name in _CALLS})


def load_report(start: str, answer: Answer) -> LoadReport:
    """One load; `start` is `cold` or `cached`."""
    parts = answer["parts"]
    return LoadReport.model_validate(
        {
            "start": start,
            "total_ms": answer["total"],
            "parts": {_part(name): value for name, value in parts.items()} if parts else None,
        }
    )


def profile_report(
    case: Case, split: Sequence[Answer], whole: Sequence[Answer], traffic: StepTraffic | None
) -> tuple[ProfileReport | None, Sequence[Answer]]:
    """Decode steps of both profiles folded to one, and the launches of the last step.

    split, whole: steps as the runtime profiles them, with a pass per launch and with one pass.
    None when no decode step was recorded.
    """
    decode = [step["launches"] for step in split if step["tokens"] == 1][-_kept(case) :]
    if not decode:
        return None, ()
    counted = traffic.launches if traffic and len(traffic.launches) == len(decode[0]) else None
    launches = tuple(
        LaunchReport(
            label=first["label"],
            kernel=first["kernel"],
            ms=median((step[i]["end"] - step[i]["begin"]) / 1e6 for step in decode),
            nbytes=counted[i].read + counted[i].written if counted else None,
        )
        for i, first in enumerate(decode[0])
    )
    passes = [
        sum(p["end"] - p["begin"] for p in step["launches"]) / 1e6
        for step in whole
        if step["tokens"] == 1
    ][-_kept(case) :]
    report = ProfileReport(
        context=case.context,
        steps=len(decode),
        pass_ms=median(passes) if passes else None,
        launch_ms=sum(launch.ms for launch in launches),
        attributed=median(map(_attributed, decode)),
        launches=launches,
    )
    return report, decode[-1]


def _attributed(launches: Sequence[Answer]) -> float:
    """The share of a step, from its first begin to its last end, in which a launch with a name ran.

    Launches may overlap."""
    ordered = sorted(launches, key=lambda launch: float(launch["begin"]))
    begin, end, named = ordered[0]["begin"], max(launch["end"] for launch in launches), 0.0
    until = begin
    for launch in ordered:
        if launch["label"] and launch["kernel"]:
            named += max(0, launch["end"] - max(launch["begin"], until))
            until = max(until, launch["end"])
    return named / (end - begin) if end > begin else 0.0


def _kept(case: Case) -> int:
    """Steps to keep of a generation whose prompt may itself be one token."""
    return 5 if case.prompt == 1 else 1 << 30


def subject_report(
    subject: Subject,
    where: str,
    loaded: Answer,
    *,
    bandwidth: Answer | None,
    loads: Sequence[LoadReport],
    cases: Sequence[CaseReport],
    profile: ProfileReport | None,
) -> SubjectReport:
    """One side. loaded: the answer of its last load."""
    info = loaded["info"]
    adapter = {key: info["adapter"][key] for key in AdapterReport.model_fields}
    return SubjectReport(
        place=subject.place,
        where=where,
        adapter=AdapterReport(**adapter),
        pack=str(subject.pack),
        runtime=str(subject.runtime) if subject.runtime else None,
        model=info["model"]["name"],
        quantization=info["quantization"],
        tier=info["tier"],
        context_length=info["contextLength"],
        gpu_bytes=info["bytes"]["total"],
        launches=info["launches"],
        timestamps=loaded["timestamps"],
        bandwidth=BandwidthReport(
            nbytes=bandwidth["nbytes"],
            copy_bytes_per_s=bandwidth["copy"],
            read_bytes_per_s=bandwidth["read"],
        )
        if bandwidth
        else None,
        loads=tuple(loads),
        cases=tuple(cases),
        profile=profile,
    )


def adapter_name(subject: SubjectReport) -> str:
    """The GPU in words."""
    adapter = subject.adapter
    return " ".join(
        part for part in (adapter.vendor, adapter.architecture, adapter.description) if part
    )


def _part(name: str) -> str:
    """`compileTail` → `compile_tail_ms`; bytes say so themselves."""
    snake = _snake(name)
    return snake if snake.endswith("_bytes") else f"{snake}_ms"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
