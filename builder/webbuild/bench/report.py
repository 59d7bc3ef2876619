"""What a benchmark found: records, and their JSON. Times are in ms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .plan import Case, Place, Subject
from .traffic import StepTraffic

#: Of the JSON; raised when a reader would misunderstand.
REPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Round:
    """One generation."""

    prompt_tokens: int
    completion_tokens: int
    prefill_ms: float
    """From the request to the first token."""
    decode_ms: float
    """From the first token to the last."""
    detail: Mapping[str, Any] | None
    """As the engine's benchmark reports it: counts, JS time, arrivals, steps."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Round:
        return cls(
            answer["promptTokens"],
            answer["completionTokens"],
            answer["prefill"],
            answer["decode"],
            answer["detail"],
        )

    @property
    def prefill_tokens_per_s(self) -> float:
        return self.prompt_tokens * 1000 / self.prefill_ms

    @property
    def decode_tokens_per_s(self) -> float:
        return (self.completion_tokens - 1) * 1000 / self.decode_ms

    def per_token(self, count: str) -> float | None:
        """Calls of this kind per decoded token, such as `submits`."""
        if self.detail is None:
            return None
        counts = self.detail["decodeCounts"]
        return float(counts[count]) / max(1, self.completion_tokens - 1)


@dataclass(frozen=True, slots=True)
class CaseReport:
    """All rounds of one case; the best counts, for noise only ever adds time."""

    case: Case
    rounds: tuple[Round, ...]
    traffic: StepTraffic | None
    """None for a pack of a format that is not this version's."""

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """None where the prompt is there already."""
        if self.case.start > 0:
            return None
        return max(r.prefill_tokens_per_s for r in self.rounds)

    @property
    def decode_tokens_per_s(self) -> float:
        return max(r.decode_tokens_per_s for r in self.rounds)

    def per_token(self, count: str) -> float | None:
        return self.rounds[-1].per_token(count)

    @property
    def bytes_per_s(self) -> float | None:
        """Read and written while decoding, by count; at the context that the prompt leaves."""
        if self.traffic is None:
            return None
        return (self.traffic.read + self.traffic.written) * self.decode_tokens_per_s

    @property
    def js_ms_per_token(self) -> float | None:
        times = [r.detail["jsPerToken"] for r in self.rounds if r.detail]
        times = [time for time in times if time is not None]
        return min(times) if times else None

    def to_json(self) -> dict[str, Any]:
        counts = ("launches", "submits", "writeBuffers", "createdBuffers", "createdBindGroups")
        return {
            **asdict(self.case),
            "context": self.case.context,
            "prefill_tokens_per_s": self.prefill_tokens_per_s,
            "decode_tokens_per_s": self.decode_tokens_per_s,
            "js_ms_per_token": self.js_ms_per_token,
            "bytes_read_per_token": self.traffic.read if self.traffic else None,
            "bytes_written_per_token": self.traffic.written if self.traffic else None,
            "bytes_needed_per_token": self.traffic.needed if self.traffic else None,
            "bytes_per_s": self.bytes_per_s,
            "per_token": {_snake(count): self.per_token(count) for count in counts},
            "rounds": [
                {
                    "prompt_tokens": r.prompt_tokens,
                    "completion_tokens": r.completion_tokens,
                    "prefill_ms": r.prefill_ms,
                    "decode_ms": r.decode_ms,
                }
                for r in self.rounds
            ],
        }


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One load. The parts overlap; null where only the total is known."""

    start: str
    """`cold` or `cached`."""
    total: float
    parts: Mapping[str, float] | None

    def to_json(self) -> dict[str, Any]:
        parts = self.parts or {}
        names = {"networkBytes": "network_bytes", "cacheBytes": "cache_bytes"}
        return {
            "start": self.start,
            "total_ms": self.total,
            "parts": {names.get(key, f"{_snake(key)}_ms"): value for key, value in parts.items()}
            if self.parts
            else None,
        }


@dataclass(frozen=True, slots=True)
class LaunchProfile:
    """GPU time of one launch of a decode step, each in a pass of its own."""

    label: str
    kernel: str
    ms: float
    """The median over the profiled steps."""
    nbytes: int | None
    """Read and written, by count."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Decode steps at one context."""

    context: int
    steps: int
    launches: tuple[LaunchProfile, ...]
    pass_ms: float | None
    """A whole step in one pass, as it runs without a profiler; the median."""
    timeline: Sequence[Mapping[str, Any]]
    """The launches of one profiled step, for the trace."""

    @property
    def launch_ms(self) -> float:
        """The sum over all launches."""
        return sum(launch.ms for launch in self.launches)

    @property
    def attributed(self) -> float:
        """The share of `launch_ms` in launches with a kernel's name and a label."""
        named = sum(launch.ms for launch in self.launches if launch.label and launch.kernel)
        return named / self.launch_ms if self.launch_ms else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "context": self.context,
            "steps": self.steps,
            "pass_ms": self.pass_ms,
            "launch_ms": self.launch_ms,
            "attributed": self.attributed,
            "launches": [asdict(launch) for launch in self.launches],
        }


def fold_profile(
    case: Case,
    split: Sequence[Mapping[str, Any]],
    whole: Sequence[Mapping[str, Any]],
    traffic: StepTraffic | None,
) -> Profile | None:
    """Decode steps of both profiles to one; None if none was recorded.

    split, whole: steps as the runtime profiles them, with a pass per launch and with one pass.
    """
    decode = [step["launches"] for step in split if step["tokens"] == 1][-_kept(case) :]
    if not decode:
        return None
    counted = traffic.launches if traffic and len(traffic.launches) == len(decode[0]) else None
    launches = tuple(
        LaunchProfile(
            first["label"],
            first["kernel"],
            median((step[i]["end"] - step[i]["begin"]) / 1e6 for step in decode),
            counted[i].read + counted[i].written if counted else None,
        )
        for i, first in enumerate(decode[0])
    )
    passes = [
        sum(p["end"] - p["begin"] for p in step["launches"]) / 1e6
        for step in whole
        if step["tokens"] == 1
    ][-_kept(case) :]
    return Profile(
        context=case.context,
        steps=len(decode),
        launches=launches,
        pass_ms=median(passes) if passes else None,
        timeline=decode[-1],
    )


def _kept(case: Case) -> int:
    """Steps to keep of a generation whose prompt may itself be one token."""
    return 5 if case.prompt == 1 else 1 << 30


@dataclass(slots=True)
class SubjectReport:
    """One side of the comparison."""

    name: str
    place: Place
    where: str
    """Browser, Node or wgpu, with its version."""
    pack: Path
    runtime: Path | None
    model: str
    quantization: str
    tier: str
    context_length: int
    gpu_bytes: int
    adapter: Mapping[str, Any]
    launches: Mapping[str, int]
    """Of each function."""
    timestamps: bool
    loads: tuple[LoadReport, ...]
    cases: list[CaseReport] = field(default_factory=list)
    traffic: dict[int, StepTraffic] = field(default_factory=dict)
    """By context."""
    profile: Profile | None = None

    @classmethod
    def of(
        cls,
        subject: Subject,
        where: str,
        loaded: Mapping[str, Any],
        loads: tuple[LoadReport, ...],
    ) -> SubjectReport:
        info = loaded["info"]
        return cls(
            name=subject.name,
            place=subject.place,
            where=where,
            pack=subject.pack,
            runtime=subject.runtime,
            model=info["model"]["name"],
            quantization=info["quantization"],
            tier=info["tier"],
            context_length=info["contextLength"],
            gpu_bytes=info["bytes"]["total"],
            adapter=info["adapter"],
            launches=info["launches"],
            timestamps=loaded["timestamps"],
            loads=loads,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "in": self.place,
            "where": self.where,
            "pack": str(self.pack),
            "runtime": str(self.runtime) if self.runtime else None,
            "model": self.model,
            "quantization": self.quantization,
            "tier": self.tier,
            "context_length": self.context_length,
            "gpu_bytes": self.gpu_bytes,
            "launches": dict(self.launches),
            "timestamps": self.timestamps,
            "loads": [load.to_json() for load in self.loads],
            "cases": [case.to_json() for case in self.cases],
            "profile": self.profile.to_json() if self.profile else None,
        }


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One run of `webbuild bench`."""

    method: str
    order: tuple[str, ...]
    bandwidth: Mapping[str, float] | None
    """Of memory: bytes per second of a kernel that copies (reads + writes) and one that reads."""
    subjects: tuple[SubjectReport, ...]

    @property
    def adapter(self) -> str:
        info = self.subjects[0].adapter
        return " ".join(
            part for part in (info["vendor"], info["architecture"], info["description"]) if part
        )

    def ratios(self) -> list[dict[str, float | int | None]]:
        """B's rates over A's, by case; nothing without B."""
        if len(self.subjects) < 2:
            return []
        a, b = self.subjects
        return [
            {
                "context": left.case.context,
                "prefill": right.prefill_tokens_per_s / left.prefill_tokens_per_s
                if left.prefill_tokens_per_s and right.prefill_tokens_per_s
                else None,
                "decode": right.decode_tokens_per_s / left.decode_tokens_per_s,
            }
            for left, right in zip(a.cases, b.cases, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "format_version": REPORT_VERSION,
            "adapter": self.adapter,
            "method": self.method,
            "order": list(self.order),
            "bandwidth": dict(self.bandwidth) if self.bandwidth else None,
            "subjects": {subject.name: subject.to_json() for subject in self.subjects},
            "b_over_a": self.ratios(),
        }


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
