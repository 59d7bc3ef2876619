"""make figure-gemm: the prefill matrix product at the shapes of SmolLM2-135M, each tuning.

GFLOP/s (two per multiply-add), the ratio to the same library's best kernel for f32 weights, which
needs no dequantisation, and the error of the kernels that round activations to int8. All kernels
of a shape take turns; the minimum counts. A table on the way; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from webgpu_kernels import KernelLaunch, lower
from webgpu_kernels.launch import Tier
from webgpu_kernels.tests.cases import Case, linear
from webgpu_kernels.tests.device import Device

PLAIN: dict[str, Any] = {
    "mode": "gemm",
    "norm": None,
    "bias": False,
    "residual": False,
    "glu": False,
    "gather": False,
    "row_splits": None,
    "approximate": True,
}
SHAPES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "qkv": (960, 576, {"norm": 1e-5}),
    "o": (576, 576, {"residual": True}),
    "gate|up": (1536, 576, {"norm": 1e-5, "glu": True}),
    "down": (576, 1536, {"residual": True}),
}
"""Output columns N, K and fusions."""
SHORT = (1, 8, 33)
"""Token counts besides 128, for the first shape."""
TIERS: tuple[Tier, ...] = ("f16", "f32")
SAMPLE = 0.02
"""Least seconds of one measurement."""


@dataclass
class Contender:
    """A kernel that takes part, and its best time."""

    launch: KernelLaunch
    case: Case
    quant: str
    repeat: int = 1
    seconds: float = math.inf

    def run(self, device: Device) -> np.ndarray:
        """Runs it `repeat` times, keeps the time if it is the best, and returns y."""
        arrays, symbols = self.case.arrays, self.case.symbols
        got, seconds = device.run([self.launch], arrays, symbols, repeat=self.repeat)
        self.seconds = min(self.seconds, seconds)
        return got["y"]


def contenders(device: Device, name: str, tokens: int, tier: Tier, quant: str) -> list[Contender]:
    n, k, fusions = SHAPES[name]
    found = []
    for stored in (quant, "f32"):
        setting = {**PLAIN, **fusions, "quant": stored, "shape": (tokens, n, k)}
        case = linear(setting, tier)
        (launch,) = lower("linear", case.attrs, tier)
        for each in (launch, *launch.alternatives):
            if device.has(each.features):
                found.append(Contender(each, case, stored))
    return found


def compare(
    device: Device, name: str, tokens: int, tier: Tier, rounds: int, quant: str
) -> list[dict[str, Any]]:
    """One row per tuning of the kernel for `quant`."""
    n, k, fusions = SHAPES[name]
    competing = contenders(device, name, tokens, tier, quant)
    results = [each.run(device) for each in competing]  # the first run compiles
    for each in competing:
        each.seconds = math.inf
        each.run(device)
        each.repeat, each.seconds = max(1, math.ceil(SAMPLE / each.seconds)), math.inf
    for _ in range(rounds):
        for each in competing:
            each.run(device)
    plain = min(each.seconds for each in competing if each.quant == "f32")
    flops = 2 * tokens * n * k * (2 if fusions.get("glu") else 1)
    rows = []
    for each, y in zip(competing, results, strict=True):
        if each.quant == quant:
            row: dict[str, Any] = {
                "shape": name,
                "tokens": tokens,
                "tier": tier,
                "tuning": each.launch.tuning,
                "us": round(each.seconds * 1e6),
                "gflops": round(flops / each.seconds / 1e9, 2),
                "to_f32": round(plain / each.seconds, 2),
            }
            if each.launch.approximate:
                wrong = np.sqrt(np.mean((y - results[0]) ** 2) / np.mean(results[0] ** 2))
                row["rms_error"] = round(float(wrong), 5)
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quant", choices=("q4", "q8", "f16"), default="q4")
    parser.add_argument("--tier", choices=("f16", "f32"), action="append")
    args = parser.parse_args()
    device = Device()
    columns = ("shape", "tokens", "tier", "tuning", "us", "gflops", "to_f32", "rms_error")
    print("| shape | tokens | tier | tuning | µs | GFLOP/s | ratio to f32 | int8 error |")
    print("|---|---:|---|---|---:|---:|---:|---:|", flush=True)
    rows = []
    runs = [(name, 128) for name in SHAPES] + [(next(iter(SHAPES)), tokens) for tokens in SHORT]
    for tier in args.tier or TIERS:
        if tier == "f32" or device.f16:
            for name, tokens in runs:
                for row in compare(device, name, tokens, tier, args.rounds, args.quant):
                    rows.append(row)
                    print(
                        "| " + " | ".join(str(row.get(key, "")) for key in columns) + " |",
                        flush=True,
                    )
    best: dict[tuple[Any, ...], float] = {}
    for row in rows:
        if "rms_error" not in row:
            key = (row["shape"], row["tokens"], row["tier"])
            best[key] = max(best.get(key, 0), row["to_f32"])
    info = device.adapter.info
    print(
        json.dumps(
            {
                "adapter": info["device"],
                "quant": args.quant,
                "least_best_to_f32": min(best.values()),
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
