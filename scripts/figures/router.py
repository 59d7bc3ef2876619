"""make figure-router: two engines behind a router, in Chromium, with the demo model.

The same requests under the five strategies: whether every answer is the one of a single engine, how
often keys and values were sent, how much was not computed. Prefixes of k tokens that were sent, and
what was left to compute. Then short requests beside long prompts, round robin and prefill/decode
split in turns: time to the first token, as a picture. Before: `make setup build`. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from scripts.figures.builds import REPOSITORY
from scripts.figures.pages import DEMO, run_script, temporary_site

NUMBERS = ("requests", "lanes", "blocks", "longs", "words")
LABELS = {"roundRobin": "round robin", "prefillDecode": "prefill/decode split"}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    with temporary_site(DEMO) as site:
        options = {key: getattr(args, key) for key in NUMBERS}
        answer: dict[str, Any] = run_script("router_in_chromium.mjs", site, json.dumps(options))
    return answer


def draw(path: Path, firsts: dict[str, dict[str, list[float]]]) -> None:
    """The share of short requests that had a first token within a time."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "webbuild"}):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for side, label in LABELS.items():
            times = np.sort(firsts[side]["short"])
            (line,) = axes.step(times, np.arange(1, len(times) + 1) / len(times), label=label)
            p99 = float(np.percentile(times, 99))
            axes.axvline(p99, color=line.get_color(), linestyle=":", lw=1)
            axes.annotate(f"p99 {p99:.0f} ms", (p99, 0.03), rotation=90, ha="right", fontsize=8)
        axes.set_xlabel("milliseconds to the first token of a short request")
        axes.set_ylabel("share of requests")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(left=0)
        axes.legend(loc="lower right", frameon=False, bbox_to_anchor=(0.98, 0.25))
        title = "Short requests beside long prompts, two engines"
        axes.set_title(title, fontsize=10)
        figure.savefig(path, metadata={"Date": None, "Title": title})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=8, help="requests at once")
    parser.add_argument("--blocks", type=int, default=3, help="of each side, in turns")
    parser.add_argument("--longs", type=int, default=6, help="long prompts in a block")
    parser.add_argument("--words", type=int, default=350, help="of a long prompt")
    parser.add_argument("--plot", type=Path, default=REPOSITORY / "docs" / "images" / "router.svg")
    args = parser.parse_args()
    answer = measure(args)
    print("| strategy | same answers | sends | cached of prompt tokens | seconds |")
    print("|---|---:|---:|---:|---:|")
    for row in answer["identical"]:
        cached = f"{row['cached_tokens']} of {row['prompt_tokens']}"
        print(
            f"| {row['strategy']} | {row['same']} of {args.requests} | {row['sends']} | {cached} "
            f"| {row['seconds']:.1f} |"
        )
    first_token = {
        side: {
            kind: {p: round(float(np.percentile(values, q))) for p, q in (("p50", 50), ("p99", 99))}
            for kind, values in times.items()
        }
        for side, times in answer["firsts"].items()
    }
    draw(args.plot, answer["firsts"])
    short = {side: first_token[side]["short"]["p99"] for side in LABELS}
    result = {
        "requests": args.requests,
        "tier": answer["tier"],
        "adapter": answer["adapter"],
        "identical": {row["strategy"]: row["same"] for row in answer["identical"]},
        "sends": {row["strategy"]: row["sends"] for row in answer["identical"]},
        "migrated": answer["migrated"],
        "exact": all(m["computed"] == m["n"] - m["k"] for m in answer["migrated"]),
        "short_requests": len(answer["firsts"]["roundRobin"]["short"]),
        "long_every_ms": round(answer["period"]),
        "first_token_ms": first_token,
        "p99_split_to_round_robin": round(short["prefillDecode"] / short["roundRobin"], 2),
    }
    print(json.dumps(result))
    same = all(count == args.requests for count in result["identical"].values())
    if not (same and result["exact"]):
        sys.exit("answers differ, or a migrated prefix did not leave exactly the rest to compute")


if __name__ == "__main__":
    main()
