"""make figure-yield: how smoothly a page moves while the engine works, and what smoothness costs.

A page in Chromium draws with WebGL and CSS; beside it the demo model computes a long prompt and
answers, in turns without and with a share of the GPU for the page (`yieldMs`), and not at all. Of
the times between frames: median, 95th percentile and longest, and the share of frames that come
later than twice the idle page's median; of the engine: tokens per second, as ratios to those
without a share. Before: `make setup build`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from scripts.figures.pages import DEMO, endless, run_script, temporary_site

NUMBERS = ("words", "tokens", "rounds", "ms")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Of each share, what `yield_in_chromium.mjs` tells, summarised."""
    with temporary_site(DEMO) as site:
        endless(site / "pack" / "pack.json")
        options = {key: getattr(args, key) for key in NUMBERS}
        answer: dict[str, Any] = run_script("yield_in_chromium.mjs", site, json.dumps(options))
    rows = answer["rows"]
    usual = statistics.median(rows[0]["gaps"])
    base = next(row for row in rows if row["ms"] == 0)
    answer["rows"] = [summary(row, usual, base) for row in rows]
    return answer


def summary(row: dict[str, Any], usual: float, base: dict[str, Any]) -> dict[str, Any]:
    gaps = sorted(row["gaps"])
    late = sum(gap > 2 * usual for gap in gaps) / len(gaps)
    result = {
        "ms": row["ms"],
        "frames": len(gaps),
        "frame_p50": round(statistics.median(gaps), 1),
        "frame_p95": round(gaps[int(0.95 * (len(gaps) - 1))], 1),
        "frame_max": round(gaps[-1], 1),
        "late": round(late, 3),
    }
    for rate in ("prompt", "decode"):
        if row[rate]:
            ratio = statistics.median(row[rate]) / statistics.median(base[rate])
            result[f"{rate}_ratio"] = round(ratio, 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=300, help="of a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ms", type=float, nargs="*", default=(0, 4, 8, 16), help="shares")
    args = parser.parse_args()
    if 0 not in args.ms:
        parser.error("--ms needs 0, which the others are compared with")
    answer = measure(args)
    print(f"{answer['adapter']}, tier {answer['tier']}: ms between frames")
    print("| yieldMs | median | p95 | longest | late frames | prompt | decode |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in answer["rows"]:
        name = "no work" if row["ms"] is None else f"{row['ms']:g}"
        ratios = (f"{row[k]}×" if k in row else "" for k in ("prompt_ratio", "decode_ratio"))
        cells = [name, row["frame_p50"], row["frame_p95"], row["frame_max"], f"{row['late']:.1%}"]
        print("| " + " | ".join(map(str, [*cells, *ratios])) + " |")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
