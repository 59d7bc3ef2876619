"""make figure-gemv: the decode matrix-vector product against a kernel that only reads its weights.

For the shapes of SmolLM2-135M and a larger one, each tier and each tuning: GB/s of weights, those
of a reader with the same access pattern and launch shape, and the ratio. Kernel and reader take
turns; of each the best round counts. The last line is one JSON object.
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
SHAPES: dict[str, dict[str, Any]] = {
    "qkv": {"N": 960, "K": 576, "norm": 1e-5},
    "o": {"N": 576, "K": 576, "residual": True},
    "gate|up": {"N": 1536, "K": 576, "norm": 1e-5, "glu": True},
    "down": {"N": 576, "K": 1536, "residual": True},
    "head": {"N": 49152, "K": 576, "norm": 1e-5, "gather": True},
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
    for prefix in ("", "up_"):
        arrays[f"{prefix}q_weight"] = rng.integers(0, 2**32, (n, words), dtype=np.uint32)
        arrays[f"{prefix}q_scale"] = (0.01 * normal(n, k // GROUP)).astype(np.float16)
    return {**arrays, "rows": np.arange(rows, dtype=np.int32), "y": normal(rows, n)}


def reader(launch: KernelLaunch, c: dict[str, Any]) -> KernelLaunch:
    """XORs what `launch` reads of its weights: as many invocations, each with the same loads."""
    lanes, rows, chunks = c["LANES"], c["TEAM_ROWS"], c["CHUNKS"]
    # Loads of 16 bytes in a chunk, and chunks in a group; one of them is 1.
    in_chunk, in_group = c["K"] // 32 * c["GROUP_WORDS"] // 4 // chunks, chunks // (c["K"] // 32)
    if "RUN" in c:  # a lane's chunks follow each other
        at = [f"(lane + {piece * lanes}u) * {c['RUN']}u + {i}u"
              for piece in range(c["PIECES"]) for i in range(c["RUN"])]  # fmt: skip
    else:
        at = [f"lane + {step * lanes}u" for step in range(c["STEPS"])]
    names = ["", "up_"] if c["glu"] else [""]
    declared = [f"{p}{name}: array<{kind}>" for p in names
                for name, kind in (("q_weight", "vec4<u32>"), ("q_scale", "u32"))]  # fmt: skip
    loads = [
        f"    {{ let i = row + min({place}, {chunks - 1}u); "
        + "".join(f"sum ^= {p}q_weight[i * {in_chunk}u + {j}u]; " for j in range(in_chunk))
        + f"sum.x ^= {p}q_scale[i / {2 * in_group}u]; }}"
        for place in at
        for p in names
    ]
    lines = [
        *(f"@group(0) @binding({i}) var<storage, read> {text};" for i, text in enumerate(declared)),
        f"@group(0) @binding({len(declared)}) var<storage, read_write> y: array<u32>;",
        f"@compute @workgroup_size({c['THREADS']})",
        "fn main(@builtin(workgroup_id) group: vec3<u32>,"
        " @builtin(local_invocation_index) tid: u32) {",
        f"  let lane = tid % {lanes}u;",
        f"  let first = group.x * {c['ROWS']}u + tid / {lanes}u * {rows}u;",
        "  var sum = vec4<u32>();",
        f"  for (var r = 0u; r < {rows}u && first + r < {c['N']}u; r++) {{",
        f"    let row = (first + r) * {chunks}u;",
        *loads,
        "  }",
        f"  y[(group.x * {c['THREADS']}u + tid) % {c['N']}u] = sum.x ^ sum.y ^ sum.z ^ sum.w;",
        "}",
    ]
    bindings = [Binding(text.split(":")[0], "read") for text in declared]
    return replace(
        launch,
        name="reader",
        wgsl="\n".join(lines),
        bindings=(*bindings, Binding("y", "read_write")),
        params=(),
        features=(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--columns", type=int, default=1, help="rows of x for one read of weights")
    parser.add_argument("--quant", choices=list(PACKINGS), default="q4")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--tunings", nargs="*", help="these alone")
    args = parser.parse_args()
    device = Device()
    symbols = {"tokens": args.columns}
    result = []
    print("| shape | tier | tuning | µs | GB/s | reader GB/s | ratio |")
    print("|---|---|---|---:|---:|---:|---:|")
    for name in args.shapes:
        shape = SHAPES[name]
        arrays = arrays_of(shape, args.columns, args.quant)
        for tier in TIERS if device.f16 else TIERS[1:]:
            attrs = {**shape, "quant": args.quant, "mode": "gemv", "columns": args.columns}
            (launch,) = lower("linear", attrs, tier)
            runs: dict[str, KernelLaunch] = {}
            for tuning in ROW.tunings:
                same = (one for one in (launch, *launch.alternatives) if one.tuning == tuning.name)
                one = next(same, None)
                wanted = not args.tunings or tuning.name in args.tunings
                if one is not None and wanted and device.has(one.features):
                    c = ROW.constants(parse(LinearAttrs, attrs), tier, **tuning.constants)
                    runs[tuning.name], runs[f"{tuning.name} reader"] = one, reader(one, c)
            moved = sum(arrays[b.name].nbytes for b in launch.bindings if b.name in WEIGHTS)

            def seconds(
                one: KernelLaunch, repeat: int, arrays: dict[str, np.ndarray] = arrays
            ) -> float:
                return device.run([one], arrays, symbols, repeat=repeat)[1]

            best = {key: min(seconds(one, 1) for _ in range(2)) for key, one in runs.items()}
            repeats = {key: max(2, math.ceil(0.05 / once)) for key, once in best.items()}
            for _ in range(args.rounds):
                for key, one in runs.items():
                    best[key] = min(best[key], seconds(one, repeats[key]))
            for key in runs:
                if f"{key} reader" in runs:
                    rate, read = moved / best[key] / 1e9, moved / best[f"{key} reader"] / 1e9
                    cells = f"{best[key] * 1e6:.0f} | {rate:.2f} | {read:.2f} | {rate / read:.2f}"
                    print(f"| {name} | {tier} | {key} | {cells} |", flush=True)
                    row = {"shape": name, "tier": tier, "tuning": key, "us": best[key] * 1e6}
                    result.append({**row, "gb_s": rate, "reader_gb_s": read})
    adapter = device.adapter.info
    print(
        json.dumps(
            {
                "adapter": adapter["device"],
                "quant": args.quant,
                "columns": args.columns,
                "runs": result,
            }
        )
    )


if __name__ == "__main__":
    main()
