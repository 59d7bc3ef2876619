"""make figure-browser-native: Chromium beside Node with Dawn: one pack, one runtime, one adapter.

Prefill and decode of a synthetic model, in turns: Chromium, Dawn, Chromium, Dawn. Before: `make
setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys

from scripts.figures.builds import this_build
from webbuild.bench import BenchOptions, run_benchmark
from webbuild.bench.table import print_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="ALIAS")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tier")
    args = parser.parse_args()
    build = this_build()
    options = BenchOptions(
        packs=(build.pack(args.model),),
        place="chromium",
        place_b="dawn",
        prompts=(args.prompt,),
        tokens=args.tokens,
        tier=args.tier,
        rounds=args.rounds,
        runtime=build.runtime,
        profile=False,
    )
    report = run_benchmark(options, lambda text: print(text, file=sys.stderr)).report
    print_report(report)
    chromium, dawn = (subject.cases[0] for subject in report.subjects.values())
    assert chromium.prefill_tokens_per_s and dawn.prefill_tokens_per_s
    print(
        json.dumps(
            {
                "model": args.model,
                "tier": report.subjects["a"].tier,
                "prompt": args.prompt,
                "tokens": args.tokens,
                "chromium_decode": round(chromium.decode_tokens_per_s, 2),
                "dawn_decode": round(dawn.decode_tokens_per_s, 2),
                "decode_ratio": round(chromium.decode_tokens_per_s / dawn.decode_tokens_per_s, 3),
                "prefill_ratio": round(
                    chromium.prefill_tokens_per_s / dawn.prefill_tokens_per_s, 3
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
