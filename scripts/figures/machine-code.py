"""make figure-machine-code: the code that kernels become on AMD and Intel GPUs, without one.

For each kernel of a model (as it is with two layers: the others run the same) registers or
subgroups, registers that live in memory (AMD: there should be none), instructions, and cycles that
the compiler expects. ARGS="--assembly gemv" prints the code of the kernels of that name. Compare
before and after a change; how fast memory is, it does not know. Before: `make setup`. The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from scripts.figures.machine_code import (
    AMD,
    GPUS,
    AmdCode,
    IntelCode,
    compile_for_amd,
    compile_for_intel,
    kernels_of,
)
from webbuild.schema import Kernel
from webbuild.sources.aliases import aliases

Users = Mapping[str, tuple[Kernel, list[str]]]


def print_amd(users: Users, code: Mapping[str, AmdCode]) -> dict[str, int]:
    print(
        "| kernel | functions | registers | subgroups | spilled | bytes | instructions "
        "| of them vector | latency | cycles |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for key, one in code.items():
        kernel, functions = users[key]
        print(
            f"| {kernel.name} | {' '.join(functions)} | {one.registers} | {one.subgroups} "
            f"| {one.spilled} | {one.nbytes} | {one.instructions} | {one.vector_instructions} "
            f"| {one.latency} | {one.cycles} |"
        )
    return {
        "kernels": len(code),
        "spilled": sum(one.spilled for one in code.values()),
        "most_registers": max(one.registers for one in code.values()),
        "least_subgroups": min(one.subgroups for one in code.values()),
    }


def print_intel(users: Users, code: Mapping[str, IntelCode]) -> dict[str, int]:
    print(
        "| kernel | functions | lanes | spilled | in innermost loops | bytes | instructions "
        "| cycles |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for key, one in code.items():
        kernel, functions = users[key]
        print(
            f"| {kernel.name} | {' '.join(functions)} | {one.lanes} | {one.spilled} "
            f"| {one.spilled_inside} | {one.nbytes} | {one.instructions} | {one.cycles} |"
        )
    return {
        "kernels": len(code),
        "spilled": sum(one.spilled for one in code.values()),
        "spilled_inside": sum(one.spilled_inside for one in code.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="llama-3.2-1b", choices=aliases())
    parser.add_argument("--quant", default="q4f16_1")
    parser.add_argument("--tier", default="f16", choices=("f16", "f32"))
    parser.add_argument("--gpus", nargs="+", default=GPUS, choices=GPUS)
    parser.add_argument("--only", default="", help="kernels with this in their name")
    parser.add_argument(
        "--assembly", default="", help="print the code of kernels with this in their name"
    )
    args = parser.parse_args()
    only = args.assembly or args.only

    figures = {}
    for gpu in args.gpus:
        users = kernels_of(args.model, args.quant, args.tier, gpu)
        kernels = {key: one for key, (one, _) in users.items() if only in one.name}
        if not kernels:
            parser.error(f"no kernel has {only!r} in its name")
        print(f"\n{gpu}\n")
        if gpu in AMD:
            amd = compile_for_amd(gpu, kernels, assembly=bool(args.assembly))
            code: Mapping[str, AmdCode | IntelCode] = amd
            figures[gpu] = print_amd(users, amd)
        else:
            intel = compile_for_intel(gpu, kernels)
            code = intel
            figures[gpu] = print_intel(users, intel)
        if args.assembly:
            print(*(one.text for one in code.values()), sep="\n")
    print(json.dumps({"model": args.model, "quant": args.quant, "tier": args.tier, **figures}))


if __name__ == "__main__":
    main()
