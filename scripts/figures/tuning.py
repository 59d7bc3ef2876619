"""make figure-tuning: tuned kernels beside the default ones, and beside what the runtime's rule
takes without records; each row's times come from one run, taken in turns.

On wgpu's adapter, and with ARGS=--chromium also in the headless browser, whose adapter
WEBBUILD_ADAPTER names (such as swiftshader). A table on the way; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any, get_args

from webbuild.tune import RunnerOptions
from webbuild.tune.case import KernelCase
from webbuild.tune.command import parse_shape
from webbuild.tune.open_runner import open_runner
from webbuild.tune.runner import Runner
from webbuild.tune.search import Job, Outcome, make_jobs, search
from webgpu_kernels.launch import Tier
from webgpu_kernels.registry import KERNELS

#: Products of SmolLM2-135M (qkv, gate and up, down) and of Qwen2-0.5B (down).
SHAPES = (
    "linear mode=gemv quant=q4 norm=1e-5 N=960 K=576",
    "linear mode=gemv quant=q4 norm=1e-5 glu=true N=1536 K=576",
    "linear mode=gemv quant=q4 residual=true N=576 K=1536",
    "linear mode=gemv quant=q4 residual=true N=896 K=4864",
)


async def measure(place: str, tiers: tuple[Tier, ...], seconds: float) -> list[dict[str, Any]]:
    """A row for each shape and tier that the place's adapter runs."""
    async with open_runner(RunnerOptions(place), print) as runner:  # type: ignore[arg-type]
        ops = [parse_shape(shape, tier) for tier in tiers for shape in SHAPES]
        outcome = Outcome()
        jobs = make_jobs(ops, runner.adapter, (), outcome)
        await search(runner, jobs, seconds, outcome, lambda name: None)
        rows = []
        for job, record in zip(jobs, outcome.records, strict=True):
            rows.append(await compare(runner, job, record.tuning) | {"runner": place})
            print_row(rows[-1])
        return rows


async def compare(runner: Runner, job: Job, tuning: str) -> dict[str, Any]:
    """Default, rule and tuned once more, side by side."""
    cases = {case.name: case for case in (job.default, *job.others)}
    ruled = rule(job, runner)
    wanted = [job.default, ruled, cases[tuning]]
    default, untuned, tuned = await runner.measure(wanted)
    times = {
        name: None if one.seconds is None else one.seconds * 1e6
        for name, one in (("default", default), ("rule", untuned), ("tuned", tuned))
    }
    return {
        "adapter": runner.adapter.description,
        "tier": job.tier,
        "key": job.key,
        "tuning": tuning,
        "rule": ruled.name,
        "microseconds": times,
        "default_over_tuned": ratio(times["default"], times["tuned"]),
        "rule_over_tuned": ratio(times["rule"], times["tuned"]),
    }


def rule(job: Job, runner: Runner) -> KernelCase:
    """What the runtime takes without records: the row's first tuning that suits the adapter."""
    suits = "cpu" if runner.adapter.software else "any"
    row = next(row for row in KERNELS if job.key.startswith(row.name))
    for tuning in row.tunings[1:]:
        case = next((one for one in job.others if one.name == tuning.name), None)
        if case is not None and tuning.suits == suits:
            return case
    return job.default


def ratio(one: float | None, other: float | None) -> float | None:
    return round(one / other, 3) if one and other else None


def print_row(row: dict[str, Any]) -> None:
    times = row["microseconds"]
    cells = [row["runner"], row["tier"], row["key"], row["rule"], row["tuning"]]
    cells += [f"{times[name]:.1f}" for name in ("default", "rule", "tuned")]
    cells += [f"{row['default_over_tuned']:.2f}", f"{row['rule_over_tuned']:.2f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chromium", action="store_true", help="in the headless browser, too")
    parser.add_argument("--tier", choices=get_args(Tier))
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    tiers = (options.tier,) if options.tier else get_args(Tier)
    titles = ["runner", "tier", "kernel", "rule", "tuned"]
    titles += ["default µs", "rule µs", "tuned µs", "default / tuned", "rule / tuned"]
    print(f"| {' | '.join(titles)} |")
    print("|---|---|---|---|---|---:|---:|---:|---:|---:|")
    rows = []
    for place in ("wgpu", *(["chromium"] if options.chromium else [])):
        rows += asyncio.run(measure(place, tiers, options.seconds))
    print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
