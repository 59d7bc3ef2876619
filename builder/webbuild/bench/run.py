"""Runs a plan: loads both sides, then takes turns, A B A B, so that a machine's moods hit both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webbuild.errors import BenchmarkFailedError, WebbuildError
from webbuild.schema.bench_report import REPORT_VERSION, BenchReport, CaseReport, LoadReport
from webbuild.schema.folder import PackFolder
from webbuild.schema.tuning import adapter_kind
from webbuild.traffic import StepTraffic, decode_traffic

from .agent import Agent, chromium_agent, dawn_agent
from .native import native_agent
from .plan import BenchOptions, Case, Place, Plan, Subject, make_plan
from .report import (
    Answer,
    Measured,
    Timeline,
    case_report,
    load_report,
    profile_report,
    ratios,
    subject_report,
)

#: Of one buffer of the bandwidth kernels.
BANDWIDTH_BYTES = 64 << 20

#: What `BENCH_VERSION` of the runtime's benchmark must be.
AGENT_VERSION = 1

_PROFILED_TOKENS = 6

Say = Callable[[str], object]


@dataclass(slots=True)
class _Side:
    """One subject, loaded, and what was found of it so far."""

    subject: Subject
    where: str
    loaded: Answer
    loads: list[LoadReport]
    bandwidth: Answer | None
    traffic: dict[int, StepTraffic] = field(default_factory=dict)
    """By context; empty for a pack of a format that is not this version's."""
    cases: list[CaseReport] = field(default_factory=list)
    details: list[Answer | None] = field(default_factory=list)
    split: list[Answer] = field(default_factory=list)
    whole: list[Answer] = field(default_factory=list)


def run_benchmark(options: BenchOptions, say: Say) -> Measured:
    """Measures; `say` hears what is being done.

    Raises what `make_plan` raises, BrowserNotFoundError, MissingExtraError, BenchmarkFailedError.
    """
    plan = make_plan(options)
    return asyncio.run(_run(plan, say))


async def _run(plan: Plan, say: Say) -> Measured:
    async with contextlib.AsyncExitStack() as stack:
        agents: dict[Place, Agent] = {}
        bandwidth: dict[Place, Answer] = {}
        for subject in plan.subjects:
            if subject.place not in agents:
                agents[subject.place] = await stack.enter_async_context(
                    _open_agent(plan, subject.place)
                )
        where = {place: await _describe(agent) for place, agent in agents.items()}
        say(f"Measuring in {' and '.join(where.values())}")
        if plan.method == "engine":
            say("memory bandwidth")
            for subject in plan.subjects:
                if subject.place not in bandwidth:
                    agent = agents[subject.place]
                    runtime = agent.url(subject.runtime) if subject.runtime else ""
                    args = {"runtime": runtime, "nbytes": BANDWIDTH_BYTES}
                    bandwidth[subject.place] = await agent.call("bandwidth", args)
        sides = []
        for subject in plan.subjects:
            loaded, loads = await _load(agents[subject.place], plan, subject, say)
            side = _Side(subject, where[subject.place], loaded, loads, bandwidth.get(subject.place))
            _count(side, plan.cases)
            sides.append(side)
        for case in plan.cases:
            await _measure(agents, plan, case, sides, say)
        if plan.profile:
            for side in sides:
                await _profile(agents[side.subject.place], plan.cases[0], side, say)
    return _measured(plan, sides)


def _measured(plan: Plan, sides: list[_Side]) -> Measured:
    subjects, timelines = {}, {}
    for side in sides:
        case = plan.cases[0]
        traffic = side.traffic.get(case.context)
        profile, launches = profile_report(case, side.split, side.whole, traffic)
        subjects[side.subject.name] = subject_report(
            side.subject,
            side.where,
            side.loaded,
            bandwidth=side.bandwidth,
            loads=side.loads,
            cases=side.cases,
            profile=profile,
        )
        timelines[side.subject.name] = Timeline(tuple(side.details), launches)
    report = BenchReport(
        format_version=REPORT_VERSION,
        method=plan.method,
        order=tuple(side.subject.name for side in sides) * plan.rounds,
        subjects=subjects,
        b_over_a=ratios(sides[0].cases, sides[1].cases) if len(sides) > 1 else (),
    )
    return Measured(report, timelines)


async def _describe(agent: Agent) -> str:
    """Browser, Node or wgpu, with its version."""
    about = await agent.call("describe", None)
    if about["version"] != AGENT_VERSION:
        raise BenchmarkFailedError(
            f"the runtime's benchmark is of version {about['version']}, this command of "
            f"{AGENT_VERSION}: build the runtime anew"
        )
    return str(about["where"])


@contextlib.asynccontextmanager
async def _open_agent(plan: Plan, place: Place) -> AsyncIterator[Agent]:
    if place == "native":
        async with native_agent() as native:
            yield native
        return
    runtimes = [subject.runtime for subject in plan.subjects if subject.runtime]
    folders: list[Path] = [*runtimes, *(subject.pack for subject in plan.subjects)]
    start = chromium_agent if place == "chromium" else dawn_agent
    async with start(runtimes[0], folders) as agent:
        yield agent


async def _load(
    agent: Agent, plan: Plan, subject: Subject, say: Say
) -> tuple[Answer, list[LoadReport]]:
    """Loads for good; in a browser twice, so that both starts are measured."""
    runtime = agent.url(subject.runtime) if subject.runtime else ""
    options: dict[str, Any] = {"contextLength": plan.context_length}
    if plan.tier is not None:
        options["tier"] = plan.tier
    if subject.place == "dawn":
        options["cache"] = False  # it would be this process's memory
    starts = ("cold", "cached") if subject.place == "chromium" else ("cold",)
    loads = []
    for start in starts:
        say(f"{subject.name}: {start} load of {subject.pack}")
        answer = await agent.call(
            "load",
            {
                "subject": subject.name,
                "runtime": runtime,
                "pack": agent.url(subject.pack),
                "method": plan.method,
                "options": options,
            },
        )
        loads.append(load_report(start, answer))
    return answer, loads


def _count(side: _Side, cases: tuple[Case, ...]) -> None:
    """Bytes per decode step. An older pack under an older runtime is not ours to read."""
    with contextlib.suppress(WebbuildError):
        pack = PackFolder.open(side.subject.pack)
        info = side.loaded["info"]
        fields = ("vendor", "architecture", "device", "description")
        kind = adapter_kind(*(str(info["adapter"].get(name, "")) for name in fields))
        for case in cases:
            side.traffic[case.context] = decode_traffic(
                pack.program,
                pack.kernels.kernels,
                info["tier"],
                case.context,
                software=kind.software,
            )


async def _measure(
    agents: Mapping[Place, Agent], plan: Plan, case: Case, sides: list[_Side], say: Say
) -> None:
    """One case, in turns. A first, short generation of each warms its kernels up."""
    what = _wire(case)
    for side in sides:
        warm = {"subject": side.subject.name, "what": what | {"tokens": 2}}
        await agents[side.subject.place].call("generate", warm)
    rounds: dict[str, list[Answer]] = {side.subject.name: [] for side in sides}
    for number in range(plan.rounds):
        for side in sides:
            name = side.subject.name
            args = {"subject": name, "what": what}
            answer = await agents[side.subject.place].call("generate", args)
            rounds[name].append(answer)
            prompt = f"prompt {case.prompt}" if case.start == 0 else f"context {case.context}"
            rate = (answer["completionTokens"] - 1) * 1000 / answer["decode"]
            say(f"{name}, {prompt}, round {number + 1}: {rate:.1f} tokens/s")
    for side in sides:
        answers = rounds[side.subject.name]
        side.cases.append(case_report(case, answers, side.traffic.get(case.context)))
        side.details.append(answers[-1]["detail"])


async def _profile(agent: Agent, case: Case, side: _Side, say: Say) -> None:
    """GPU time of launches in one case."""
    name = side.subject.name
    if not side.loaded["timestamps"]:
        say(f"{name}: this adapter has no timestamp-query: launches are not timed")
        return
    say(f"{name}: GPU time of each launch")
    what = _wire(case) | {"tokens": min(case.tokens, _PROFILED_TOKENS)}
    for mode, steps in (("launch", side.split), ("pass", side.whole)):
        steps += await agent.call("profile", {"subject": name, "what": what, "mode": mode})


def _wire(case: Case) -> dict[str, int]:
    return {"start": case.start, "prompt": case.prompt, "tokens": case.tokens}
