"""make figure-context: decode time per token as the context grows, in Chromium.

A synthetic model at contexts from 128 to 4096, around page and chunk bounds too, each reached
without prefilling it. --plot writes a picture. Before: `make setup build`. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.figures.builds import this_build
from webbuild.bench import BenchOptions, run_benchmark
from webbuild.bench.plot import write_plot
from webbuild.bench.table import print_report

CONTEXTS = (256, 511, 512, 513, 527, 528, 529, 1024, 2048, 3072, 4096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="ALIAS")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tier")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg|png")
    args = parser.parse_args()
    build = this_build()
    options = BenchOptions(
        packs=(build.pack(args.model),),
        prompts=(128,),
        contexts=CONTEXTS,
        tokens=args.tokens,
        tier=args.tier,
        rounds=args.rounds,
        runtime=build.runtime,
        profile=False,
        plot=args.plot,
    )
    report = run_benchmark(options, lambda text: print(text, file=sys.stderr))
    print_report(report)
    if args.plot:
        write_plot(report, args.plot)
    subject = report.subjects[0]
    times = {case.case.context: 1000 / case.decode_tokens_per_s for case in subject.cases}
    result = {
        "model": args.model,
        "tier": subject.tier,
        "ms_per_token": {context: round(ms, 2) for context, ms in times.items()},
        "at_4096_over_128": round(times[4096] / times[128], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
