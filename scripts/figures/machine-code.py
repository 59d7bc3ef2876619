"""make figure-machine-code: the code that kernels become on AMD GPUs, without one.

For each kernel of a model (as it is with two layers: the others run the same) registers, how many
subgroups a SIMD unit then holds, spilled registers (there should be none), instructions, and cycles
that the compiler expects. ARGS="--assembly gemv" prints the code of the kernels of that name.
Compare before and after a change; how fast memory is, it does not know. Before: `make setup`. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json

from scripts.figures.machine_code import GPUS, compile_for, kernels_of
from webbuild.sources.aliases import aliases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="llama-3.2-1b", choices=aliases())
    parser.add_argument("--quant", default="q4f16_1")
    parser.add_argument("--tier", default="f16", choices=("f16", "f32"))
    parser.add_argument("--gpus", nargs="+", default=GPUS, help="Mesa's names: RADV_FORCE_FAMILY")
    parser.add_argument("--only", default="", help="kernels with this in their name")
    parser.add_argument(
        "--assembly", default="", help="print the code of kernels with this in their name"
    )
    args = parser.parse_args()
    only = args.assembly or args.only
    users = kernels_of(args.model, args.quant, args.tier)
    kernels = {key: one for key, (one, _) in users.items() if only in one.name}
    if not kernels:
        parser.error(f"no kernel has {only!r} in its name")

    figures = {}
    for gpu in args.gpus:
        code = compile_for(gpu, kernels, assembly=bool(args.assembly))
        if args.assembly:
            print(*(one.text for one in code.values()), sep="\n")
        print(f"\n{gpu}\n")
        print(
            "| kernel | functions | registers | subgroups | spilled | bytes | instructions "
            "| of them vector | latency | cycles |"
        )
        print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for key, one in code.items():
            print(
                f"| {kernels[key].name} | {' '.join(users[key][1])} | {one.registers} "
                f"| {one.subgroups} | {one.spilled} | {one.nbytes} | {one.instructions} "
                f"| {one.vector_instructions} | {one.latency} | {one.cycles} |"
            )
        figures[gpu] = {
            "kernels": len(code),
            "spilled": sum(one.spilled for one in code.values()),
            "most_registers": max(one.registers for one in code.values()),
            "least_subgroups": min(one.subgroups for one in code.values()),
        }
    print(json.dumps({"model": args.model, "quant": args.quant, "tier": args.tier, **figures}))


if __name__ == "__main__":
    main()
