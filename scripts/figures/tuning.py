"""make figure-tuning: tuned kernels beside the default ones, and beside what the runtime's rule
takes without records; each row's times come from one run, taken in turns.

The q4 GEMV of the library, and a q4 product that TVM schedules, searched by MetaSchedule: on wgpu's
adapter, and on SwiftShader in the headless browser (ARGS="--only wgpu" leaves that out). A table on
the way; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import Any, get_args

from webbuild.compile import compile_model
from webbuild.compile.pipeline import TvmOp
from webbuild.sources.aliases import aliases
from webbuild.tune import RunnerOptions
from webbuild.tune.case import KernelCase
from webbuild.tune.command import parse_shape
from webbuild.tune.open_runner import open_runner
from webbuild.tune.runner import Runner
from webbuild.tune.search import Job, Outcome, make_jobs, search
from webbuild.tune.trace_search import make_tvm_jobs
from webgpu_kernels.launch import Tier
from webgpu_kernels.registry import KERNELS

#: Products of SmolLM2-135M: qkv, gate and up, down.
SHAPES = (
    "linear mode=gemv quant=q4 norm=1e-5 N=960 K=576",
    "linear mode=gemv quant=q4 norm=1e-5 glu=true N=1536 K=576",
    "linear mode=gemv quant=q4 residual=true N=576 K=1536",
)
#: The last of these, as TVM has it without the library, and the norm.
FUNCTIONS = ("fused_linear_add", "N=576 K=1536"), ("rms_norm", "N=576 K=576")
PLACES = {"wgpu": "wgpu", "swiftshader": "chromium"}


def functions(tiers: tuple[Tier, ...]) -> list[TvmOp]:
    """What TVM schedules of SmolLM2-135M without the library."""
    config = {**aliases()["smollm2-135m"].config, "num_hidden_layers": 1}
    ops = compile_model(config, "q4f16_1", library=False, records=()).tvm_ops
    return [
        next(op for op in ops if op.tier == tier and all(part in op.key for part in parts))
        for tier in tiers
        for parts in FUNCTIONS
    ]


async def measure(
    name: str, tiers: tuple[Tier, ...], tvm_ops: list[TvmOp], seconds: float
) -> list[dict[str, Any]]:
    """A row for each shape and tier that the place's adapter runs."""
    if name != "wgpu":
        os.environ["WEBBUILD_ADAPTER"] = name
    place = PLACES[name]
    async with open_runner(RunnerOptions(place), print) as runner:  # type: ignore[arg-type]
        ops = [parse_shape(shape, tier) for tier in tiers for shape in SHAPES]
        outcome = Outcome()
        jobs = make_jobs(ops, runner.adapter, (), outcome)
        jobs += make_tvm_jobs(tvm_ops, runner.adapter, 1, outcome)
        await search(runner, jobs, seconds, outcome, lambda line: None)
        rows = []
        for job, record in zip(jobs, outcome.records, strict=True):
            rows.append(await compare(runner, job, record.tuning) | {"runner": name})
            print_row(rows[-1])
        return rows


async def compare(runner: Runner, job: Job, tuning: str) -> dict[str, Any]:
    """Default, rule and tuned once more, side by side."""
    ruled = rule(job, runner)
    wanted = [job.default, ruled, job.case(tuning)]
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
    if job.search is not None:
        return job.default  # TVM's functions have no other without records
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
    parser.add_argument("--only", choices=PLACES, help="one adapter")
    parser.add_argument("--tier", choices=get_args(Tier), default="f32")
    parser.add_argument("--seconds", type=float, default=75.0, help="of each adapter's search")
    options = parser.parse_args()
    tiers: tuple[Tier, ...] = (options.tier,)
    titles = ["runner", "tier", "kernel", "rule", "tuned"]
    titles += ["default µs", "rule µs", "tuned µs", "default / tuned", "rule / tuned"]
    tvm_ops = functions(tiers)
    print(f"| {' | '.join(titles)} |")
    print("|---|---|---|---|---|---:|---:|---:|---:|---:|")
    rows = []
    for name in [options.only] if options.only else PLACES:
        rows += asyncio.run(measure(name, tiers, tvm_ops, options.seconds))
    print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
