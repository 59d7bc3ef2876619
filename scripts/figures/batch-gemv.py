"""make figure-batch-gemv: what the products of a decode step cost for several sequences, in those
for one.

For the matrices of the demo model, SmolLM2-135M and Qwen2-0.5B: µs of the kernel for one row of x
and, beside it, of one launch of each kernel for several; then all matrices of a step together, and
the tokens per second that these alone would let through. Kernels of a shape take turns; of each
the best round counts. On a software adapter, times are the processor's, over all its cores. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from scripts.figures.gemv import MODELS, arrays_of
from webgpu_kernels import COLUMNS, KernelLaunch, lower
from webgpu_kernels.launch import Tier
from webgpu_kernels.packing import PACKINGS
from webgpu_kernels.tests.device import Device

DEMO: tuple[int, dict[str, dict[str, Any]]] = (
    6,
    {
        "qkv": {"N": 512, "K": 256, "norm": 1e-5},
        "o": {"N": 256, "K": 256, "residual": True},
        "gate|up": {"N": 768, "K": 256, "norm": 1e-5, "glu": True},
        "down": {"N": 256, "K": 768, "residual": True},
        "head": {"N": 1984, "K": 256, "norm": 1e-5, "gather": True},
    },
)
ALL = {"demo": DEMO, **MODELS}


BATCH_S = 0.02
"""Seconds that a batch of launches takes: what a submit costs, a millisecond on some machines, is a
small part of it."""


def chosen(launch: KernelLaunch, device: Device) -> KernelLaunch:
    """What an executor takes on this adapter."""
    software = device.adapter.info["adapter_type"] == "CPU"
    suited = (
        one
        for one in launch.alternatives
        if (one.suits == "cpu" if software else one.suits == "any") and device.has(one.features)
    )
    return next(suited, launch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quant", choices=list(PACKINGS), default="q4")
    parser.add_argument("--models", nargs="*", default=list(ALL), choices=list(ALL))
    parser.add_argument("--tier", choices=("f16", "f32"))
    args = parser.parse_args()
    device = Device()
    tier: Tier = args.tier or ("f16" if device.f16 else "f32")
    counts = (1, *COLUMNS)
    models: dict[str, Any] = {}
    heads = " | ".join(f"{count} rows, of one" for count in COLUMNS)
    print(f"| matrix | one row, µs | {heads} |")
    print("|---|---:|" + "---:|" * len(COLUMNS))
    for model in args.models:
        layers, shapes = ALL[model]
        step = dict.fromkeys(counts, 0.0)
        ratios: dict[str, dict[int, float]] = {}
        for name, shape in shapes.items():
            arrays = arrays_of(shape, COLUMNS[-1], args.quant)
            timers = {}
            for count in counts:
                attrs = {**shape, "quant": args.quant, "mode": "gemv", "columns": count}
                (launch,) = lower("linear", attrs, tier)
                timers[count] = device.timer(chosen(launch, device), arrays, {"tokens": count})
            best = dict.fromkeys(counts, math.inf)
            repeats = dict.fromkeys(counts, 1)
            for turn in range(args.rounds + 2):
                for count, seconds in timers.items():
                    best[count] = min(best[count], seconds(repeats[count]))
                if turn == 1:  # compiled, and known how long it takes
                    repeats = {
                        count: max(2, math.ceil(BATCH_S / once)) for count, once in best.items()
                    }
            for count in counts:
                step[count] += best[count] * (1 if name == "head" else layers)
            ratios[name] = {count: best[count] / best[1] for count in COLUMNS}
            cells = " | ".join(f"{ratio:.2f}" for ratio in ratios[name].values())
            print(f"| {model}.{name} | {best[1] * 1e6:.0f} | {cells} |", flush=True)
        whole = {count: step[count] / step[1] for count in COLUMNS}
        cells = " | ".join(
            f"{ratio:.2f} ({count / ratio:.1f}× the tokens)" for count, ratio in whole.items()
        )
        print(f"| {model}, a step | {step[1] * 1e6:.0f} | {cells} |", flush=True)
        models[model] = {"step_us": step[1] * 1e6, "step": whole, "matrices": ratios}
    adapter = device.adapter.info["device"]
    print(json.dumps({"adapter": adapter, "quant": args.quant, "tier": tier, "models": models}))


if __name__ == "__main__":
    main()
