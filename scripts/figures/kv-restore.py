"""make figure-kv-restore: a long prompt restored from the browser's storage, beside computing it.

A synthetic SmolLM2-135M (q4f16_1) in Chromium: a prompt is saved once; then visits compute it and
restore it, in turns, each after a reload of the page. Time to the first token counts from the call
of `engine.kv.restore`, or of the request. Minima over the rounds. Before: `make setup build`. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from scripts.figures.builds import this_build
from scripts.figures.pages import run_script, temporary_site


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="ALIAS")
    parser.add_argument("--tokens", type=int, default=1500, help="of the prompt, at most")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pack = this_build().pack(args.model)
    with temporary_site(pack) as site:
        options = {key: getattr(args, key) for key in ("tokens", "context", "rounds")}
        visits: list[dict[str, Any]] = run_script(
            "kv_restore_in_chromium.mjs", site, json.dumps(options)
        )
    computed, restored = (
        [visit for visit in visits if visit["way"] == way] for way in ("compute", "restore")
    )
    compute = min(float(visit["first"]) for visit in computed)
    quickest = min(restored, key=lambda visit: float(visit["first"]))
    saved = visits[0]
    figures = {
        "model": args.model,
        "tier": saved["tier"],
        "adapter": saved["adapter"],
        "prompt_tokens": saved["prompt_tokens"],
        "cached_tokens": min(visit["cached_tokens"] for visit in restored),
        "saved_mb": round(saved["saved_bytes"] / 1e6, 1),
        "computed_first_token_ms": round(compute, 1),
        "restore_ms": round(float(quickest["restore"]), 1),
        "restored_first_token_ms": round(float(quickest["first"]), 1),
        "ratio": round(compute / float(quickest["first"]), 2),
        "same_answers": all(visit["text"] == saved["text"] for visit in visits),
    }
    print("| model | prompt | MB | computed, ms | restored, ms | of it restore() | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    times = f"{compute:.0f} | {quickest['first']:.0f} | {quickest['restore']:.0f}"
    size = f"{figures['prompt_tokens']} | {figures['saved_mb']}"
    print(f"| {args.model} | {size} | {times} | {figures['ratio']} × |")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
