"""What to measure: checked whole before any work is done."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import webbuild
from webbuild.errors import (
    InvalidOptionError,
    MissingExtraError,
    NotAPackError,
    RuntimeNotFoundError,
)
from webbuild.schema.folder import PackFolder

Place = Literal["chromium", "dawn", "native"]
Method = Literal["engine", "public"]

DEFAULT_LENGTHS = (128, 1024, 4096)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The command line's options, as given."""

    packs: tuple[Path, ...]
    """One, or two to compare."""
    place: Place = "chromium"
    place_b: Place | None = None
    """Where B runs; None: where A does. With one pack it makes a B."""
    prompts: tuple[int, ...] = ()
    """Prompt lengths; none: DEFAULT_LENGTHS, clipped to the context."""
    contexts: tuple[int, ...] = ()
    """More context lengths at which to decode, reached without prefill."""
    tokens: int = 32
    tier: str | None = None
    rounds: int = 3
    runtime: Path | None = None
    """Folder of the built npm package; None: the repository's."""
    runtime_b: Path | None = None
    profile: bool = True
    """Also time each launch on the GPU."""
    json_file: Path | None = None
    trace: Path | None = None
    plot: Path | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One generation: `prompt` tokens after `start` others, then `tokens` greedy ones."""

    start: int
    prompt: int
    tokens: int

    @property
    def context(self) -> int:
        """Tokens in the context when decoding begins."""
        return self.start + self.prompt


@dataclass(frozen=True, slots=True)
class Subject:
    """One side of a comparison: a pack under a build of the runtime."""

    name: str
    """`a` or `b`."""
    place: Place
    pack: Path
    runtime: Path | None
    """None when native."""
    manifest: dict[str, Any]
    """pack.json as it is: an older pack under an older runtime is read by neither schema."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done."""

    method: Method
    """`public`: a build has no benchmark of its own, so both go through the public API."""
    subjects: tuple[Subject, ...]
    cases: tuple[Case, ...]
    context_length: int
    """What every subject is loaded with."""
    tier: str | None
    rounds: int
    profile: bool


def make_plan(options: BenchOptions) -> Plan:
    """Checks the options. Raises NotAPackError, RuntimeNotFoundError or InvalidOptionError."""
    if not 1 <= len(options.packs) <= 2:
        raise InvalidOptionError("give one pack, or two to compare")
    check_outputs(options)
    sides = 1 if len(options.packs) == 1 and not (options.runtime_b or options.place_b) else 2
    places = (options.place, options.place_b or options.place)[:sides]
    runtimes = _runtimes(options, places)
    packs = (options.packs * 2)[:sides]
    subjects = tuple(
        Subject(name, place, pack, runtime, _manifest(pack))
        for name, place, pack, runtime in zip("ab", places, packs, runtimes, strict=False)
    )
    method: Method = "engine"
    measuring = [runtime for runtime in runtimes if runtime]
    if not all((runtime / "bench.js").is_file() for runtime in measuring):
        method = "public"
        if not (measuring[0] / "bench.js").is_file():
            raise RuntimeNotFoundError(
                f"{measuring[0]} has no bench.js: the first runtime must be one that can measure "
                "(build it anew); only the second may be older"
            )
        if "native" in places:
            raise RuntimeNotFoundError(
                f"{measuring[-1]} has no bench.js, so it is measured through the public API, "
                "which --in native has not: leave one of them out"
            )
    _check_tier(options, subjects, method)
    limit = min(subject.manifest["limits"]["context_length"] for subject in subjects)
    cases = _cases(options, limit, method)
    return Plan(
        method=method,
        subjects=subjects,
        cases=cases,
        context_length=max(case.context + case.tokens for case in cases),
        tier=options.tier,
        rounds=options.rounds,
        profile=options.profile and method == "engine",
    )


def default_runtime() -> Path:
    """Where the repository builds the npm package."""
    return Path(webbuild.__file__).resolve().parents[2] / "runtime_js" / "dist"


def check_outputs(options: BenchOptions) -> None:
    """Raises InvalidOptionError or MissingExtraError for files that could not be written."""
    for path in (options.json_file, options.trace, options.plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise InvalidOptionError(f"{path.parent} is no folder: make it first")
        if path is not None and (path.is_dir() or not os.access(_nearest(path), os.W_OK)):
            raise InvalidOptionError(f"{path} cannot be written: name another file")
    if options.plot is not None:
        if options.plot.suffix not in (".svg", ".png"):
            raise InvalidOptionError(f"--plot {options.plot}: the name ends in .svg or .png")
        require_plots()


def _nearest(path: Path) -> Path:
    """The file, or the folder that it will be in."""
    return path if path.exists() else path.absolute().parent


def require_plots() -> None:
    """Raises MissingExtraError without matplotlib; asked before anything is measured."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("--plot needs matplotlib: pip install 'webbuild[plot]'") from None


def _runtimes(options: BenchOptions, places: tuple[Place, ...]) -> tuple[Path | None, ...]:
    """The built package of each side; None for one that runs natively."""
    for option, folder, place in (
        ("--runtime", options.runtime, places[0]),
        ("--runtime-b", options.runtime_b, places[-1]),
    ):
        if folder and place == "native" and (option == "--runtime-b" or set(places) == {place}):
            raise InvalidOptionError(f"{option} {folder}: native runs no JavaScript, leave it out")
    first = options.runtime or default_runtime()
    found: list[Path | None] = []
    for place, folder in zip(places, (first, options.runtime_b or first), strict=False):
        if place == "native":
            found.append(None)
            continue
        if not (folder / "index.js").is_file():
            raise RuntimeNotFoundError(
                f"{folder} holds no built npm package (index.js): run `make build-runtime`, or "
                "give --runtime the folder `dist` of one"
            )
        found.append(folder.resolve())
    return tuple(found)


def _manifest(pack: Path) -> dict[str, Any]:
    path = pack / "pack.json"
    if not path.is_file():
        raise NotAPackError(f"{pack} holds no pack.json: give a folder made by webbuild pack")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        int(manifest["limits"]["context_length"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotAPackError(f"{path} is no manifest of a pack ({error})") from None
    return manifest


def _check_tier(options: BenchOptions, subjects: tuple[Subject, ...], method: Method) -> None:
    for subject in subjects:
        if method == "engine":
            PackFolder.open(subject.pack)
        tiers = list(subject.manifest["memory"])
        if options.tier is not None and options.tier not in tiers:
            raise InvalidOptionError(
                f"--tier {options.tier}: {subject.pack} has {', '.join(tiers)}"
            )


def _cases(options: BenchOptions, limit: int, method: Method) -> tuple[Case, ...]:
    tokens = options.tokens
    if tokens < 2:
        raise InvalidOptionError(f"--tokens {tokens}: a rate needs at least 2")
    if options.rounds < 1:
        raise InvalidOptionError(f"--rounds {options.rounds}: at least 1")
    most = limit - tokens
    if most < 1:
        raise InvalidOptionError(
            f"--tokens {tokens}: the context of {limit} tokens leaves no room for a prompt"
        )
    for option, lengths in (("--prompt", options.prompts), ("--context", options.contexts)):
        for length in lengths:
            if not 1 <= length <= most:
                raise InvalidOptionError(
                    f"{option} {length}: it can be 1 to {most}, so that {tokens} more tokens fit "
                    f"the context of {limit}"
                )
    if options.contexts and method == "public":
        raise InvalidOptionError(
            "--context needs runtimes with benchmarks (bench.js), and one has none: use --prompt"
        )
    prompts = options.prompts or tuple(min(length, most) for length in DEFAULT_LENGTHS)
    cases = [Case(0, prompt, tokens) for prompt in prompts]
    cases += [
        Case(context - 1, 1, tokens) for context in options.contexts if context not in prompts
    ]
    return tuple(dict.fromkeys(cases))
