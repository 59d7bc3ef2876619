"""Runs a plan: loads both sides, then takes turns, A B A B, so that a machine's moods hit both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from webbuild.errors import BenchmarkFailedError, WebbuildError
from webbuild.schema.folder import PackFolder

from .agent import Agent, chromium_agent, dawn_agent
from .native import native_agent
from .plan import BenchOptions, Case, Place, Plan, Subject, make_plan
from .report import BenchReport, CaseReport, LoadReport, Round, SubjectReport, fold_profile
from .traffic import decode_traffic

#: Of one buffer of the bandwidth kernels.
BANDWIDTH_BYTES = 64 << 20

#: What `BENCH_VERSION` of the runtime's benchmark must be.
AGENT_VERSION = 1

_PROFILED_TOKENS = 6

Say = Callable[[str], object]


def run_benchmark(options: BenchOptions, say: Say) -> BenchReport:
    """Measures; `say` hears what is being done.

    Raises what `make_plan` raises, BrowserNotFoundError, MissingExtraError, BenchmarkFailedError.
    """
    plan = make_plan(options)
    return asyncio.run(_run(plan, say))


async def _run(plan: Plan, say: Say) -> BenchReport:
    async with contextlib.AsyncExitStack() as stack:
        agents: dict[Place, Agent] = {}
        for subject in plan.subjects:
            if subject.place not in agents:
                agents[subject.place] = await stack.enter_async_context(
                    _open_agent(plan, subject.place)
                )
        where = {place: await _describe(agent) for place, agent in agents.items()}
        say(f"Measuring in {' and '.join(where.values())}")
        agent = agents[plan.subjects[0].place]
        bandwidth = None
        if plan.method == "engine":
            say("memory bandwidth")
            runtime = plan.subjects[0].runtime
            url = agent.url(runtime) if runtime else ""
            bandwidth = await agent.call("bandwidth", {"runtime": url, "nbytes": BANDWIDTH_BYTES})
        subjects = [
            await _load(agents[subject.place], plan, subject, where[subject.place], say)
            for subject in plan.subjects
        ]
        order = [subject.name for subject in plan.subjects] * plan.rounds
        for case in plan.cases:
            await _measure(agents, plan, case, subjects, say)
        if plan.profile:
            for report in subjects:
                await _profile(agents[report.place], plan, report, say)
    return BenchReport(
        method=plan.method,
        order=tuple(order),
        bandwidth=bandwidth,
        subjects=tuple(subjects),
    )


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


async def _load(agent: Agent, plan: Plan, subject: Subject, where: str, say: Say) -> SubjectReport:
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
        loads.append(LoadReport(start, answer["total"], answer["parts"]))
    report = SubjectReport.of(subject, where, answer, tuple(loads))
    # An older pack under an older runtime is not ours to read.
    with contextlib.suppress(WebbuildError):
        pack = PackFolder.open(subject.pack)
        for case in plan.cases:
            report.traffic[case.context] = decode_traffic(
                pack.program, pack.kernels.kernels, report.tier, case.context
            )
    return report


async def _measure(
    agents: Mapping[Place, Agent], plan: Plan, case: Case, subjects: list[SubjectReport], say: Say
) -> None:
    """One case, in turns. A first, short generation of each warms its kernels up."""
    what = _wire(case)
    for subject in subjects:
        warm = what | {"tokens": 2}
        await agents[subject.place].call("generate", {"subject": subject.name, "what": warm})
    rounds: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
    for number in range(plan.rounds):
        for subject in subjects:
            args = {"subject": subject.name, "what": what}
            answer = await agents[subject.place].call("generate", args)
            took = Round.of(answer)
            rounds[subject.name].append(took)
            prompt = f"prompt {case.prompt}" if case.start == 0 else f"context {case.context}"
            say(
                f"{subject.name}, {prompt}, round {number + 1}: "
                f"{took.decode_tokens_per_s:.1f} tokens/s"
            )
    for subject in subjects:
        traffic = subject.traffic.get(case.context)
        subject.cases.append(CaseReport(case, tuple(rounds[subject.name]), traffic))


async def _profile(agent: Agent, plan: Plan, subject: SubjectReport, say: Say) -> None:
    """GPU time of launches, at the first case."""
    if not subject.timestamps:
        say(f"{subject.name}: this adapter has no timestamp-query: launches are not timed")
        return
    say(f"{subject.name}: GPU time of each launch")
    case = plan.cases[0]
    what = _wire(case) | {"tokens": min(case.tokens, _PROFILED_TOKENS)}
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for mode in ("launch", "pass"):
        args = {"subject": subject.name, "what": what, "mode": mode}
        steps[mode] = await agent.call("profile", args)
    subject.profile = fold_profile(
        case, steps["launch"], steps["pass"], subject.traffic.get(case.context)
    )


def _wire(case: Case) -> dict[str, int]:
    return {"start": case.start, "prompt": case.prompt, "tokens": case.tokens}
