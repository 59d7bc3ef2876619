"""make figure-hardware: models of full size on this machine's GPU, in Node on Dawn.

Synthetic Llama 3.2 1B, 3B and Llama 3 8B (q4f16_1): tokens per second of a prompt and of decoding,
how long a launch takes on average, and for each kernel of a decode step its part of the bytes per
second that a kernel gets which only copies, measured in the same run. Goals: 0.7 in the 8B's
products with a matrix, 0.5 of a whole step. Software adapters are refused unless `--any` is given,
as there this takes hours and means little. Packs of all three take 7 GB of disk, and their sources
26 GB while they are made. Before: `make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from typing import Any

from scripts.figures.builds import this_build
from webbuild.bench import BenchOptions, run_benchmark
from webbuild.bench.report import adapter_name
from webbuild.native.device import open_device

MODELS = ("llama-3.2-1b", "llama-3.2-3b", "llama-3-8b")
FRACTIONS = ("copy_gb_per_s", "of_copy", "products_of_copy")


def say(text: str) -> None:
    print(text, file=sys.stderr)


def measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """One model: the step as a whole, and by kernels."""
    options = BenchOptions(
        packs=(this_build().pack(model),),
        place="dawn",
        prompts=(args.prompt,),
        tokens=args.tokens,
        rounds=args.rounds,
        tier=args.tier,
    )
    subject = run_benchmark(options, say).report.subjects["a"]
    case, profile, bandwidth = subject.cases[0], subject.profile, subject.bandwidth
    assert bandwidth
    copy = bandwidth.copy_bytes_per_s
    kernels: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for launch in profile.launches if profile else ():
        sums = kernels[launch.kernel]
        sums[0] += 1
        sums[1] += launch.ms
        sums[2] += launch.nbytes or 0
    rows = [
        {
            "kernel": kernel,
            "launches": int(count),
            "us_per_launch": round(1000 * ms / count, 2),
            "of_step": round(ms / profile.launch_ms, 3) if profile else None,
            "of_copy": round(nbytes / (ms / 1000) / copy, 3) if ms > 0 else None,
        }
        for kernel, (count, ms, nbytes) in sorted(kernels.items(), key=lambda item: -item[1][1])
    ]
    products = [sums for kernel, sums in kernels.items() if kernel.startswith("gemv")]
    ms = sum(sums[1] for sums in products)
    step = (profile.pass_ms or profile.launch_ms) if profile else None
    assert case.bytes_per_s
    return {
        "model": model,
        "adapter": adapter_name(subject),
        "tier": subject.tier,
        "prefill": case.prefill_tokens_per_s and round(case.prefill_tokens_per_s, 1),
        "decode": round(case.decode_tokens_per_s, 1),
        "step_ms": step and round(step, 3),
        "us_per_launch": step and profile and round(1000 * step / len(profile.launches), 2),
        "copy_gb_per_s": round(copy / 1e9, 1),
        "of_copy": round(case.bytes_per_s / copy, 3),
        "products_of_copy": round(sum(sums[2] for sums in products) / (ms / 1000) / copy, 3)
        if ms > 0
        else None,
        "kernels": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS, metavar="ALIAS")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tier", choices=("f16", "f32"))
    parser.add_argument("--any", action="store_true", help="software adapters too")
    args = parser.parse_args()
    device = open_device()
    if device.software and not args.any:
        parser.error(
            f"{device.adapter} is a software adapter: run this where a GPU is, or with --any"
        )
    rows = [measure(model, args) for model in args.models]
    print(f"{rows[0]['adapter']}, a prompt of {args.prompt} tokens and {args.tokens} more")
    columns = [*("prefill", "decode", "step_ms", "us_per_launch"), *FRACTIONS]
    print("| model | tier | " + " | ".join(column.replace("_", " ") for column in columns) + " |")
    print("|---|---|" + "---:|" * len(columns))
    for row in rows:
        cells = [row["model"], row["tier"], *(row[column] for column in columns)]
        print("| " + " | ".join(map(str, cells)) + " |")
    print("\n| model | kernel | launches | µs each | of the step | of copying |")
    print("|---|---|---:|---:|---:|---:|")
    for row in rows:
        for kernel in row["kernels"]:
            print(f"| {row['model']} | " + " | ".join(map(str, kernel.values())) + " |")
    print(json.dumps({"prompt": args.prompt, "tokens": args.tokens, "models": rows}))


if __name__ == "__main__":
    main()
