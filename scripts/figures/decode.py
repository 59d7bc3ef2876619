"""make figure-decode: prefill and decode beside the first slice, in one run in Chromium.

Synthetic SmolLM2-135M and Qwen2-0.5B (q4f16_1), prompt of 128 tokens, 32 tokens, tiers f16 and f32.
Both builds are measured through the npm package's public API, in turns: this, first, this, first.
The first slice is built, and packs are made, under .cache/figures. Before: `make setup build`. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from scripts.figures.builds import first_slice, this_build
from webbuild.bench import BenchOptions, run_benchmark
from webbuild.bench.report import adapter_name

MODELS = ("smollm2-135m", "qwen2.5-0.5b")
TIERS = ("f16", "f32")


def measure(model: str, tier: str, prompt: int, tokens: int, rounds: int) -> dict[str, Any]:
    this, first = this_build(), first_slice()
    options = BenchOptions(
        packs=(this.pack(model), first.pack(model)),
        prompts=(prompt,),
        tokens=tokens,
        tier=tier,
        rounds=rounds,
        runtime=this.runtime,
        runtime_b=first.runtime,
    )
    report = run_benchmark(options, lambda text: print(text, file=sys.stderr)).report
    now, before = (subject.cases[0] for subject in report.subjects.values())
    assert now.prefill_tokens_per_s and before.prefill_tokens_per_s
    return {
        "model": model,
        "tier": tier,
        "adapter": adapter_name(report.subjects["a"]),
        "prefill": round(now.prefill_tokens_per_s, 1),
        "prefill_first": round(before.prefill_tokens_per_s, 1),
        "prefill_ratio": round(now.prefill_tokens_per_s / before.prefill_tokens_per_s, 2),
        "decode": round(now.decode_tokens_per_s, 2),
        "decode_first": round(before.decode_tokens_per_s, 2),
        "decode_ratio": round(now.decode_tokens_per_s / before.decode_tokens_per_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--tiers", nargs="*", default=TIERS)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows = [
        measure(model, tier, args.prompt, args.tokens, args.rounds)
        for model in args.models
        for tier in args.tiers
    ]
    print(f"tokens/s on {rows[0]['adapter']}, prompt {args.prompt}, {args.tokens} tokens")
    print("| model | tier | prefill | first slice | ratio | decode | first slice | ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        cells = [row[key] for key in ("model", "tier")]
        for kind in ("prefill", "decode"):
            cells += [row[kind], row[f"{kind}_first"], f"**{row[f'{kind}_ratio']}×**"]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(json.dumps({"prompt": args.prompt, "tokens": args.tokens, "rows": rows}))


if __name__ == "__main__":
    main()
