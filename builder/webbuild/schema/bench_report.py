"""What `webbuild bench` and the demo site's benchmark page write: one run of a benchmark.

Rates are of the best round, for noise only ever adds time. Bytes are counted, not measured. What
was not measured, or can't be known, is null.
"""

from __future__ import annotations

from typing import Literal

from .base import Format

REPORT_VERSION: Literal[2] = 2


class AdapterReport(Format):
    """The GPU, as WebGPU names it; what it does not tell is empty."""

    vendor: str
    architecture: str
    description: str


class BandwidthReport(Format):
    """What memory gives, in bytes per second."""

    nbytes: int
    """Of one of the four buffers that the kernels take in turn."""
    copy_bytes_per_s: float
    """Of a kernel that copies: bytes read and bytes written."""
    read_bytes_per_s: float
    """Of a kernel that only reads."""


class RoundReport(Format):
    """One generation."""

    prompt_tokens: int
    completion_tokens: int
    prefill_ms: float
    """From the request to the first token."""
    decode_ms: float
    """From the first token to the last."""


class CallsPerToken(Format):
    """Calls at the device per decoded token."""

    launches: float
    submits: float
    write_buffers: float
    created_buffers: float
    created_bind_groups: float


class CaseReport(Format):
    """`prompt` tokens after `start` others that nobody prefilled, then `tokens` greedy ones."""

    start: int
    prompt: int
    tokens: int
    context: int
    """Tokens in the context when decoding begins: start + prompt."""
    prefill_tokens_per_s: float | None
    """null where the context was reached without prefill."""
    decode_tokens_per_s: float
    js_ms_per_token: float | None
    """JavaScript's time per decoded token."""
    bytes_read_per_token: int | None
    bytes_written_per_token: int | None
    bytes_needed_per_token: int | None
    """What no decode step can do without: weights, norms, keys and values, read once."""
    bytes_per_s: float | None
    """Read and written while decoding."""
    per_token: CallsPerToken | None
    rounds: tuple[RoundReport, ...]


class LoadReport(Format):
    """One load of the pack."""

    start: Literal["cold", "cached"]
    total_ms: float
    parts: dict[str, float] | None
    """Milliseconds (`…_ms`) and bytes (`…_bytes`). Parts run side by side: their sum is more than
    the total."""


class LaunchReport(Format):
    """GPU time of one launch of a decode step, in a pass of its own."""

    label: str
    kernel: str
    ms: float
    """The median over the profiled steps."""
    nbytes: int | None
    """Read and written."""


class ProfileReport(Format):
    """GPU time of decode steps at one context, by timestamps."""

    context: int
    steps: int
    pass_ms: float | None
    """A whole step in one pass, as it runs without a profiler; the median."""
    launch_ms: float
    """The sum over all launches."""
    attributed: float
    """The share of a profiled step, from its first launch's begin to its last one's end, in which a
    launch with a kernel's name and a label ran; the median. The rest is time between the passes."""
    launches: tuple[LaunchReport, ...]


class SubjectReport(Format):
    """One side of a comparison: a pack under a build of the runtime, in one place."""

    place: Literal["chromium", "dawn", "native", "page"]
    where: str
    """Browser, Node or wgpu, with its version."""
    adapter: AdapterReport
    pack: str
    """Folder or URL."""
    runtime: str | None
    """Folder of the built npm package; null when native, or a page's own."""
    model: str
    quantization: str
    tier: str
    context_length: int
    """What the pack was loaded with."""
    gpu_bytes: int
    launches: dict[str, int]
    """Of each function."""
    timestamps: bool
    """Whether the adapter can time launches."""
    bandwidth: BandwidthReport | None
    loads: tuple[LoadReport, ...]
    cases: tuple[CaseReport, ...]
    profile: ProfileReport | None


class RatioReport(Format):
    """B's rates over A's in one case."""

    context: int
    prefill: float | None
    decode: float


class BenchReport(Format):
    """One run: side `a`, and perhaps `b`."""

    format_version: Literal[2]
    method: Literal["engine", "public"]
    """`public`: through the npm package's public API, for a build had no benchmark."""
    order: tuple[str, ...]
    """Sides in the order in which the rounds of each case ran."""
    subjects: dict[str, SubjectReport]
    b_over_a: tuple[RatioReport, ...]
