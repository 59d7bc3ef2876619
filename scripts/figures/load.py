"""make figure-load: how long a pack takes from nothing, and from the browser's storage.

A synthetic model in Chromium, with kernels in the driver's cache: time until the engine is ready,
until the first token, and the parts; from the network, and from OPFS in turns with a worker that
reads the same bytes from OPFS, uploads them, and does nothing else: slices of files as any page
reads them, and sync access handles. Minima over the rounds. Before: `make setup build`. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from scripts.figures.builds import this_build
from scripts.figures.pages import run_script, temporary_site

#: Parts of a load; some run beside each other.
PARTS = ("fetch", "store", "hash", "upload", "compile", "compileTail", "warmup", "total", "first")


def least(rounds: list[dict[str, Any]], key: str) -> float:
    """The smallest value over all rounds."""
    return min(float(one[key]) for one in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m", metavar="ALIAS")
    parser.add_argument("--cold", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("--cached", type=int, default=7, metavar="ROUNDS")
    parser.add_argument("--context", type=int, default=512)
    args = parser.parse_args()
    pack = this_build().pack(args.model)
    with temporary_site(pack) as site:
        numbers = (str(args.cold), str(args.cached), str(args.context))
        rounds = run_script("load_starts.mjs", site, *numbers)
    starts = {
        name: {
            "ready": least(rounds[name], "ready"),
            "first_token": least(rounds[name], "first_token"),
            # The parts of the quickest load, so that they belong together.
            **{
                part: value
                for part, value in min(rounds[f"{name}_parts"], key=lambda p: p["total"]).items()
                if part in PARTS
            },
        }
        for name in ("cold", "cached")
    }
    columns = ("ready", "first_token", *PARTS)
    print("| start, ms | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, start in starts.items():
        print(f"| {name} | " + " | ".join(f"{start[column]:.0f}" for column in columns) + " |")
    ways = {
        way: {
            key: least([one for one in rounds["bare"] if one["way"] == way], key)
            for key in ("copy", "total")
        }
        for way in ("slices", "handles")
    }
    megabytes = rounds["bare"][0]["bytes"] / 1e6
    print(f"\n{megabytes:.1f} MB from OPFS to the GPU and nothing else, ms:\n")
    print("| way | copy | with worker and device | cached start |\n|---|---:|---:|---:|")
    ready = starts["cached"]["ready"]
    for way, bare in ways.items():
        ratios = f"{ready / bare['copy']:.2f} / {ready / bare['total']:.2f}"
        print(f"| {way} | {bare['copy']:.0f} | {bare['total']:.0f} | {ratios} |")
    figures: dict[str, Any] = {
        "model": args.model,
        "mb": round(megabytes, 1),
        **{
            name: {key: round(value, 1) for key, value in start.items()}
            for name, start in starts.items()
        },
        "bare": ways,
        "cached_to_bare": {way: round(ready / ways[way]["total"], 2) for way in ways},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
