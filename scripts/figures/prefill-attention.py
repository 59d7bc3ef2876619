"""make figure-prefill-attention: prefill attention's tunings beside one with barriers.

For the head shapes of SmolLM2-135M and Qwen2-0.5B, the last chunk of prompts of 128, 512 and 2000
tokens: ms of one launch under each tuning that the adapter can run, and under the one with barriers
that served software adapters best, and the seconds of the first launch, which is when lavapipe
compiles: in an empty shader cache. Tunings take turns; of each the best round counts. On a software
adapter, times are the processor's, over all its cores. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile

import numpy as np

from webgpu_kernels.attrs import AttentionAttrs, parse
from webgpu_kernels.launch import Tier
from webgpu_kernels.registry import KERNELS, lower_tuned
from webgpu_kernels.tests.device import Device
from webgpu_kernels.variation import vary

ROW = next(row for row in KERNELS if row.name == "attention_prefill")
BARRIERS = vary(ROW, "default", heads=1, row_groups=1)
MODELS = {
    "smollm2-135m": {"H": 9, "KV": 3, "D": 64},
    "qwen2-0.5b": {"H": 14, "KV": 2, "D": 64},
}
PROMPTS = (128, 512, 2000)
CHUNK = 512
TILE = PAGE = 16


def arrays_of(
    shape: dict[str, int], prompt: int, tier: Tier
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Random inputs of the last chunk of a prompt, and the step's symbols."""
    rng = np.random.default_rng(0)
    tokens, pages = min(prompt, CHUNK), -(-prompt // PAGE)
    size = (pages, shape["KV"], PAGE, shape["D"])
    stored = np.float16 if tier == "f16" else np.float32
    tiles = [
        (row, min(TILE, tokens - row), 0, prompt - tokens + row) for row in range(0, tokens, TILE)
    ]
    rows = (tokens, shape["H"] * shape["D"])
    arrays = {
        "q": rng.standard_normal(rows).astype(np.float32),
        "kv_k": rng.standard_normal(size).astype(stored),
        "kv_v": rng.standard_normal(size).astype(stored),
        "page_table": rng.permutation(pages).astype(np.int32)[None],
        "tiles": np.array(tiles, np.int32),
        "y": np.zeros(rows, np.float32),
    }
    return arrays, {"tokens": tokens, "seqs": 1, "q_tiles": len(tiles), "max_pages": pages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tier", choices=("f16", "f32"), default="f16")
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MESA_SHADER_CACHE_DIR"] = cache
        figures = measure(args.tier, args.rounds)
    print(json.dumps(figures))


def measure(tier: Tier, rounds: int) -> dict[str, dict[str, float]]:
    device = Device()
    tunings = [one for one in (BARRIERS, *ROW.tunings) if device.has(one.features)]
    figures: dict[str, dict[str, float]] = {}
    for model, shape in MODELS.items():
        attrs = parse(AttentionAttrs, {**shape, "scale": shape["D"] ** -0.5})
        launches = {one.name: lower_tuned(ROW, one, attrs, tier)[0] for one in tunings}
        print(f"| {model} | {' | '.join(launches)} |\n|---|{'---:|' * len(launches)}")
        for prompt in PROMPTS:
            arrays, symbols = arrays_of(shape, prompt, tier)
            timers = {name: device.timer(one, arrays, symbols) for name, one in launches.items()}
            if prompt == PROMPTS[0]:
                firsts = {name: timer(1) for name, timer in timers.items()}
            taken = [{name: timer(1) for name, timer in timers.items()} for _ in range(rounds)]
            best = {name: 1e3 * min(one[name] for one in taken) for name in timers}
            print(f"| {prompt}, ms | {' | '.join(f'{ms:.1f}' for ms in best.values())} |")
            figures[f"{model} {prompt} ms"] = {name: round(ms, 1) for name, ms in best.items()}
        print(f"| first, s | {' | '.join(f'{s:.2f}' for s in firsts.values())} |\n")
        figures[f"{model} first s"] = {name: round(s, 2) for name, s in firsts.items()}
    return figures


if __name__ == "__main__":
    main()
