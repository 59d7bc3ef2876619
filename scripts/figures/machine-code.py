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
from dataclasses import fields

from scripts.figures.machine_code import (
    AMD,
    GPUS,
    MachineCode,
    compile_for_amd,
    compile_for_intel,
    kernels_of,
)
from webbuild.schema import Kernel
from webbuild.sources.aliases import aliases

Users = Mapping[str, tuple[Kernel, list[str]]]


def print_table(users: Users, code: Mapping[str, MachineCode]) -> None:
    names = [field.name for field in fields(next(iter(code.values()))) if field.name != "text"]
    print("| kernel | functions |", *(f"{name.replace('_', ' ')} |" for name in names))
    print("|---|---|" + "---:|" * len(names))
    for key, one in code.items():
        kernel, functions = users[key]
        numbers = [f"{getattr(one, name)} |" for name in names]
        print(f"| {kernel.name} | {' '.join(functions)} |", *numbers)


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
            code: Mapping[str, MachineCode] = amd
            more = {
                "most_registers": max(one.registers for one in amd.values()),
                "least_subgroups": min(one.subgroups for one in amd.values()),
            }
        else:
            code = intel = compile_for_intel(gpu, kernels)
            more = {"spilled_inside": sum(one.spilled_inside for one in intel.values())}
        print_table(users, code)
        spilled = sum(one.spilled for one in code.values())
        figures[gpu] = {"kernels": len(code), "spilled": spilled, **more}
        if args.assembly:
            print(*(one.text for one in code.values()), sep="\n")
    print(json.dumps({"model": args.model, "quant": args.quant, "tier": args.tier, **figures}))


if __name__ == "__main__":
    main()
