"""make figure-gemv: the decode matrix-vector product against kernels that only read its weights.

For the matrices of SmolLM2-135M and Qwen2-0.5B, each tier and each tuning: GB/s of weights, those
of the faster of two readers (the same loads by as many invocations, or all bytes in order, 16 at a
time), and the ratio; then the ratio over all matrices of a decode step. Kernel and readers take
turns; of each the best round counts. On a software adapter, times are the processor's, over all
its cores. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np

from webgpu_kernels import KernelLaunch, lower
from webgpu_kernels.attrs import LinearAttrs, parse
from webgpu_kernels.launch import Binding, Tier
from webgpu_kernels.packing import GROUP, PACKINGS
from webgpu_kernels.registry import KERNELS
from webgpu_kernels.tests.device import WEIGHTS, Device

ROW = next(row for row in KERNELS if row.name == "gemv")
MODELS: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "smollm2-135m": (
        30,
        {
            "qkv": {"N": 960, "K": 576, "norm": 1e-5},
            "o": {"N": 576, "K": 576, "residual": True},
            "gate|up": {"N": 1536, "K": 576, "norm": 1e-5, "glu": True},
            "down": {"N": 576, "K": 1536, "residual": True},
            "head": {"N": 49152, "K": 576, "norm": 1e-5, "gather": True},
        },
    ),
    "qwen2-0.5b": (
        24,
        {
            "qkv": {"N": 1152, "K": 896, "norm": 1e-6, "bias": True},
            "o": {"N": 896, "K": 896, "residual": True},
            "gate|up": {"N": 4864, "K": 896, "norm": 1e-6, "glu": True},
            "down": {"N": 896, "K": 4864, "residual": True},
            "head": {"N": 151936, "K": 896, "norm": 1e-6, "gather": True},
        },
    ),
}
"""Layers, and the matrices of one; `head` is there once."""
SHAPES = {
    **{
        f"{model}.{name}": shape
        for model, (_, one) in MODELS.items()
        for name, shape in one.items()
    },
    "4096": {"N": 4096, "K": 4096},
}
TIERS: tuple[Tier, ...] = ("f16", "f32")


def arrays_of(shape: dict[str, Any], rows: int, quant: str) -> dict[str, np.ndarray]:
    """Random inputs; every word is a good word of weights."""
    rng = np.random.default_rng(0)
    n, k = shape["N"], shape["K"]
    words = k // GROUP * PACKINGS[quant].words

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal(size).astype(np.float32)

    arrays = {"x": normal(rows, k), "gamma": normal(k), "residual": normal(rows, n)}
    arrays["bias"] = normal(n)
    for prefix in ("", "up_"):
        arrays[f"{prefix}q_weight"] = rng.integers(0, 2**32, (n, words), dtype=np.uint32)
        arrays[f"{prefix}q_scale"] = (0.01 * normal(n, k // GROUP)).astype(np.float16)
    return {**arrays, "rows": np.arange(rows, dtype=np.int32), "y": normal(rows, n)}


def declare(launch: KernelLaunch, name: str, types: list[str], lines: list[str]) -> KernelLaunch:
    """A kernel of these lines that has the weights of `launch`, of such types, and y as words."""
    weights = [binding.name for binding in launch.bindings if binding.name in WEIGHTS]
    declared = [
        f"@group(0) @binding({i}) var<storage, read> {weight}: array<{types[i % 2]}>;"
        for i, weight in enumerate(weights)
    ]
    y = f"@group(0) @binding({len(weights)}) var<storage, read_write> y: array<u32>;"
    bindings = (*(Binding(weight, "read") for weight in weights), Binding("y", "read_write"))
    wgsl = "\n".join([*declared, y, *lines])
    return replace(launch, name=name, wgsl=wgsl, bindings=bindings, params=(), features=())


def same_loads(launch: KernelLaunch, c: dict[str, Any]) -> KernelLaunch:
    """XORs what `launch` reads of its weights: as many invocations, each with the same loads."""
    lanes, rows, chunks, scales = c["LANES"], c["TEAM_ROWS"], c["CHUNKS"], c["SCALES"]
    # Loads of 16 bytes in a chunk, and chunks in a group; one of them is 1.
    groups = c["K"] // GROUP
    in_chunk, in_group = groups * c["GROUP_WORDS"] // 4 // chunks, chunks // groups
    halves: list[str] = []  # chunks that two lanes share
    if c.get("HELD"):  # gemv_teams.wgsl
        at = []
        for piece in c["PIECES"]:
            for turn in range(piece.repeat):
                base = piece.begin + 8 * piece.pairs * turn
                for kind, i, begin in (load for segment in piece.segments for load in segment):
                    place = f"{base + begin}u + lane" + {"pair": " * 2u", "half": " / 2u"}.get(
                        kind, ""
                    )
                    if kind == "half":
                        halves.append(place)
                    elif kind == "pair":
                        at.append((f"{place} + {i % 2}u", i % scales == 0))
                    else:
                        at.append((place, True))
    else:
        at = [(f"lane + {step * lanes}u", True) for step in range(c["STEPS"])]
    scale = f"q_scale[i / {2 * in_group}u]"
    loads = [
        f"    {{ let i = row + min({place}, {chunks - 1}u);"
        + "".join(f" sum ^= {p}q_weight[i * {in_chunk}u + {j}u];" for j in range(in_chunk))
        + (f" sum.x ^= {p}{scale};" if scaled else "")
        + " }"
        for place, scaled in at
        for p in (["", "up_"] if c["glu"] else [""])
    ]
    loads += [
        f"    {{ let i = row + {place}; let j = lane % 2u * 2u;"
        + (f" sum ^= {p}q_weight[i * 2u + lane % 2u];" if in_chunk == 2 else "")
        + (f" sum.x ^= {p}q_weight[i][j];" if in_chunk == 1 else "")
        + (f" sum.y ^= {p}q_weight[i][j + 1u];" if in_chunk == 1 else "")
        + f" sum.x ^= {p}{scale}; }}"
        for place in halves
        for p in (["", "up_"] if c["glu"] else [""])
    ]
    lines = [
        f"@compute @workgroup_size({c['THREADS']})",
        "fn main(@builtin(workgroup_id) group: vec3<u32>,"
        " @builtin(local_invocation_index) tid: u32) {",
        f"  let lane = tid % {lanes}u;",
        f"  let first = group.x * {c['ROWS']}u + tid / {lanes}u * {rows}u;",
        "  var sum = vec4<u32>();",
        f"  var row = first * {chunks}u;",
        f"  for (var left = min({rows}u, max(first, {c['N']}u) - first); left > 0u; left--) {{",
        *loads,
        f"    row += {chunks}u;",
        "  }",
        f"  let at = (group.x * {c['THREADS']}u + tid) % arrayLength(&y);",
        "  y[at] = sum.x ^ sum.y ^ sum.z ^ sum.w;",
        "}",
    ]
    return declare(launch, "same loads", ["vec4<u32>", "u32"], lines)


def in_order(launch: KernelLaunch) -> KernelLaunch:
    """XORs the same bytes in order, 16 at a time, scales too: four loads in each turn."""
    groups, threads = 16, 64
    lines = [
        f"@compute @workgroup_size({threads})",
        "fn main(@builtin(global_invocation_id) id: vec3<u32>) {",
        "  var sum = vec4<u32>();",
    ]
    for name in (binding.name for binding in launch.bindings if binding.name in WEIGHTS):
        lines += [
            "  {",
            f"    let size = arrayLength(&{name});",
            f"    let share = (size + {4 * groups * threads - 1}u) / {4 * groups * threads}u * 4u;",
            "    let end = min((id.x + 1u) * share, size);",
            "    for (var at = id.x * share; at < end; at += 4u) {",
            *(f"      sum ^= {name}[min(at + {i}u, size - 1u)];" for i in range(4)),
            "    }",
            "  }",
        ]
    lines += ["  y[id.x % arrayLength(&y)] = sum.x ^ sum.y ^ sum.z ^ sum.w;", "}"]
    one = declare(launch, "in order", ["vec4<u32>"] * 2, lines)
    return replace(one, grid=(groups, 1, 1), workgroup_size=(threads, 1, 1))


def whole_steps(result: list[dict[str, Any]]) -> dict[str, float]:
    """For each model, tier and tuning that was measured whole: the readers' time over the kernels'
    for all matrices of a decode step."""
    ratios = {}
    for tier, tuning in dict.fromkeys((run["tier"], run["tuning"]) for run in result):
        runs = {
            run["shape"]: run for run in result if (run["tier"], run["tuning"]) == (tier, tuning)
        }
        for model, (layers, shapes) in MODELS.items():
            if all(f"{model}.{name}" in runs for name in shapes):
                times = {"us": 0.0, "reader_us": 0.0}
                for name in shapes:
                    for key in times:
                        count = 1 if name == "head" else layers
                        times[key] += count * runs[f"{model}.{name}"][key]
                ratios[f"{model} {tier} {tuning}"] = times["reader_us"] / times["us"]
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--columns", type=int, default=1, help="rows of x for one read of weights")
    parser.add_argument("--quant", choices=list(PACKINGS), default="q4")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--tunings", nargs="*", help="these alone")
    args = parser.parse_args()
    device = Device()
    symbols = {"tokens": args.columns}
    result: list[dict[str, Any]] = []
    print("| shape | tier | tuning | µs | GB/s | reader GB/s | ratio |")
    print("|---|---|---|---:|---:|---:|---:|")
    for name in args.shapes:
        shape = SHAPES[name]
        arrays = arrays_of(shape, args.columns, args.quant)
        for tier in TIERS if device.f16 else TIERS[1:]:
            attrs = {**shape, "quant": args.quant, "mode": "gemv", "columns": args.columns}
            (launch,) = lower("linear", attrs, tier)
            runs: dict[str, KernelLaunch] = {}
            tunings = []
            for tuning in ROW.tunings:
                same = (one for one in (launch, *launch.alternatives) if one.tuning == tuning.name)
                one = next(same, None)
                wanted = not args.tunings or tuning.name in args.tunings
                if one is not None and wanted and device.has(one.features):
                    c = ROW.constants(parse(LinearAttrs, attrs), tier, **tuning.constants)
                    tunings.append(tuning.name)
                    runs[tuning.name] = one
                    runs[f"{tuning.name} same loads"] = same_loads(one, c)
                    runs["in order"] = in_order(one)
            moved = sum(arrays[b.name].nbytes for b in launch.bindings if b.name in WEIGHTS)
            timers = {key: device.timer(one, arrays, symbols) for key, one in runs.items()}
            best = dict.fromkeys(runs, math.inf)
            repeats = dict.fromkeys(runs, 1)
            for turn in range(args.rounds + 2):
                for key, seconds in timers.items():
                    best[key] = min(best[key], seconds(repeats[key]))
                if turn == 1:  # compiled, and known how long it takes
                    repeats = {key: max(2, math.ceil(0.01 / once)) for key, once in best.items()}
            for tuning_name in tunings:
                us = best[tuning_name] * 1e6
                reader = min(best[f"{tuning_name} same loads"], best["in order"]) * 1e6
                rate, read = moved / us / 1e3, moved / reader / 1e3
                cells = f"{us:.0f} | {rate:.2f} | {read:.2f} | {rate / read:.2f}"
                print(f"| {name} | {tier} | {tuning_name} | {cells} |", flush=True)
                row = {"shape": name, "tier": tier, "tuning": tuning_name, "us": us}
                result.append({**row, "gb_s": rate, "reader_us": reader, "reader_gb_s": read})
    adapter = device.adapter.info["device"]
    steps = whole_steps(result)
    for name, ratio in steps.items():
        print(f"{name}: {ratio:.2f} over a whole step")
    settings = {"adapter": adapter, "quant": args.quant, "columns": args.columns}
    print(json.dumps({**settings, "steps": steps, "runs": result}))


if __name__ == "__main__":
    main()
